"""All records of one folder as this process knows them, and the ways of keeping that up to date."""

import asyncio
import itertools
import logging
import os
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from peerage.backends.embedded.folder import DRAFT_PREFIX, Folder
from peerage.backends.embedded.inotify import CLOSED, LOST, NAMED, Notifier
from peerage.backends.embedded.loopthread import run_in_slices
from peerage.backends.embedded.recordfile import (
    RECORD_NAME,
    Content,
    State,
    Version,
    read_record,
    remove_old_draft,
    version_of,
)
from peerage.backends.feed import Feed
from peerage.registry import Record

if TYPE_CHECKING:
    from asyncinotify import Watch

_LOG = logging.getLogger(__name__)

#: Seconds after a file was closed until its lock is tested: the kernel reports the close before it unlocks.
_TESTS_AFTER_CLOSE: Final = (0.001, 0.01, 0.1)

#: Files looked at per tick at least, and, with inotify, ticks until all are looked at at most.
_STEPS: Final = 30
_TICKS_PER_ROUND: Final = 120

#: When polling, the share of a processor that comparing may take is one part in so many.
_SHARE: Final = 100

#: Seconds in which a second change of a folder may not show in its modification time: some file systems keep
#: whole seconds only.
_UNSETTLED: Final = 1.0

#: Names that are warned about, each once; no more, because the folder is in disorder then.
_WARNINGS: Final = 100


class _Known(NamedTuple):
    record: Record
    version: Version


