"""A folder that belongs to this user alone: opened, checked, and addressed by its descriptor from then on."""

import errno
import fcntl
import os
import secrets
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final, Self

from peerage.backends.embedded import forks
from peerage.errors import RegistryDeniedError

__all__ = ["TEMPORARY", "Folder", "temporary_name", "write_whole"]

#: How the names of unfinished files begin.
TEMPORARY: Final = ".tmp."

_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_OTHERS: Final = stat.S_IRWXG | stat.S_IRWXO
_ELSEWHERE: Final = "or name another folder by PEERAGE_DIR or embedded:///folder"

#: Errors of the place itself, which don't pass by waiting: what to do about each.
_REFUSALS: Final = {
    errno.ENOTDIR: "is not a folder, or a symbolic link: remove it,",
    errno.ELOOP: "is a symbolic link: remove it,",
    errno.EACCES: "may not be opened by this user: give it back to the user and make it 'chmod 700',",
    errno.EPERM: "may not be opened by this user: give it back to the user and make it 'chmod 700',",
    errno.EROFS: "is on a read-only file system: mount it writable,",
    errno.ENOENT: "can't be made, because the folder above it is missing: make that one,",
    errno.ENAMETOOLONG: "has too long a name: shorten it,",
}


def temporary_name() -> str:
    """Return a name for a file that isn't finished."""
    return f"{TEMPORARY}{os.getpid()}.{secrets.token_hex(8)}"


def write_whole(fd: int, data: bytes) -> None:
    """Write *data* at once.

    Raises:
        OSError: no space, at the latest after a part of it.
    """
    written = os.write(fd, data)
    if written != len(data):
        raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes could be written")


class Folder:
    """One subfolder of the user's folder; use :meth:`open` or :meth:`find`."""

    def __init__(self, path: str, base_fd: int, fd: int) -> None:
        self.path = path
        self.fd = fd
        self._base_fd = base_fd
        self.identity = _identity(os.fstat(fd))

    @classmethod
    def open(cls, base: str, name: str) -> Self:
        """Make the folder *name* in *base*, and *base*, if they aren't there, and open it.

        Raises:
            RegistryDeniedError: the folder can't be trusted, or locks don't hold in it.
            OSError: anything that may pass, such as too many open files.
        """
        with forks.HELD:
            base_fd = _open_checked(base, base, None)
            try:
                # systemd-tmpfiles removes from /tmp what is ten days old, but leaves a locked folder alone.
                with suppress(OSError):
                    fcntl.flock(base_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)
                folder = cls(f"{base}/{name}", base_fd, _open_checked(f"{base}/{name}", name, base_fd))
            except BaseException:
                forks.close(base_fd)
                raise
            try:
                folder._prove_locks()
            except BaseException:
                folder.close()
                raise
            return folder

    @classmethod
    def find(cls, base: str, name: str) -> Self | None:
        """Open the folder *name* in *base* to read what is in it, writing nothing; None if it isn't there.

        Raises:
            RegistryDeniedError: the folder can't be trusted.
            OSError: anything that may pass, such as too many open files.
        """
        with forks.HELD:
            try:
                base_fd = _open_checked(base, base, None, make=False)
            except FileNotFoundError:
                return None
            try:
                return cls(
                    f"{base}/{name}", base_fd, _open_checked(f"{base}/{name}", name, base_fd, make=False)
                )
            except BaseException as error:
                forks.close(base_fd)
                if isinstance(error, FileNotFoundError):
                    return None
                raise

    def close(self) -> None:
        """Close the descriptors."""
        forks.close(self.fd)
        forks.close(self._base_fd)

    def in_place(self) -> bool:
        """Whether the path still leads to this folder: after ``rm -rf`` it leads to none, or to another one.

        Raises:
            RegistryDeniedError: it was opened to others meanwhile.
        """
        try:
            there = Path(self.path).lstat()
        except FileNotFoundError:
            return False
        _check(there, self.path)
        return _identity(there) == self.identity

    def changed_at(self) -> int:
        """Nanoseconds of the last change in the list of names, by the coarse clock of the file system."""
        return os.fstat(self.fd).st_mtime_ns

    def _prove_locks(self) -> None:
        """Refuse a file system on which a second descriptor gets a lock that is taken."""
        name = temporary_name()
        first = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600, dir_fd=self.fd)
        try:
            second = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
            try:
                if not _excludes(first, second):
                    raise RegistryDeniedError(
                        f"{self.path!a} is on a file system where locks don't hold (NFS, virtiofs, 9p?): "
                        f"put it on a local one, {_ELSEWHERE}."
                    )
            finally:
                os.close(second)
        finally:
            os.unlink(name, dir_fd=self.fd)
            os.close(first)


def _excludes(first: int, second: int) -> bool:
    try:
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    try:
        fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _open_checked(path: str, name: str, dir_fd: int | None, *, make: bool = True) -> int:
    try:
        if make:
            with suppress(FileExistsError):
                os.mkdir(name, 0o700, dir_fd=dir_fd)
        fd = forks.keep(os.open(name, _OPEN_FOLDER, dir_fd=dir_fd))
    except OSError as error:
        if error.errno not in _REFUSALS or (error.errno == errno.ENOENT and not make):
            raise
        raise RegistryDeniedError(f"{path!a} {_REFUSALS[error.errno]} {_ELSEWHERE}.") from error
    try:
        _check(os.fstat(fd), path)
    except BaseException:
        forks.close(fd)
        raise
    return fd


def _check(found: os.stat_result, path: str) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise RegistryDeniedError(f"{path!a} {_REFUSALS[errno.ENOTDIR]} {_ELSEWHERE}.")
    if found.st_uid != os.geteuid():
        raise RegistryDeniedError(
            f"{path!a} belongs to user {found.st_uid}, not to user {os.geteuid()}, who runs this: "
            f"remove it, {_ELSEWHERE}."
        )
    if found.st_mode & _OTHERS:
        raise RegistryDeniedError(
            f"{path!a} is open to other users (mode {stat.S_IMODE(found.st_mode):04o}): "
            f"make it 'chmod 700', {_ELSEWHERE}."
        )


def _identity(found: os.stat_result) -> tuple[int, int]:
    return found.st_dev, found.st_ino
