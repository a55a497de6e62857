"""One locked file: the life of a record, and the counter that numbers them."""

import fcntl
import os
import re
import time
from contextlib import suppress
from typing import Final, Self

from peerage.backends.embedded import forks
from peerage.backends.embedded.folder import Folder, temporary_name, write_whole

__all__ = ["NODE", "LockedFile", "publish"]

#: ``<name>.<order>``: what is not named like this is not a record.
NODE: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.([0-9]{10})")

_COUNTER: Final = ".seq"
_LAST_NUMBER: Final = 9_999_999_999
_DRAFT: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class LockedFile:
    """A file with its data, locked from before it has a visible name until it is closed."""

    def __init__(self, fd: int, name: str) -> None:
        self.name = name
        self.stamp = 0
        self._fd = fd
        self._inode = os.fstat(fd).st_ino

    @classmethod
    def draft(cls, folder: Folder, data: bytes, *, after: int = 0) -> Self:
        """Write *data* to a new file under a temporary name.

        The time of the file is its version: readers take a file of the same inode and time for unchanged.
        Inodes are used again at once and clocks are coarse, so an update gets a time later than *after*, that
        of its predecessor.

        Raises:
            OSError: no space, too many files, the folder is gone; or somebody tests the lock right now.
        """
        with forks.HELD:
            name = temporary_name()
            fd = forks.keep(os.open(name, _DRAFT, 0o600, dir_fd=folder.fd))
            try:
                # Fails if somebody tests right now whether this is a leftover.
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                write_whole(fd, data)
                draft = cls(fd, name)
                draft.stamp = max(time.time_ns(), after + 1_000_000)
                os.utime(fd, ns=(draft.stamp, draft.stamp))
            except BaseException:
                with suppress(OSError):
                    os.unlink(name, dir_fd=folder.fd)
                forks.close(fd)
                raise
            return draft

    def in_place(self, folder: Folder) -> bool:
        """Whether the name still leads to this file; somebody may have removed it by hand."""
        try:
            return os.stat(self.name, dir_fd=folder.fd, follow_symlinks=False).st_ino == self._inode
        except FileNotFoundError:
            return False

    def rename(self, folder: Folder, name: str) -> None:
        """Take another name, in place of what has it."""
        os.rename(self.name, name, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
        self.name = name

    def remove(self, folder: Folder) -> None:
        """Vanish: first the name, then the lock, so that nobody ever finds it unlocked."""
        try:
            if self.in_place(folder):
                os.unlink(self.name, dir_fd=folder.fd)
        finally:
            self.close()

    def close(self) -> None:
        """Let go of the lock."""
        forks.close(self._fd)


def publish(folder: Folder, draft: LockedFile, name: str) -> bool:
    """Give *draft* the node ``<name>.<next number>``; False if somebody else takes a number right now.

    Never waits: who holds the counter may be stopped.

    Raises:
        OSError: no space, the folder is gone, the numbers are used up.
    """
    with forks.HELD:
        counter = os.open(
            _COUNTER, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder.fd
        )
        try:
            try:
                fcntl.flock(counter, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            if not _leads_to(folder, _COUNTER, counter):
                return False
            number = _next_number(folder, counter, name)
            os.pwrite(counter, b"%010d\n" % number, 0)
            draft.rename(folder, f"{name}.{number:010d}")
        finally:
            os.close(counter)
    return True


def _leads_to(folder: Folder, name: str, fd: int) -> bool:
    try:
        return os.stat(name, dir_fd=folder.fd, follow_symlinks=False).st_ino == os.fstat(fd).st_ino
    except FileNotFoundError:
        return False


def _next_number(folder: Folder, counter: int, name: str) -> int:
    text = os.pread(counter, 32, 0).strip()
    number = int(text) + 1 if text.isdigit() and len(text) == len(str(_LAST_NUMBER)) else 0
    # An empty counter is a new one, or somebody removed it: then records tell how far it had come.
    if not number or _exists(folder, f"{name}.{number:010d}"):
        matches = map(NODE.fullmatch, os.listdir(folder.fd))  # noqa: PTH208 - a descriptor, not a path
        number = max((int(match[1]) for match in matches if match), default=0) + 1
    if number > _LAST_NUMBER:
        raise OSError(f"the numbers in {folder.path!a} are used up: remove its file {_COUNTER!r}")
    return number


def _exists(folder: Folder, name: str) -> bool:
    try:
        os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
    except FileNotFoundError:
        return False
    return True