class View:
    """The records of a folder, and the feeds to which changes are reported.

    Args:
        notifier: inotify.
        on_complete: called when everything has been read after :meth:`start`.
        on_error: called with an error that prevents reading.
        on_doubt: called when the folder itself may have been removed.
    """

    def __init__(
        self,
        notifier: Notifier,
        on_complete: Callable[[], object],
        on_error: Callable[[OSError], object],
        on_doubt: Callable[[], object],
    ) -> None:
        self._notifier = notifier
        self._on_complete = on_complete
        self._on_error = on_error
        self._on_doubt = on_doubt
        self._folder: Folder | None = None
        self._known: dict[str, _Known] = {}
        self._feeds: dict[Feed, None] = {}
        self._complete = False
        self._watch: Watch | None = None
        self._task: asyncio.Task[None] | None = None
        self._round: Iterator[object] = iter(())
        # Files in the folder, records or not.
        self._size = 0
        self._warned: set[str] = set()
        # Files that were closed a moment ago, probably because their owners ended.
        self._closed: set[str] = set()
        # When polling: the folder's modification time, until when it can hide a change, and when names were
        # and may be compared.
        self._changed_at = 0
        self._unsettled_until = 0.0
        self._compared_at = 0.0
        self._compare_not_before = 0.0

    # Watchers

    @property
    def active(self) -> bool:
        """Whether there is a watcher, or was one since :meth:`start`."""
        return bool(self._feeds) or self._folder is not None

    @property
    def polling(self) -> bool:
        """Whether changes are found without inotify."""
        return self._folder is not None and self._watch is None

    def __len__(self) -> int:
        return len(self._known)

    def add(self, feed: Feed) -> None:
        """Report to *feed* what is known, as soon as that is complete, and then every change."""
        self._feeds[feed] = None
        if self._complete:
            feed.snapshot(self._records())

    def discard(self, feed: Feed) -> None:
        """Report nothing more to *feed*."""
        self._feeds.pop(feed, None)

    def stale(self, reason: str) -> None:
        """Report to all feeds that the registry is out of touch."""
        for feed in self._feeds:
            feed.stale(reason, refused=True)

    def _records(self) -> Iterator[Record]:
        return (known.record for known in self._known.values())

    # In touch, out of touch

    def start(self, folder: Folder) -> None:
        """Read what is in *folder* and report it as a snapshot; then report changes."""
        self._known.clear()
        self._folder = folder
        with self._errors_reported():
            # Watched before it is read: a change in between is seen twice rather than never.
            self._watch = self._notifier.listen(folder.path, self._on_changes)
            self._run(self._read_all)

    def stop(self) -> None:
        """Read nothing more until the next :meth:`start`."""
        self._folder = None
        self._complete = False
        self._closed.clear()
        self._round = iter(())
        self._cancel()
        if self._watch is not None:
            self._notifier.ignore(self._watch, self._on_changes)
            self._watch = None

    @contextmanager
    def _errors_reported(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            self._on_error(error)

    # Keeping it up to date

    def tick(self) -> None:
        """Do a small piece of the round that finds changes without inotify; called several times a second."""
        folder = self._folder
        if folder is None or not self._complete:
            return
        with self._errors_reported():
            steps = _STEPS if self.polling else max(_STEPS, self._size // _TICKS_PER_ROUND)
            if len(list(itertools.islice(self._round, steps))) < steps:
                self._round = self._look(each=True)
            if self._watch is None:
                self._watch = self._notifier.listen(folder.path, self._on_changes)
                if self._watch is None:
                    self._poll(folder)
                else:
                    self._run(self._read_all)

    def _poll(self, folder: Folder) -> None:
        """Compare names if the folder changed, or may have changed, within the share of the processor."""
        now, changed_at = time.monotonic(), folder.changed_at()
        if changed_at != self._changed_at:
            self._changed_at, self._unsettled_until = changed_at, now + _UNSETTLED
        due = self._compare_not_before <= now and self._compared_at <= self._unsettled_until
        if due and self._task is None:
            self._compared_at = now
            self._run(self._compare_all)

    async def _compare_all(self) -> None:
        cpu = await run_in_slices(self._look(each=False))
        self._compare_not_before = time.monotonic() + _SHARE * cpu

    async def _read_all(self) -> None:
        await run_in_slices(self._look(each=True))
        if not self._complete:
            self._complete = True
            for feed in self._feeds:
                feed.snapshot(self._records())
            self._on_complete()

    def _run(self, work: Callable[[], Coroutine[object, object, None]]) -> None:
        """Begin long work in place of what is under way."""

        async def guarded() -> None:
            with self._errors_reported():
                await work()
                self._task = None

        self._cancel()
        self._task = asyncio.create_task(guarded(), name="peerage.backends.embedded: view")

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()
            self._task = None

    def _look(self, *, each: bool) -> Iterator[object]:
        """Read records that are new, gone or in another file, or *each*, which costs five times as much.

        Only reading finds a record whose owner died without an event.
        """
        folder, before = self._folder, set(self._known)
        if folder is None:
            return
        names = os.listdir(folder.fd)  # noqa: PTH208 - a descriptor, not a path
        self._size = len(names)
        for name in names:
            if RECORD_NAME.fullmatch(name):
                before.discard(name)
                known = self._known.get(name)
                if each or known is None or version_of(folder, name) != known.version:
                    self._read(name)
            elif name.startswith(DRAFT_PREFIX):
                remove_old_draft(folder, name)
            # Other files are steps as well: a folder may have thousands of them.
            yield name
        if before and folder.is_removed():
            # That says nothing about the owners.
            self._on_doubt()
            return
        for name in before:
            # Without events it isn't known what removed them.
            yield self._read(name, ended=self.polling)

    # Changes that inotify reports

    def _on_changes(self, changes: dict[str, int]) -> None:
        with self._errors_reported():
            for name, flags in changes.items():
                if not name and flags & LOST:
                    self._run(self._read_all)
                elif not name:
                    self._on_doubt()
                elif RECORD_NAME.fullmatch(name):
                    # An owner that has just written its record and removes it withdraws it. What removed any
                    # other file isn't known: perhaps the folder is being emptied.
                    ended = bool(flags & (CLOSED | NAMED)) or name in self._closed
                    alive = self._read(name, ended=ended)
                    if alive and flags & CLOSED:
                        self._test_after_close(name)
                    elif not alive:
                        self._on_doubt()

    def _test_after_close(self, name: str, attempt: int = 0) -> None:
        """Test after a while whether the lock of a file that was closed is gone."""

        def due() -> None:
            with self._errors_reported():
                if self._watch is not None and self._read(name, ended=True):
                    self._test_after_close(name, attempt + 1)
                else:
                    self._closed.discard(name)

        if attempt == len(_TESTS_AFTER_CLOSE):
            self._closed.discard(name)
        else:
            self._closed.add(name)
            asyncio.get_running_loop().call_later(_TESTS_AFTER_CLOSE[attempt], due)

    # One record

    def _read(self, name: str, *, ended: bool = False) -> bool:
        """Read one record and report what changed; return whether its owner lives.

        Args:
            name: of the record.
            ended: whether a record that isn't there was withdrawn, or its owner has ended.
        """
        folder = self._folder
        if folder is None:
            return False
        known = self._known.get(name)
        found = read_record(folder, name, known.version if known else None)
        if isinstance(found, Content):
            sequence = int(name.rpartition(".")[2])
            self._put(known, Record(name, found.data, sequence), found.version)
            return True
        if found is State.UNCHANGED:
            return True
        if found not in {State.GONE, State.DEAD}:
            self._warn(folder, name, found)
        if known is not None:
            del self._known[name]
            if self._complete:
                for feed in self._feeds:
                    feed.gone(name, withdrawn=ended or found is not State.GONE)
        return False

    def _put(self, known: _Known | None, record: Record, version: Version) -> None:
        self._known[record.name] = _Known(record, version)
        if self._complete and (known is None or known.record != record):
            for feed in self._feeds:
                feed.put(record, new=known is None)

    def _warn(self, folder: Folder, name: str, found: State) -> None:
        if name in self._warned or len(self._warned) >= _WARNINGS:
            return
        self._warned.add(name)
        # Names are as untrusted as data: ascii() escapes control characters.
        _LOG.warning(
            "The record %s in %s is left out, because %s.", ascii(name), ascii(folder.path), found.value
        )
