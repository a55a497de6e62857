"""The file of one record: how its owner writes it and how others read it.

The owner keeps the file open and locked; the open descriptor is the life of the record. A file that isn't
locked belongs to a process that died, and the next reader removes it.
"""

import errno
import fcntl
import os
import re
import time
from contextlib import suppress
from enum import Enum
from typing import Final, NamedTuple

from peerage.backends.embedded import forks
from peerage.backends.embedded.folder import Folder, draft_name, write_whole
from peerage.registry import RECORD_LIMIT

#: ``<name>.<sequence>``, the time of creation in nanoseconds; files with other names aren't records.
RECORD_NAME: Final = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,99}\.[0-9]{10,19}")

#: Inode and modification time; two files that had the same name never share both, see RecordFile.
Version = tuple[int, int]

#: An owner that updates continuously can make a reader start again, but not for ever.
_ATTEMPTS: Final = 100

#: Seconds after which an unlocked draft was left by a process that died, and isn't being written; so was one
#: whose time is so far in the future, because the clock was set back since.
_LEFTOVER: Final = 60.0

_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC

#: Errors of opening a file that no process of a registry wrote; others are this process's own trouble.
FOREIGN: Final = {
    errno.ELOOP,
    errno.EACCES,
    errno.EPERM,
    errno.ENXIO,
    errno.ENODEV,
    errno.EMLINK,
    errno.EISDIR,
}


# The owner's side


class RecordFile:
    """A file that is locked from before it has a visible name until it is closed.

    Readers take a file with the same inode and modification time for unchanged. File systems reuse inodes at
    once and their clocks are coarse, so an update gets a time later than *after*, that of the file that it
    replaces.

    Raises:
        OSError: no space, too many open files, the folder is gone, or another process tests the lock.
    """

    def __init__(self, folder: Folder, name: str, data: bytes, *, after: int = 0) -> None:
        self.name = name
        draft = draft_name()
        with forks.FORK_LOCK:
            self._fd = forks.keep(folder.create_file(draft))
            try:
                # Fails if another process tests at this moment whether the draft is a leftover.
                fcntl.flock(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                write_whole(self._fd, data)
                self.modified = _set_modified(self._fd, after)
                self._inode = os.fstat(self._fd).st_ino
                os.rename(draft, name, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
            except BaseException:
                with suppress(OSError):
                    os.unlink(draft, dir_fd=folder.fd)
                self.close()
                raise

    def in_place(self, folder: Folder) -> bool:
        """Whether the name still leads to this file, which may have been removed by hand."""
        version = version_of(folder, self.name)
        return version is not None and version[0] == self._inode

    def remove(self, folder: Folder | None) -> None:
        """Remove the name, if there is a folder, and then the lock: no reader finds the file unlocked."""
        try:
            if folder is not None and self.in_place(folder):
                os.unlink(self.name, dir_fd=folder.fd)
        finally:
            self.close()

    def close(self) -> None:
        """Release the lock."""
        forks.close(self._fd)


def _set_modified(fd: int, after: int) -> int:
    """Set a modification time later than *after* and return it as the file system stores it."""
    earliest = time.time_ns()
    # Some file systems keep whole seconds only (ext4 with small inodes), or even seconds (FAT).
    for step in (1_000_000, 1_000_000_000, 2_000_000_000):
        wanted = max(earliest, after + step)
        os.utime(fd, ns=(wanted, wanted))
        if (stored := os.fstat(fd).st_mtime_ns) > after:
            return stored
    return after


# The reader's side


class State(Enum):
    """The result of reading a record that has no new data."""

    GONE = "gone"
    """The file doesn't exist."""
    DEAD = "dead"
    """The owner of the file has ended, and the file was removed if this process may do that."""
    UNCHANGED = "unchanged"
    """The owner lives, and the data is what was read before."""
    OVERSIZED = f"it is larger than {RECORD_LIMIT} bytes: shorten what its service advertises"
    """The owner lives, and the record is too large to be delivered."""
    FOREIGN = "it isn't a file of a user who has access to the folder: remove it"
    """No process of such a user wrote it: a symbolic link, a pipe, a file of another user or group."""


class Content(NamedTuple):
    """The data of a record whose owner lives."""

    data: bytes
    version: Version


def read_record(folder: Folder, name: str, known: Version | None = None) -> Content | State:
    """Read the record *name*; its file is removed if the owner died.

    The version *known* was read before and needn't be read again.

    Raises:
        OSError: the record can't be read for want of descriptors, memory or access to the folder. It may
            exist nevertheless.
    """
    for _ in range(_ATTEMPTS):
        # Under the lock, because a forked child would keep the descriptor.
        with forks.FORK_LOCK:
            found = _read_once(folder, name, known)
        if found is not None:
            return found
    return State.UNCHANGED


def _read_once(  # noqa: PLR0911 - one for each answer
    folder: Folder, name: str, known: Version | None
) -> Content | State | None:
    """Read once; return None if the file was replaced meanwhile."""
    try:
        fd = os.open(name, _READ, dir_fd=folder.fd)
    except FileNotFoundError:
        return State.GONE
    except OSError as error:
        if error.errno not in FOREIGN:
            raise
        # If access to the folder is what is denied, this raises: then nothing is known about the record.
        return State.GONE if version_of(folder, name) is None else State.FOREIGN
    try:
        found = os.fstat(fd)
        if not folder.access.trusts(found):
            return State.FOREIGN
        try:
            # Shared: two readers with exclusive locks would take each other for the owner.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            version = (found.st_ino, found.st_mtime_ns)
            if version == known:
                return State.UNCHANGED
            if found.st_size > RECORD_LIMIT:
                return State.OVERSIZED
            # The file is complete: it was written before it got its name.
            return Content(os.read(fd, found.st_size), version)
        return State.DEAD if _remove_dead(folder, name, found.st_ino) else None
    finally:
        os.close(fd)


def _remove_dead(folder: Folder, name: str, inode: int) -> bool:
    """Remove the unlocked file; return False if the name leads to another one, because of an update."""
    version = version_of(folder, name)
    if version is not None and version[0] != inode:
        return False
    # Where it can't be removed, on a read-only file system for example, it is dead all the same.
    with suppress(OSError):
        os.unlink(name, dir_fd=folder.fd)
    return True


def version_of(folder: Folder, name: str) -> Version | None:
    """Return the version of the file *name* without a test of its lock; None if it doesn't exist."""
    try:
        found = os.stat(name, dir_fd=folder.fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def remove_old_draft(folder: Folder, name: str) -> None:
    """Remove the draft *name* if it was left by a process that died."""
    version = version_of(folder, name)
    if version is not None and abs(time.time() - version[1] / 1e9) > _LEFTOVER:
        read_record(folder, name, version)
