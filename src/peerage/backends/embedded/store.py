"""One folder as this process uses it: the records it advertises there, and its view of all records.

A store lives on the thread. All registries of the process with one location share a store.
"""

import asyncio
import errno
import logging
import random
import time
from collections.abc import Iterable
from typing import Final

from peerage.backends.embedded.folder import Folder
from peerage.backends.embedded.inotify import Notifier
from peerage.backends.embedded.location import Location
from peerage.backends.embedded.ownedrecord import OwnedRecord
from peerage.backends.embedded.view import View
from peerage.backends.feed import Feed
from peerage.errors import RegistryDeniedError
from peerage.registry import Health

__all__ = ["Store"]

_LOG = logging.getLogger(__name__)

#: Seconds between ticks: with inotify they look for what it may have missed, polling depends on them.
_TICK: Final = 0.5
_POLLING_TICK: Final = 0.05

#: Seconds between checks whether the folder is still the one at its path.
_CHECK: Final = 0.5

#: Seconds from the removal of a record to such a check: ``rm -rf`` removes records before their folder.
_CHECK_AFTER_REMOVAL: Final = 0.02

#: Seconds until the next attempt to open the folder: the first time, and at most.
_RETRY: Final = 0.05
_LONGEST_RETRY: Final = 1.0

#: Seconds until the next attempt to get a number: the first time at most, and ever.
_NUMBER_RETRY: Final = 0.002
_LONGEST_NUMBER_RETRY: Final = 0.05

#: Seconds without a number after which that is a problem: the process with the counter is stopped, or hangs.
_NUMBER_PATIENCE: Final = 1.0

#: Own records per check that are looked at, whether they are still there.
_RECORDS_PER_CHECK: Final = 50

#: Seconds for removing the files of all records when a registry is closed.
_REMOVING: Final = 0.5

_DENIALS: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


