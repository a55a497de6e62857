"""One record that this process advertises, as its thread keeps it in the folder."""

import time
from collections.abc import Callable
from typing import NamedTuple

from peerage.backends.embedded.folder import Folder
from peerage.backends.embedded.recordfile import RecordFile


class Status(NamedTuple):
    """What is in the folder."""

    name: str | None = None
    """The record's name; None while it isn't in the folder."""
    data: bytes | None = None
    """The record; None while it isn't in the folder."""
    denied: str | None = None
    """Why the record can't be advertised, and what to do about it."""


class OwnedRecord:
    """Keeps one record in the folder, under a name that begins with *prefix*.

    ``data``, ``write_scheduled`` and ``withdrawn`` are set on the event loop and read on the thread;
    everything else belongs to the thread, on which *on_status* is called with every new status.
    """

    def __init__(self, prefix: str, data: bytes, on_status: Callable[[Status], object]) -> None:
        self.prefix = prefix
        self.data = data
        self.write_scheduled = False
        self.withdrawn = False
        self._on_status = on_status
        self._status = Status()
        self._file: RecordFile | None = None

    def write(self, folder: Folder) -> None:
        """Bring the folder up to date, with no write if it is; after an OSError the old file stays."""
        self.write_scheduled = False
        if self.withdrawn:
            return
        if self._file is not None and not self._file.in_place(folder):
            self.abandon()
        old, data = self._file, self.data
        if old is None:
            # The clock of all processes since the machine started. If two processes read the same nanosecond,
            # one file replaces the other, whose owner notices it by in_place() and takes another name.
            self._file = RecordFile(folder, f"{self.prefix}.{time.monotonic_ns():010d}", data)
        elif self._status.data is not data:
            self._file = RecordFile(folder, old.name, data, after=old.modified)
        else:
            return
        self._report(Status(self._file.name, data))
        if old is not None:
            # Closed last, so that a file with a visible name is locked as long as its owner lives.
            old.close()

    def deny(self, reason: str) -> None:
        """Report that the record can't be advertised, unless it is in the folder."""
        if self._file is None and self._status.denied != reason:
            self._report(Status(denied=reason))

    def abandon(self) -> None:
        """Close the file, which isn't in the folder any more."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._report(Status())

    def remove(self, folder: Folder | None) -> None:
        """Remove the withdrawn record; without a folder its file is unlocked only, and others remove it.

        After an OSError the file is there without its lock, and no record any more.
        """
        file, self._file = self._file, None
        if file is not None:
            file.remove(folder)

    def _report(self, status: Status) -> None:
        self._status = status
        self._on_status(status)
