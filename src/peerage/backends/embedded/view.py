"""What is known of the records in one folder, and how it is kept true; lives on the worker's thread."""

import itertools
import logging
import os
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import Final, NamedTuple

from peerage.backends.embedded.folder import TEMPORARY, Folder
from peerage.backends.embedded.inotify import Change, Notifier
from peerage.backends.embedded.lockedfile import NODE
from peerage.backends.embedded.look import Alive, Fate, Version, look, sweep, version_at
from peerage.backends.embedded.mailbox import Mailbox
from peerage.backends.embedded.worker import Job, Worker
from peerage.registry import RECORD_LIMIT, Record

__all__ = ["View"]

_LOG = logging.getLogger(__name__)

#: Seconds after a file was closed to look whether its lock is gone: the kernel tells of the close first.
_LOOK_AGAIN: Final = (0.001, 0.01, 0.1)

#: Locks tested per tick.
_LOCKS: Final = 30

#: With inotify, names compared per tick, at least, and ticks until all are compared, at most.
_NAMES: Final = 50
_TICKS_PER_ROUND: Final = 60

#: Seconds until names are compared without a reason, when polling.
_PASS_AFTER: Final = 30.0

#: Passes over all names after the folder changed, when polling. The clock of a file system is coarse: a
#: change in the same moment as the one that was seen shows in the next pass only.
_PASSES: Final = 2

#: A pass takes at most one part in so many of the processor.
_SHARE_OF_PASSES: Final = 100

#: Names complained of, none twice; a folder with more is in disorder, and that has been said.
_COMPLAINTS: Final = 100


class _Known(NamedTuple):
    record: Record
    version: Version