class Store:
    """Opens the folder, reopens it when it was replaced, and keeps the process's records in it.

    Args:
        location: the folder's location.
        notifier: inotify.
    """

    def __init__(self, location: Location, notifier: Notifier) -> None:
        self._location = location
        self._loop = asyncio.get_running_loop()
        self._view = View(notifier, self._recovered, self._failed, self._check_soon)
        self._records: dict[OwnedRecord, None] = {}
        self._folder: Folder | None = None
        self._attached = False
        self._since = time.monotonic()
        # Why the folder can't be used, and whether it is refused, which doesn't pass by waiting.
        self._problem: str | None = None
        self._denied = False
        self._retry_in = _RETRY
        self._retry: asyncio.TimerHandle | None = None
        self._check_scheduled = False
        self._checked_at = 0.0
        # Why records can't be written, although the folder can be read; and which.
        self._write_problem: str | None = None
        self._unwritten: set[OwnedRecord] = set()
        self._attach()
        self._ticker = self._loop.call_later(_TICK, self._tick)

    # For registries

    def watch(self, feed: Feed) -> None:
        """Report all records to *feed*, and then every change."""
        first = not self._view.active
        self._view.add(feed)
        if self._problem is not None:
            feed.stale(_reason(self._problem), refused=True)
        if self._attached and first:
            self._start_view()

    def unwatch(self, feed: Feed) -> None:
        """Report nothing more to *feed*."""
        self._view.discard(feed)

    def advertise(self, record: OwnedRecord) -> None:
        """Keep *record* in the folder until it is withdrawn."""
        if not record.withdrawn:
            self._records[record] = None
            if self._attached:
                self.write(record)
            elif self._denied and self._problem is not None:
                record.deny(self._problem)

    def write(self, record: OwnedRecord) -> None:
        """Bring the file of *record* up to date, or try again later if that fails."""
        if not self._attached or self._folder is None or record not in self._records:
            return
        try:
            complete = record.write(self._folder)
        except OSError as error:
            self._write_failed(record, error)
            return
        if complete:
            self._written(record)
        else:
            self._wait_for_number(record)

    def withdraw(self, record: OwnedRecord, *, remove: bool = True) -> None:
        """Withdraw *record*; with ``remove=False`` its file is unlocked only, and others remove it."""
        self._records.pop(record, None)
        self._written(record)
        try:
            record.remove(self._folder if remove else None)
        except OSError as error:
            _LOG.warning(
                "The file of a withdrawn record %s can't be removed (%s). It isn't locked, so it is ignored.",
                ascii(record.name),
                error.strerror,
            )

    def withdraw_all(self, records: Iterable[OwnedRecord]) -> None:
        """Withdraw all within half a second; files for which there is no time are unlocked only."""
        until = time.monotonic() + _REMOVING
        for record in records:
            self.withdraw(record, remove=time.monotonic() < until)

    def health(self) -> Health:
        """Return the state of the folder, for :meth:`peerage.registry.Registry.inspect`."""
        connected = self._attached and self._problem is None
        problem = self._problem or self._write_problem
        details = {"changes": "not watched", "own records": str(len(self._records))}
        if self._view.active:
            details["changes"] = "polling" if self._view.polling else "inotify"
            details["records"] = str(len(self._view))
        return Health(
            url=self._location.url,
            state="connected" if connected else "stale",
            since=time.monotonic() - self._since,
            writable=connected and problem is None,
            server=f"{self._location.base}/{self._location.folder}",
            problem=problem,
            details=details,
        )

    def close(self) -> None:
        """Withdraw everything and close the folder."""
        self._ticker.cancel()
        if self._retry is not None:
            self._retry.cancel()
        self.withdraw_all(tuple(self._records))
        self._attached = False
        self._view.stop()
        if self._folder is not None:
            self._folder.close()
            self._folder = None

    # In touch, out of touch

    def _attach(self) -> None:
        """Open the folder and bring everything up to date; try again later if that fails."""
        if self._attached:
            return
        try:
            folder = Folder.open(self._location.base, self._location.folder)
        except RegistryDeniedError as error:
            self._detach(str(error), denied=True)
            return
        except OSError as error:
            self._failed(error)
            return
        self._adopt(folder)
        self._attached = True
        for record in tuple(self._records):
            self.write(record)
        if self._view.active:
            self._start_view()
        else:
            self._recovered()

    def _adopt(self, folder: Folder) -> None:
        """Use *folder*; if it isn't the one from before, none of the process's records is in it."""
        old = self._folder
        if old is not None and old.identity == folder.identity:
            folder.close()
            return
        self._folder = folder
        if old is not None:
            for record in self._records:
                record.abandon()
            old.close()

    def _start_view(self) -> None:
        if self._folder is not None:
            try:
                self._view.start(self._folder)
            except OSError as error:
                self._failed(error)

    def _recovered(self) -> None:
        """The folder is open and, if there is a watcher, was read to the end."""
        self._retry_in = _RETRY
        if self._problem is not None:
            self._problem, self._denied = None, False
            self._since = time.monotonic()
            _LOG.debug("The embedded registry in %s is in touch again.", ascii(self._location.base))

    def _failed(self, error: OSError) -> None:
        """Something failed that may pass."""
        self._detach(
            f"The embedded registry in {self._location.base!a} can't be used for now "
            f"({error.strerror or error}): resolve this; it is tried again every second.",
            denied=False,
        )

    def _detach(self, problem: str, *, denied: bool) -> None:
        self._attached = False
        self._view.halt()
        if self._problem is None:
            self._since = time.monotonic()
            # The followers of the registry log it as well.
            _LOG.debug("%s", problem)
        if problem != self._problem:
            self._view.stale(_reason(problem))
        self._problem, self._denied = problem, denied
        if denied:
            for record in self._records:
                record.deny(problem)
        if self._retry is not None:
            self._retry.cancel()
        self._retry = self._loop.call_later(self._retry_in, self._attach)
        self._retry_in = min(2 * self._retry_in, _LONGEST_RETRY)

    # Keeping it up to date

    def _tick(self) -> None:
        try:
            if self._attached:
                if time.monotonic() - self._checked_at >= _CHECK:
                    self._check()
                self._view.tick()
        finally:
            self._ticker = self._loop.call_later(_POLLING_TICK if self._view.polling else _TICK, self._tick)

    def _check_soon(self) -> None:
        if not self._check_scheduled:
            self._check_scheduled = True
            self._loop.call_later(_CHECK_AFTER_REMOVAL, self._check)

    def _check(self) -> None:
        """Attach again if the folder was replaced; write again the records that were removed from it."""
        self._check_scheduled = False
        if not self._attached or self._folder is None:
            return
        self._checked_at = time.monotonic()
        try:
            in_place = self._folder.in_place()
        except RegistryDeniedError as error:
            self._detach(str(error), denied=True)
            return
        except OSError as error:
            self._failed(error)
            return
        if not in_place:
            self._attached = False
            self._attach()
            return
        for record in tuple(self._records)[:_RECORDS_PER_CHECK]:
            # Moved to the end, so that all have their turn, a few at a time.
            self._records[record] = self._records.pop(record)
            self.write(record)

    # Records that can't be written for now

    def _wait_for_number(self, record: OwnedRecord) -> None:
        now = time.monotonic()
        if record.waiting_since is None:
            record.waiting_since = now
        waited = now - record.waiting_since
        if waited >= _NUMBER_PATIENCE:
            self._report_unwritten(
                record,
                f"Records can't be numbered in {self._location.base!a}, because another process has the file "
                "'.seq' there locked, and may be stopped or hang: end or continue it.",
            )
        if not record.retry_scheduled:
            record.retry_scheduled = True
            # At random, so that the processes that wait don't collide again, and less often with time.
            longest = min(_NUMBER_RETRY + waited, _LONGEST_NUMBER_RETRY)
            self._loop.call_later(random.uniform(0, longest), self._retry_number, record)  # noqa: S311 - no secret

    def _retry_number(self, record: OwnedRecord) -> None:
        record.retry_scheduled = False
        self.write(record)

    def _written(self, record: OwnedRecord) -> None:
        record.waiting_since = None
        self._unwritten.discard(record)
        if self._write_problem is not None and not self._unwritten:
            self._write_problem = None
            _LOG.info("All records are written to %s again.", ascii(self._location.base))

    def _write_failed(self, record: OwnedRecord, error: OSError) -> None:
        """The next check tries again."""
        if error.errno == errno.ENOENT:
            # The folder is being removed, which the check finds out.
            self._check_soon()
            return
        problem = (
            f"Records can't be written to {self._location.base!a} ({error.strerror or error}): "
            "resolve this; it is tried again every second."
        )
        self._report_unwritten(record, problem)
        if error.errno in _DENIALS:
            record.deny(problem)

    def _report_unwritten(self, record: OwnedRecord, problem: str) -> None:
        self._unwritten.add(record)
        if self._write_problem is None:
            _LOG.warning("%s", problem)
        self._write_problem = problem


def _reason(problem: str) -> str:
    """Return the sentence without its full stop, because followers continue it."""
    return problem.removesuffix(".")
