"""One record that this process advertises, as its thread keeps it in the folder."""

from collections.abc import Callable
from typing import NamedTuple

from peerage.backends.embedded.folder import Folder
from peerage.backends.embedded.recordfile import RecordFile, publish

__all__ = ["Desired", "OwnedRecord", "Status"]


class Desired(NamedTuple):
    """What is to be advertised."""

    revision: int
    """Grows with every update."""
    data: bytes


class Status(NamedTuple):
    """What is advertised."""

    name: str | None
    """The record's name; None while it isn't in the folder."""
    revision: int
    """The revision that is in the folder; 0 if none is."""
    denied: str | None = None
    """Why the record can't be advertised, and what to do about it."""


class OwnedRecord:
    """Keeps one record in the folder as it is desired.

    ``desired``, ``write_scheduled`` and ``withdrawn`` are set on the event loop and read on the thread;
    everything else belongs to the thread.

    Args:
        name: the beginning of the record's name.
        desired: what is to be advertised first.
        on_status: called on the thread with every new status.
    """

    def __init__(self, name: str, desired: Desired, on_status: Callable[[Status], object]) -> None:
        self.name = name
        self.desired = desired
        self.write_scheduled = False
        self.withdrawn = False
        self.waiting_since: float | None = None
        """Monotonic time since which the record waits for a number."""
        self.retry_scheduled = False
        """Whether the next attempt to get a number is scheduled."""
        self._on_status = on_status
        self._status: Status | None = None
        self._file: RecordFile | None = None
        self._draft: tuple[int, RecordFile] | None = None

    def write(self, folder: Folder) -> bool:
        """Bring the folder up to date, with no write if it is; return False if no number can be had for now.

        Raises:
            OSError: the record can't be written; the file that was there stays.
        """
        self.write_scheduled = False
        if self.withdrawn:
            return True
        desired = self.desired
        if self._file is not None and not self._file.in_place(folder):
            self._drop_file()
        if self._file is None:
            return self._create(folder, desired)
        if self._status is None or self._status.revision != desired.revision:
            self._update(folder, self._file, desired)
        return True

    def deny(self, reason: str) -> None:
        """Report that the record can't be advertised, unless it is in the folder."""
        if self._file is None:
            self._report(Status(None, 0, reason))

    def abandon(self) -> None:
        """Close all files, because the folder itself is gone."""
        self._drop_draft(None)
        self._drop_file()

    def remove(self, folder: Folder | None) -> None:
        """Withdraw the record; without a folder its files are unlocked only, and other processes remove them.

        Raises:
            OSError: the file can't be removed; without its lock it is no record any more.
        """
        self.withdrawn = True
        file, self._file = self._file, None
        try:
            self._drop_draft(folder)
        finally:
            if file is not None:
                if folder is None:
                    file.close()
                else:
                    file.remove(folder)

    def _create(self, folder: Folder, desired: Desired) -> bool:
        draft = self._current_draft(folder, desired)
        if not publish(folder, draft, self.name):
            return False
        self._draft = None
        self._file = draft
        self._report(Status(draft.name, desired.revision))
        return True

    def _update(self, folder: Folder, old: RecordFile, desired: Desired) -> None:
        draft = RecordFile.draft(folder, desired.data, after=old.modified)
        try:
            draft.rename(folder, old.name)
        except BaseException:
            draft.remove(folder)
            raise
        self._file = draft
        self._report(Status(draft.name, desired.revision))
        # Closed last, so that a file with a visible name is locked as long as its owner lives.
        old.close()

    def _current_draft(self, folder: Folder, desired: Desired) -> RecordFile:
        """Return the draft of the desired revision, and write it if there is none."""
        if self._draft is not None:
            revision, draft = self._draft
            if revision == desired.revision and draft.in_place(folder):
                return draft
            self._drop_draft(folder)
        draft = RecordFile.draft(folder, desired.data)
        self._draft = (desired.revision, draft)
        return draft

    def _drop_draft(self, folder: Folder | None) -> None:
        if self._draft is not None:
            _, draft = self._draft
            self._draft = None
            if folder is None:
                draft.close()
            else:
                draft.remove(folder)

    def _drop_file(self) -> None:
        if self._file is not None:
            self._file.close()
            self._file = None
            self._report(Status(None, 0))

    def _report(self, status: Status) -> None:
        if status != self._status:
            self._status = status
            self._on_status(status)
