"""One folder as this process uses it: the records it advertises there, and its view of all records.

A store lives on the thread. All registries of the process with one location share a store.
"""

import asyncio
import errno
import logging
import time
from collections.abc import Iterable
from typing import Final

from peerage.backends.embedded.folder import Folder
from peerage.backends.embedded.inotify import Notifier
from peerage.backends.embedded.location import Location
from peerage.backends.embedded.loopthread import LoopThread
from peerage.backends.embedded.ownedrecord import OwnedRecord
from peerage.backends.embedded.view import View
from peerage.backends.feed import Feed
from peerage.errors import RegistryDeniedError
from peerage.registry import Health

_LOG = logging.getLogger(__name__)

#: Seconds between ticks: they look for what inotify may have missed, and open a folder that couldn't be used.
#: Polling depends on them.
_TICK: Final = 0.5
_POLLING_TICK: Final = 0.05

#: Seconds from the removal of a record to a check of its folder: ``rm -rf`` removes records before it.
_CHECK_AFTER_REMOVAL: Final = 0.02

#: Own records per check that are looked at, whether they are still there.
_RECORDS_PER_CHECK: Final = 50

#: Seconds for removing the files of all records when a registry is closed.
_REMOVING: Final = 0.5

_DENIALS: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


class Store:
    """Opens the folder, reopens it when it was replaced, and keeps the process's records in it.

    *thread* makes all calls except those of the constructor.
    """

    def __init__(self, location: Location, thread: LoopThread, notifier: Notifier) -> None:
        self.location = location
        self.thread = thread
        self.notifier = notifier
        self.users = 0
        """Registries that use it; for :mod:`peerage.backends.embedded.shared`."""
        self._view = View(notifier, self._recovered, self._failed, self._check_soon)
        self._records: dict[OwnedRecord, None] = {}
        # None while out of touch.
        self._folder: Folder | None = None
        self._since = time.monotonic()
        # Why the folder can't be used, and whether it is refused, which doesn't pass by waiting.
        self._problem: str | None = None
        self._denied = False
        self._check_scheduled = False
        # Why records can't be written, although the folder can be read; and which.
        self._write_problem: str | None = None
        self._unwritten: set[OwnedRecord] = set()
        self._ticker: asyncio.TimerHandle | None = None

    # For registries

    def open(self) -> None:
        """Open the folder, and keep at it until :meth:`close`."""
        self._tick()

    def watch(self, feed: Feed) -> None:
        """Report all records to *feed*, and then every change."""
        first = not self._view.active
        self._view.add(feed)
        if self._problem is not None:
            feed.stale(self._problem.removesuffix("."), refused=True)
        if self._folder is not None and first:
            self._view.start(self._folder)

    def unwatch(self, feed: Feed) -> None:
        """Report nothing more to *feed*."""
        self._view.discard(feed)

    def advertise(self, record: OwnedRecord) -> None:
        """Keep *record* in the folder until it is withdrawn."""
        if not record.withdrawn:
            self._records[record] = None
            if self._folder is not None:
                self.write(record)
            elif self._denied and self._problem is not None:
                record.deny(self._problem)

    def write(self, record: OwnedRecord) -> None:
        """Bring the file of *record* up to date, or try again later if that fails."""
        if self._folder is None or record not in self._records:
            return
        try:
            record.write(self._folder)
        except OSError as error:
            self._write_failed(record, error)
        else:
            self._written(record)

    def withdraw(self, record: OwnedRecord, *, remove: bool = True) -> None:
        """Withdraw *record*; with ``remove=False``, or out of touch, others remove its unlocked file."""
        self._records.pop(record, None)
        self._unwritten.discard(record)
        if not self._unwritten:
            self._write_problem = None
        try:
            record.remove(self._folder if remove else None)
        except OSError as error:
            _LOG.warning(
                "The file of a withdrawn record %s can't be removed (%s). It isn't locked, so it is ignored.",
                ascii(record.prefix),
                error.strerror,
            )

    def withdraw_all(self, records: Iterable[OwnedRecord]) -> None:
        """Withdraw all within half a second; files for which there is no time are unlocked only."""
        until = time.monotonic() + _REMOVING
        for record in records:
            self.withdraw(record, remove=time.monotonic() < until)

    def health(self) -> Health:
        """Return the state of the folder, for :meth:`peerage.registry.Registry.inspect`."""
        connected = self._folder is not None and self._problem is None
        problem = self._problem or self._write_problem
        details = {"changes": "not watched", "own records": str(len(self._records))}
        if self._view.active:
            details["changes"] = "polling" if self._view.polling else "inotify"
            details["records"] = str(len(self._view))
        return Health(
            url=self.location.url,
            state="connected" if connected else "stale",
            since=time.monotonic() - self._since,
            writable=connected and problem is None,
            server=f"{self.location.base}/{self.location.folder}",
            problem=problem,
            details=details,
        )

    def close(self) -> None:
        """Withdraw everything and close the folder."""
        if self._ticker is not None:
            self._ticker.cancel()
        self.withdraw_all(tuple(self._records))
        self._close_folder()

    # In touch, out of touch

    def _attach(self) -> None:
        """Open the folder and bring everything up to date; the next tick tries again if that fails."""
        self._close_folder()
        try:
            folder = self._folder = Folder.open(self.location, self.location.folder)
        except (RegistryDeniedError, OSError) as error:
            self._failed(error)
            return
        for record in tuple(self._records):
            self.write(record)
        if self._view.active:
            self._view.start(folder)
        else:
            self._recovered()

    def _close_folder(self) -> None:
        self._view.stop()
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    def _recovered(self) -> None:
        """The folder is open and, if there is a watcher, was read to the end."""
        if self._problem is not None:
            self._problem, self._denied = None, False
            self._since = time.monotonic()
            _LOG.debug("The embedded registry in %s is in touch again.", ascii(self.location.base))

    def _failed(self, error: Exception) -> None:
        """The folder is refused, or can't be used for a reason that may pass."""
        self._close_folder()
        self._denied = isinstance(error, RegistryDeniedError)
        problem = str(error)
        if isinstance(error, OSError):
            problem = (
                f"The embedded registry in {self.location.base!a} can't be used for now "
                f"({error.strerror or error}): resolve this; it is tried again every second."
            )
        if self._problem is None:
            self._since = time.monotonic()
            # The followers of the registry log it as well.
            _LOG.debug("%s", problem)
        if problem != self._problem:
            self._problem = problem
            # Followers continue the sentence.
            self._view.stale(problem.removesuffix("."))
        if self._denied:
            for record in self._records:
                record.deny(problem)

    # Keeping it up to date

    def _tick(self) -> None:
        try:
            if self._folder is None:
                self._attach()
            else:
                self._check()
                self._view.tick()
        finally:
            delay = _POLLING_TICK if self._view.polling else _TICK
            self._ticker = asyncio.get_running_loop().call_later(delay, self._tick)

    def _check_soon(self) -> None:
        if not self._check_scheduled:
            self._check_scheduled = True
            asyncio.get_running_loop().call_later(_CHECK_AFTER_REMOVAL, self._check)

    def _check(self) -> None:
        """Attach again if the folder was replaced; write again the records that were removed from it."""
        self._check_scheduled = False
        if self._folder is None:
            return
        try:
            in_place = self._folder.in_place()
        except (RegistryDeniedError, OSError) as error:
            self._failed(error)
            return
        if not in_place:
            self._attach()
            return
        for record in tuple(self._records)[:_RECORDS_PER_CHECK]:
            # Moved to the end, so that all have their turn, a few at a time.
            self._records[record] = self._records.pop(record)
            self.write(record)

    # Records that can't be written for now

    def _written(self, record: OwnedRecord) -> None:
        self._unwritten.discard(record)
        if self._write_problem is not None and not self._unwritten:
            self._write_problem = None
            _LOG.info("All records are written to %s again.", ascii(self.location.base))

    def _write_failed(self, record: OwnedRecord, error: OSError) -> None:
        """The next check tries again."""
        if error.errno == errno.ENOENT:
            # The folder is being removed, which the check finds out.
            self._check_soon()
            return
        problem = (
            f"Records can't be written to {self.location.base!a} ({error.strerror or error}): "
            "resolve this; it is tried again every second."
        )
        self._unwritten.add(record)
        if self._write_problem is None:
            _LOG.warning("%s", problem)
        self._write_problem = problem
        if error.errno in _DENIALS:
            record.deny(problem)