class View:
    """The records of a folder and whoever watches them.

    Args:
        worker: the thread.
        notifier: its inotify.
        found: called when everything has been looked at after :meth:`start`.
        lost: called when something prevents looking, with what it was.
        suspect: called when the folder itself may be gone.
    """

    def __init__(
        self,
        worker: Worker,
        notifier: Notifier,
        found: Callable[[], object],
        lost: Callable[[OSError], object],
        suspect: Callable[[], object],
    ) -> None:
        self._worker = worker
        self._notifier = notifier
        self._found = found
        self._lost = lost
        self._suspect = suspect
        self._folder: Folder | None = None
        self._known: dict[str, _Known] = {}
        self._mailboxes: dict[Mailbox, None] = {}
        self._ready = False
        self._listening: int | None = None
        self._job: Job | None = None
        self._names: Iterator[object] = iter(())
        self._locks: Iterator[object] = iter(())
        self._complained: set[str] = set()
        self._changed_at = 0
        self._passes_due = 0
        self._no_pass_before = 0.0

    # Watchers

    @property
    def wanted(self) -> bool:
        """Whether somebody ever watched: from then on the view is kept."""
        return bool(self._mailboxes) or self._folder is not None

    @property
    def polling(self) -> bool:
        """Whether changes are found without inotify."""
        return self._folder is not None and self._listening is None

    def __len__(self) -> int:
        return len(self._known)

    def add(self, mailbox: Mailbox) -> None:
        """Tell *mailbox* everything from now on, beginning with what is known if that is complete."""
        self._mailboxes[mailbox] = None
        if self._ready:
            mailbox.snapshot(self._records())

    def discard(self, mailbox: Mailbox) -> None:
        """Tell *mailbox* nothing more."""
        self._mailboxes.pop(mailbox, None)

    def _records(self) -> tuple[Record, ...]:
        return tuple(known.record for known in self._known.values())

    # In touch, out of touch

    def start(self, folder: Folder) -> None:
        """Learn what is in *folder* and tell it as a snapshot; then tell changes.

        Raises:
            OSError: the folder is gone.
        """
        self.halt()
        if folder is not self._folder:
            self._known.clear()
        # Watched before it is read: what happens in between is seen twice rather than never.
        self._listening = self._notifier.listen(folder.path, self._happened)
        self._folder = folder
        self._changed_at = folder.changed_at()
        self._passes_due = _PASSES
        self._names, self._locks = self._forever(self._compare), self._forever(self._test_locks)
        self._scan()

    def stale(self, reason: str) -> None:
        """Tell everybody that nothing more can be told for now."""
        for mailbox in self._mailboxes:
            mailbox.stale(reason)

    def stop(self) -> None:
        """Forget everything."""
        self.halt()
        self._folder = None
        self._known.clear()

    def halt(self) -> None:
        """Look at nothing more until the next :meth:`start`."""
        self._ready = False
        self._names = self._locks = iter(())
        if self._job is not None:
            self._job.cancel()
            self._job = None
        if self._listening is not None:
            self._notifier.ignore(self._listening, self._happened)
            self._listening = None

    # Keeping it true

    def tick(self) -> None:
        """Do a small piece of the round that finds what nobody told us; several times a second."""
        if self._folder is None or not self._ready:
            return
        try:
            _advance(self._locks, _LOCKS)
            if self.polling and self._notifier.worth_trying:
                self._listen_at_last(self._folder)
            elif self.polling:
                self._poll(self._folder)
            else:
                _advance(self._names, max(_NAMES, len(self._known) // _TICKS_PER_ROUND))
        except OSError as error:
            self._lost(error)

    def _listen_at_last(self, folder: Folder) -> None:
        """Leave polling, if inotify can be had by now."""
        self._listening = self._notifier.listen(folder.path, self._happened)
        if self._listening is not None:
            # What happened until now wasn't told.
            self._scan()

    def _poll(self, folder: Folder) -> None:
        """Begin a pass over all names if the folder changed, and the last pass wasn't too dear."""
        changed_at = folder.changed_at()
        if changed_at != self._changed_at:
            self._changed_at = changed_at
            self._passes_due = _PASSES
        now = time.monotonic()
        due = self._passes_due or now >= self._no_pass_before + _PASS_AFTER
        if due and self._job is None and now >= self._no_pass_before:
            self._passes_due = max(0, self._passes_due - 1)
            self._job = self._worker.spawn(self._carefully(self._compare(folder)), self._passed)

    def _passed(self, job: Job) -> None:
        self._job = None
        self._no_pass_before = time.monotonic() + _SHARE_OF_PASSES * job.cpu

    def _scan(self) -> None:
        """Look at everything, as fast as it goes."""
        if self._folder is not None:
            if self._job is not None:
                self._job.cancel()
            self._job = self._worker.spawn(self._carefully(self._look_at_all(self._folder)), self._scanned)

    def _scanned(self, _: Job) -> None:
        self._job = None
        if not self._ready:
            self._ready = True
            records = self._records()
            for mailbox in self._mailboxes:
                mailbox.snapshot(records)
            self._found()

    def _carefully(self, steps: Iterator[object]) -> Iterator[object]:
        """Hand on *steps*; if one fails, say so and never come to the end."""
        try:
            yield from steps
        except OSError as error:
            # Cancels the job this runs in, so that a scan that failed isn't taken for a complete one.
            self._lost(error)

    def _forever(self, steps: Callable[[Folder], Iterator[object]]) -> Iterator[object]:
        while self._folder is not None:
            yield from steps(self._folder)
            yield None  # a folder may be empty

    def _look_at_all(self, folder: Folder) -> Iterator[object]:
        before = set(self._known)
        for name in os.listdir(folder.fd):  # noqa: PTH208 - a descriptor, not a path
            if NODE.fullmatch(name):
                before.discard(name)
                self._look(name)
                yield name
        for name in before:
            self._look(name)
            yield name

    def _compare(self, folder: Folder) -> Iterator[object]:
        """Find names that are new, gone or have another file, which costs a fifth of looking at each."""
        before = set(self._known)
        for name in os.listdir(folder.fd):  # noqa: PTH208 - a descriptor, not a path
            if NODE.fullmatch(name):
                before.discard(name)
                known = self._known.get(name)
                if known is None or version_at(folder, name) != known.version:
                    self._look(name)
                yield name
            elif name.startswith(TEMPORARY):
                sweep(folder, name)
        for name in before:
            self._look(name)
            yield name

    def _test_locks(self, _: Folder) -> Iterator[object]:
        for name in tuple(self._known):
            if name in self._known:
                self._look(name)
            yield name

    # What inotify tells

    def _happened(self, changes: dict[str, Change]) -> None:
        try:
            for name, change in changes.items():
                if not name:
                    self._happened_to_folder(change)
                elif NODE.fullmatch(name):
                    alive = self._look(name)
                    if alive and Change.CLOSED in change:
                        self._look_again(name)
                    elif not alive and Change.REMOVED in change:
                        self._suspect()
        except OSError as error:
            self._lost(error)

    def _happened_to_folder(self, change: Change) -> None:
        if Change.LOST in change:
            self._scan()
        if Change.FOLDER in change:
            self._suspect()

    def _look_again(self, name: str, attempt: int = 0) -> None:
        """Look after a while whether the lock is gone, as the file was closed."""

        def due() -> None:
            try:
                if self._folder is not None and self._listening is not None and self._look(name):
                    self._look_again(name, attempt + 1)
            except OSError as error:
                self._lost(error)

        if attempt < len(_LOOK_AGAIN):
            self._worker.later(_LOOK_AGAIN[attempt], due)

    # One record

    def _look(self, node: str) -> bool:
        """Look at one record and tell what is new; whether its owner lives."""
        folder = self._folder
        if folder is None:
            return False
        known = self._known.get(node)
        found = look(folder, node, known.version if known else None)
        if isinstance(found, Alive):
            self._put(known, Record(node, found.data, int(node[-10:])), found.version)
            return True
        if found is Fate.SAME:
            return True
        if found is not Fate.GONE:
            self._complain(node, found)
        if known is not None:
            del self._known[node]
            self._tell(partial(Mailbox.gone, node=node))
        return False

    def _put(self, known: _Known | None, record: Record, version: Version) -> None:
        self._known[record.name] = _Known(record, version)
        # Asked here as well as there: a scan would make ten thousand calls that tell nobody anything.
        if self._ready and (known is None or known.record != record):
            self._tell(partial(Mailbox.put, record=record, new=known is None))

    def _tell(self, say: Callable[[Mailbox], object]) -> None:
        if self._ready:
            for mailbox in self._mailboxes:
                say(mailbox)

    def _complain(self, node: str, found: Fate) -> None:
        if node in self._complained or len(self._complained) >= _COMPLAINTS:
            return
        self._complained.add(node)
        why = (
            f"is larger than {RECORD_LIMIT} bytes: whoever advertises it has to shorten it"
            if found is Fate.OVERSIZED
            else "is not a file that this user wrote: remove it"
        )
        # Names are as hostile as data: ascii() lets no control character through.
        _LOG.warning("The record %s in %s is left out, because it %s.", ascii(node), self._path(), why)

    def _path(self) -> str:
        return ascii(self._folder.path) if self._folder else "no folder"


def _advance(steps: Iterator[object], number: int) -> None:
    for _ in itertools.islice(steps, number):
        pass
