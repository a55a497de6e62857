"""One folder as this process has to do with it: the records it owns there, and its view of all.

Everything here happens on the worker's thread. All registries of the process at one place share a site.
"""

import errno
import logging
import random
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from peerage.backends.embedded.folder import Folder
from peerage.backends.embedded.inotify import Notifier
from peerage.backends.embedded.location import Location
from peerage.backends.embedded.mailbox import Mailbox
from peerage.backends.embedded.owner import Owner
from peerage.backends.embedded.view import View
from peerage.backends.embedded.worker import Timer, Worker
from peerage.errors import RegistryDeniedError

__all__ = ["Condition", "Site"]

_LOG = logging.getLogger(__name__)

#: Seconds between ticks: with inotify only what it may have missed is looked for, polling lives on them.
_TICK: Final = 0.5
_POLLING_TICK: Final = 0.05

#: Seconds between looks whether the folder is still the one at its path.
_CHECK: Final = 0.5

#: Seconds after a record was removed until that look: ``rm -rf`` removes records before their folder.
_CHECK_AFTER_REMOVAL: Final = 0.02

#: Seconds until the next attempt to open the folder: the first one, and the longest.
_RETRY: Final = 0.05
_LONGEST_RETRY: Final = 1.0

#: Seconds until the next attempt to get a number, at most: the first time, and ever.
_BUSY: Final = 0.002
_LONGEST_BUSY: Final = 0.05

#: Seconds without a number until that is a problem: whoever has the counter is stopped, or hangs.
_BUSY_TOO_LONG: Final = 1.0

#: Own records looked at per check, whether they are still there.
_OWNERS_PER_CHECK: Final = 50

#: Seconds for removing the files of all records when a registry is closed.
_REMOVING: Final = 0.5

_DENIALS: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


@dataclass(frozen=True, slots=True)
class Condition:
    """How a site is doing."""

    attached: bool
    since: float
    """Monotonic time at which that began."""
    problem: str | None
    folder: str
    polling: bool
    known: int | None
    """Records known, None if nobody watches."""
    owned: int


