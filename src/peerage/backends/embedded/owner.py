"""One record of this process, on the worker's thread: the file that is its life."""

from collections.abc import Callable
from typing import NamedTuple

from peerage.backends.embedded.folder import Folder
from peerage.backends.embedded.lockedfile import LockedFile, publish

__all__ = ["Owner", "Report", "Wish"]


class Wish(NamedTuple):
    """What is to be advertised."""

    serial: int
    """Grows with every update."""
    data: bytes


class Report(NamedTuple):
    """How it stands with a record."""

    node: str | None
    """Where it is, None while it isn't anywhere."""
    serial: int
    """Of the wish that is fulfilled; 0 if none is."""
    denied: str | None = None
    """Why it can't be advertised, and what to do about it."""


class Owner:
    """Keeps one record in the folder as it is wished.

    ``wish``, ``posted`` and ``withdrawn`` are set on the event loop and read here; all else is the
    thread's own.
    """

    def __init__(self, name: str, wish: Wish, report: Callable[[Report], object]) -> None:
        self.name = name
        self.wish = wish
        self.posted = False
        """Whether the thread has been told to write and didn't begin yet."""
        self.withdrawn = False
        self._report = report
        self._last: Report | None = None
        self._file: LockedFile | None = None
        self._draft: tuple[int, LockedFile] | None = None
        self._written = 0

    def write(self, folder: Folder) -> bool:
        """Bring the folder up to date, with no write if it is; False if numbers can't be had for a moment.

        Raises:
            OSError: it couldn't be written; what was there stays.
        """
        self.posted = False
        if self.withdrawn:
            return True
        wish = self.wish
        if self._file is not None and not self._file.in_place(folder):
            self.lapse()
        if self._file is None:
            return self._advertise(folder, wish)
        if self._written != wish.serial:
            self._update(folder, self._file, wish)
        return True

    def _advertise(self, folder: Folder, wish: Wish) -> bool:
        draft = self._drafted(folder, wish)
        if not publish(folder, draft, self.name):
            return False
        self._draft = None
        self._take(draft, wish)
        return True

    def _drafted(self, folder: Folder, wish: Wish) -> LockedFile:
        """Return the draft of *wish*, the one that waits for its number if there is one."""
        if self._draft is not None and (self._draft[0] != wish.serial or not self._draft[1].in_place(folder)):
            self._drop_draft(folder)
        if self._draft is None:
            self._draft = (wish.serial, LockedFile.draft(folder, wish.data))
        return self._draft[1]

    def _drop_draft(self, folder: Folder | None) -> None:
        if self._draft is not None:
            _, draft = self._draft
            self._draft = None
            if folder is None:
                draft.close()
            else:
                draft.remove(folder)

    def _update(self, folder: Folder, old: LockedFile, wish: Wish) -> None:
        draft = LockedFile.draft(folder, wish.data, after=old.stamp)
        try:
            draft.rename(folder, old.name)
        except BaseException:
            draft.remove(folder)
            raise
        self._take(draft, wish)
        # Closed last: what stands at a visible name is locked as long as its owner lives.
        old.close()

    def _take(self, file: LockedFile, wish: Wish) -> None:
        self._file = file
        self._written = wish.serial
        self._tell(Report(file.name, wish.serial))

    def lapse(self) -> None:
        """The record is no longer in the folder: let go of its file."""
        if self._file is not None:
            self._file.close()
            self._file = None
            self._written = 0
            self._tell(Report(None, 0))

    def abandon(self) -> None:
        """The folder itself is gone: let go of everything in it."""
        self._drop_draft(None)
        self.lapse()

    def deny(self, reason: str) -> None:
        """It can't be advertised as things are."""
        if self._file is None:
            self._tell(Report(None, 0, reason))

    def remove(self, folder: Folder | None) -> None:
        """Take the record away for good; out of touch, letting go of the lock does it.

        Raises:
            OSError: the name couldn't be removed; without its lock it counts no more.
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

    def _tell(self, report: Report) -> None:
        if report != self._last:
            self._last = report
            self._report(report)
