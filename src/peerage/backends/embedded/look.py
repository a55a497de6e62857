"""Looking at one file of the folder: does its owner live, and what does it say."""

import errno
import fcntl
import os
import stat
import time
from enum import Enum
from typing import Final, NamedTuple

from peerage.backends.embedded import forks
from peerage.backends.embedded.folder import Folder
from peerage.registry import RECORD_LIMIT

__all__ = ["Alive", "Fate", "Version", "look", "sweep", "version_at"]

#: Inode and time of a file: two files that had one name never share both, see LockedFile.draft.
Version = tuple[int, int]

#: An owner that updates all the time can make a look begin again, but not for ever.
_ATTEMPTS: Final = 100

#: Seconds after which an unlocked draft is a leftover of a process that died, not one that is being made.
_LEFTOVER: Final = 60.0

_LOOK: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC

#: What opening says about something that isn't one of our files; other errors are troubles of ours.
_FOREIGN: Final = {
    errno.ELOOP,
    errno.EACCES,
    errno.EPERM,
    errno.ENXIO,
    errno.ENODEV,
    errno.EMLINK,
    errno.EISDIR,
}


class Fate(Enum):
    """What a look found where there is no record with new data."""

    GONE = "gone"
    """No such file, or its owner is dead."""
    SAME = "same"
    """Alive, and as it was."""
    OVERSIZED = "oversized"
    """Alive, and too large to be delivered."""
    FOREIGN = "foreign"
    """Not one of our files: a symbolic link, a pipe, somebody else's."""


class Alive(NamedTuple):
    """A record whose owner lives."""

    data: bytes
    version: Version


def look(folder: Folder, node: str, known: Version | None = None) -> Alive | Fate:
    """Say what *node* is; a file whose owner is dead is removed.

    Args:
        folder: where.
        node: a name in it.
        known: the version known already, which needn't be read again.

    Raises:
        OSError: it couldn't be found out, for lack of descriptors or memory; it may still be alive.
    """
    for _ in range(_ATTEMPTS):
        # Under the lock, because a forked child would keep the descriptor.
        with forks.HELD:
            found = _look_once(folder, node, known)
        if found is not None:
            return found
    return Fate.SAME


def _look_once(folder: Folder, node: str, known: Version | None) -> Alive | Fate | None:
    """Look once; None if the file was replaced meanwhile."""
    try:
        fd = os.open(node, _LOOK, dir_fd=folder.fd)
    except FileNotFoundError:
        return Fate.GONE
    except OSError as error:
        if error.errno in _FOREIGN:
            return Fate.FOREIGN
        raise
    try:
        found = os.fstat(fd)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            return Fate.FOREIGN
        try:
            # Shared: with exclusive locks two that test at once would take each other for the owner.
            fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return _read(fd, found, known)
        return Fate.GONE if _bury(folder, node, found.st_ino) else None
    finally:
        os.close(fd)


def _read(fd: int, found: os.stat_result, known: Version | None) -> Alive | Fate:
    version = (found.st_ino, found.st_mtime_ns)
    if version == known:
        return Fate.SAME
    if found.st_size > RECORD_LIMIT:
        return Fate.OVERSIZED
    # Written once, before it got its name: it can't be half there.
    return Alive(os.read(fd, found.st_size), version)


def _bury(folder: Folder, node: str, inode: int) -> bool:
    """Remove the file nobody has locked; False if the name leads to another one: its owner made an update."""
    try:
        if os.stat(node, dir_fd=folder.fd, follow_symlinks=False).st_ino != inode:
            return False
        os.unlink(node, dir_fd=folder.fd)
    except FileNotFoundError:
        pass
    return True


def version_at(folder: Folder, node: str) -> Version | None:
    """Return the version of *node* without looking whether its owner lives; None if there is no such file."""
    try:
        found = os.stat(node, dir_fd=folder.fd, follow_symlinks=False)
    except FileNotFoundError:
        return None
    return found.st_ino, found.st_mtime_ns


def sweep(folder: Folder, name: str) -> None:
    """Remove the draft *name* if a process that died left it."""
    version = version_at(folder, name)
    if version is not None and time.time() - version[1] / 1e9 > _LEFTOVER:
        look(folder, name, version)