class Site:
    """Opens the folder, opens it again when it was replaced, and keeps own records in it.

    Args:
        location: where.
        worker: the thread.
        notifier: its inotify.
    """

    def __init__(self, location: Location, worker: Worker, notifier: Notifier) -> None:
        self._location = location
        self._worker = worker
        self._view = View(worker, notifier, self._recovered, self._lose, self._check_soon)
        self._owners: dict[Owner, None] = {}
        self._folder: Folder | None = None
        self._attached = False
        self._closed = False
        self._problem: str | None = None
        self._denied = False
        self._since = time.monotonic()
        self._retry_in = _RETRY
        self._checking = False
        self._checked = 0.0
        self._write_problem: str | None = None
        self._unwritten: set[Owner] = set()
        # Since when each waits for a number; there is one attempt under way for each of them.
        self._numberless: dict[Owner, float] = {}
        self._retrying = Timer(lambda: None)
        self._attach()
        self._ticker: Timer = worker.later(_TICK, self._tick)

    # What registries ask for

    def watch(self, mailbox: Mailbox) -> None:
        """Tell *mailbox* everything from now on."""
        first = not self._view.wanted
        self._view.add(mailbox)
        if self._problem is not None:
            mailbox.stale(_reason(self._problem))
        if self._attached and first:
            self._start_view()

    def unwatch(self, mailbox: Mailbox) -> None:
        """Tell *mailbox* nothing more."""
        self._view.discard(mailbox)

    def own(self, owner: Owner) -> None:
        """Advertise."""
        if not owner.withdrawn:
            self._owners[owner] = None
            if self._attached:
                self.write(owner)
            elif self._denied and self._problem is not None:
                owner.deny(self._problem)

    def write(self, owner: Owner, attempt: int = 0) -> None:
        """Bring the record of *owner* up to date; later, if that can't be now."""
        now = time.monotonic()
        since = self._numberless.get(owner, now)
        if attempt:
            self._numberless.pop(owner, None)
        if not self._attached or self._folder is None or owner not in self._owners:
            return
        try:
            written = owner.write(self._folder)
        except OSError as error:
            self._cannot_write(owner, error)
            return
        if written:
            self._has_written(owner)
            return
        if now - since >= _BUSY_TOO_LONG:
            self._unwritable(
                owner,
                f"Records can't be numbered in {self._location.base!a}, because another process has the file "
                "'.seq' there locked, and may be stopped or hang: end or continue it.",
            )
        if owner not in self._numberless:
            self._numberless[owner] = since
            # Spread at random, or all that wait would meet again.
            delay = random.uniform(0, min(_BUSY * 2**attempt, _LONGEST_BUSY))  # noqa: S311 - not for secrets
            self._worker.later(delay, lambda: self.write(owner, min(attempt + 1, 10)))

    def disown_all(self, owners: Iterable[Owner]) -> None:
        """Withdraw them in half a second; of what is left only the lock goes, others remove the files."""
        until = time.monotonic() + _REMOVING
        for owner in owners:
            self.disown(owner, remove=time.monotonic() < until)

    def disown(self, owner: Owner, *, remove: bool = True) -> None:
        """Withdraw."""
        self._owners.pop(owner, None)
        self._has_written(owner)
        try:
            owner.remove(self._folder if remove else None)
        except OSError as error:
            _LOG.warning(
                "A record of %s is left as an unlocked file, which counts for nothing (%s).",
                ascii(owner.name),
                error.strerror,
            )

    def condition(self) -> Condition:
        """Say how it is doing."""
        return Condition(
            attached=self._attached and (self._problem is None),
            since=self._since,
            problem=self._problem or self._write_problem,
            folder=f"{self._location.base}/{self._location.folder}",
            polling=self._view.polling,
            known=len(self._view) if self._view.wanted else None,
            owned=len(self._owners),
        )

    def close(self) -> None:
        """Withdraw everything and let go of the folder."""
        self._closed = True
        self._ticker.cancel()
        self._retrying.cancel()
        self.disown_all(tuple(self._owners))
        self._attached = False
        self._view.stop()
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    # In touch, out of touch

    def _attach(self) -> None:
        """Open the folder, or find it as it was, and bring all up to date; if that fails, try again later."""
        try:
            folder = Folder.open(self._location.base, self._location.folder)
        except RegistryDeniedError as error:
            self._detach(str(error), denied=True)
            return
        except OSError as error:
            self._lose(error)
            return
        self._adopt(folder)
        self._attached = True
        for owner in tuple(self._owners):
            self.write(owner)
        if self._view.wanted:
            self._start_view()
        else:
            self._recovered()

    def _recovered(self) -> None:
        """The folder is open and, if somebody watches, was read to the end."""
        self._retry_in = _RETRY
        if self._problem is not None:
            self._problem, self._denied = None, False
            self._since = time.monotonic()
            _LOG.debug("The embedded registry in %s is in touch again.", ascii(self._location.base))

    def _adopt(self, folder: Folder) -> None:
        """Take *folder*; if it is another one than before, nothing of what was owned is in it."""
        old = self._folder
        if old is not None and old.identity == folder.identity:
            folder.close()
            return
        self._folder = folder
        if old is not None:
            for owner in self._owners:
                owner.abandon()
            old.close()

    def _start_view(self) -> None:
        if self._folder is not None:
            try:
                self._view.start(self._folder)
            except OSError as error:
                self._lose(error)

    def _lose(self, error: OSError) -> None:
        """Something failed that may pass."""
        self._detach(
            f"The embedded registry in {self._location.base!a} can't be used for now "
            f"({error.strerror or error}): see to it, it is tried again every second.",
            denied=False,
        )

    def _detach(self, problem: str, *, denied: bool) -> None:
        self._attached = False
        self._view.halt()
        if self._problem is None:
            self._since = time.monotonic()
            # Whoever watches is told, and logs it.
            _LOG.debug("%s", problem)
        if problem != self._problem:
            self._view.stale(_reason(problem))
        self._problem, self._denied = problem, denied
        if denied:
            for owner in self._owners:
                owner.deny(problem)
        self._retrying.cancel()
        self._retrying = self._worker.later(self._retry_in, self._retry)
        self._retry_in = min(2 * self._retry_in, _LONGEST_RETRY)

    def _retry(self) -> None:
        if not self._attached and not self._closed:
            self._attach()

    # Keeping it true

    def _tick(self) -> None:
        try:
            if self._attached:
                if time.monotonic() - self._checked >= _CHECK:
                    self._check()
                self._view.tick()
        finally:
            self._ticker = self._worker.later(_POLLING_TICK if self._view.polling else _TICK, self._tick)

    def _check_soon(self) -> None:
        if not self._checking:
            self._checking = True
            self._worker.later(_CHECK_AFTER_REMOVAL, self._check)

    def _check(self) -> None:
        """Attach again if the folder is another one by now; write again what was removed from it."""
        self._checking = False
        if not self._attached or self._folder is None:
            return
        self._checked = time.monotonic()
        try:
            in_place = self._folder.in_place()
        except RegistryDeniedError as error:
            self._detach(str(error), denied=True)
            return
        except OSError as error:
            self._lose(error)
            return
        if not in_place:
            self._attach()
            return
        for owner in tuple(self._owners)[:_OWNERS_PER_CHECK]:
            # To the end of the line: all have their turn, a few at a time.
            self._owners[owner] = self._owners.pop(owner)
            self.write(owner)

    def _has_written(self, owner: Owner) -> None:
        self._unwritten.discard(owner)
        if self._write_problem is not None and not self._unwritten:
            self._write_problem = None
            _LOG.info("Every record is written to %s again.", ascii(self._location.base))

    def _cannot_write(self, owner: Owner, error: OSError) -> None:
        """The next check tries again."""
        if error.errno == errno.ENOENT:
            # The folder is being removed under us, which is found out in a moment and isn't worth a line.
            self._check_soon()
            return
        problem = (
            f"Records can't be written to {self._location.base!a} ({error.strerror or error}): "
            "see to it, it is tried again every second."
        )
        self._unwritable(owner, problem)
        if error.errno in _DENIALS:
            owner.deny(problem)

    def _unwritable(self, owner: Owner, problem: str) -> None:
        self._unwritten.add(owner)
        if self._write_problem is None:
            _LOG.warning("%s", problem)
        self._write_problem = problem


def _reason(problem: str) -> str:
    """The sentence without its full stop, for :class:`peerage.registry.Stale`: followers go on after it."""
    return problem.removesuffix(".")
