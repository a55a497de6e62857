"""Which of the workers of a server advertises the port that they share: the one that holds a lock.

The lock is one of ``flock`` on a file. The kernel releases it when the process that holds it ends, for
whatever reason, and another worker takes it then.

The file of a process that was killed stays, because only its owner removes it. The next process of the user
that takes the lock of any port removes it.
"""

import fcntl
import os
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

from peerage.backends.embedded import forks
from peerage.backends.embedded.folder import DRAFT_PREFIX, Folder
from peerage.backends.embedded.location import parse_url

#: The folder of the locks, beside those of the embedded registries of this user.
_FOLDER: Final = "ports"

#: Seconds between two attempts of a worker to take the lock.
RETRY: Final = 0.1


class PortLock:
    """The lock that one of the workers that serve a port has: that worker advertises it.

    Args:
        address: on which the server listens, as bound.
        port: on which it listens.

    Raises:
        RegistryDeniedError: the folder of the locks can't be used; the message says what to do.
        ConfigurationError: ``PEERAGE_DIR`` is no absolute path, or missing beside ``PEERAGE_GROUP``.
    """

    def __init__(self, address: str, port: int) -> None:
        self._location = parse_url("embedded:")
        # Two containers that share the folder may have the same port, if their networks are separate. In the
        # folder of a group, a user can't open the lock that a process of another user has left.
        self._name = f"{_network()}-{os.geteuid()}-{address}-{port}"
        self._fd: int | None = None
        self._folder: Folder | None = None
        self._prepared = False
        forks.owners.add(self)

    @property
    def taken(self) -> bool:
        """Whether this process has the lock."""
        return self._fd is not None

    def take(self) -> bool:
        """Take the lock if no other process has it, and tell whether this one has it.

        Raises:
            RegistryDeniedError: the folder of the locks can't be used; the message says what to do.
            OSError: a failure that may pass, such as too many open files.
        """
        if self._fd is None:
            create, self._prepared = not self._prepared, False
            folder = Folder.open(self._location, _FOLDER, create=create)
            self._prepared = True
            try:
                with forks.FORK_LOCK:
                    self._fd = _locked(folder.fd, self._name)
            finally:
                if self._fd is None:
                    folder.close()
            if self._fd is not None:
                # Without its file the lock would be one on nothing, and another worker could take it as well.
                folder.keep_old_files()
                self._folder = folder
                _remove_unlocked(folder.fd)
        return self._fd is not None

    def release(self) -> None:
        """Let another process take the lock; may be called twice."""
        if self._fd is not None and self._folder is not None:
            with suppress(OSError):
                os.unlink(self._name, dir_fd=self._folder.fd)
            self._folder.close()
            self.abandon()

    def abandon(self) -> None:
        """Close the file; in a forked child, where the lock stays its parent's."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = self._folder = None


def _locked(folder: int, name: str, create: int = os.O_CREAT) -> int | None:
    """Return a descriptor of the file *name* with its lock, None if another process has that."""
    fd = os.open(name, os.O_RDWR | create | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600, dir_fd=folder)
    with ExitStack() as otherwise:
        otherwise.callback(os.close, fd)
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # The process that had the lock removes the file, and another one may have made a new file.
            if os.path.samestat(os.fstat(fd), os.stat(name, dir_fd=folder, follow_symlinks=False)):
                otherwise.pop_all()
                return fd
    return None


def _remove_unlocked(folder: int) -> None:
    """Remove the files whose processes have ended without doing it."""
    for name in os.listdir(folder):
        # A process locks a draft to find out whether locks work here, and must find it unlocked.
        if name.startswith(DRAFT_PREFIX):
            continue
        # Removed under its lock: a process that has just opened it finds out in _locked() that it is gone.
        with forks.FORK_LOCK, suppress(OSError):
            if (fd := _locked(folder, name, create=0)) is not None:
                try:
                    os.unlink(name, dir_fd=folder)
                finally:
                    os.close(fd)


def _network() -> int:
    """Return what distinguishes this process's network from those of containers on the same machine."""
    with suppress(OSError):
        return Path("/proc/self/ns/net").stat().st_ino
    return 0
