"""A private folder of this user: created, checked, and used through its descriptor from then on."""

import errno
import fcntl
import os
import secrets
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from peerage.backends.embedded import forks
from peerage.errors import RegistryDeniedError

#: The names of unfinished files begin with this.
DRAFT_PREFIX: Final = ".tmp."

_CREATE_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_ELSEWHERE: Final = "set PEERAGE_DIR, or the URL embedded:///folder, to another folder for all your services"

#: Errors that don't pass by waiting.
_REFUSALS: Final = {
    errno.ENOTDIR,
    errno.ELOOP,
    errno.EACCES,
    errno.EPERM,
    errno.EROFS,
    errno.ENOENT,
    errno.ENAMETOOLONG,
}

#: Errors of making a file in a folder in which files can be read.
_UNWRITABLE: Final = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}


def draft_name() -> str:
    """Return a name for a file that isn't finished."""
    return f"{DRAFT_PREFIX}{os.getpid()}.{secrets.token_hex(8)}"


def write_whole(fd: int, data: bytes) -> None:
    """Write *data* in one call; OSError if there is no space, or not enough for all of it."""
    written = os.write(fd, data)
    if written != len(data):
        raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes could be written")


class Folder:
    """One subfolder of the user's folder; made by :meth:`open`."""

    def __init__(self, path: str, base_fd: int, fd: int) -> None:
        self.path = path
        self.fd = fd
        self._base_fd = base_fd

    @classmethod
    def open(cls, base: str, name: str, *, create: bool = True) -> Self:
        """Open the folder *name* in *base*; both are created if they don't exist.

        With ``create=False`` nothing is written.

        Raises:
            RegistryDeniedError: the folder can't be trusted, or file locks don't work in it.
            FileNotFoundError: with ``create=False``, the folder doesn't exist.
            OSError: any failure that may pass, such as too many open files.
        """
        path = f"{base}/{name}"
        with forks.FORK_LOCK, ExitStack() as on_error:
            base_fd = _open_private(base, base, None, create=create)
            on_error.callback(forks.close, base_fd)
            fd = _open_private(path, name, base_fd, create=create)
            on_error.callback(forks.close, fd)
            folder = cls(path, base_fd, fd)
            if create:
                folder.keep_old_files()
                folder._check_locks()
            on_error.pop_all()
            return folder

    def close(self) -> None:
        """Close the descriptors."""
        forks.close(self.fd)
        forks.close(self._base_fd)

    def keep_old_files(self) -> None:
        """Keep systemd-tmpfiles from deleting files here, until this is closed.

        It deletes files in ``/tmp`` that are ten days old, except in locked folders.
        """
        with suppress(OSError):
            fcntl.flock(self._base_fd, fcntl.LOCK_SH | fcntl.LOCK_NB)

    def in_place(self) -> bool:
        """Whether the path still leads to this folder; after ``rm -rf`` it leads to none, or to another one.

        Raises:
            RegistryDeniedError: the folder's mode or owner was changed meanwhile.
        """
        try:
            found = Path(self.path).lstat()
        except FileNotFoundError:
            return False
        _check_private(found, self.path)
        return os.path.samestat(found, os.fstat(self.fd))

    def is_removed(self) -> bool:
        """Whether this folder was removed; another one may have its path."""
        return os.fstat(self.fd).st_nlink == 0

    def changed_at(self) -> int:
        """Nanoseconds of the last change in the list of names, by the coarse clock of the file system."""
        return os.fstat(self.fd).st_mtime_ns

    def _check_locks(self) -> None:
        """Refuse a file system on which a second descriptor gets a lock that is taken.

        Where no file can be made, because the disk is full or read-only, the folder itself is locked: records
        of others can be read there.
        """
        name = draft_name()
        try:
            first = os.open(name, _CREATE_FILE, 0o600, dir_fd=self.fd)
        except OSError as error:
            if error.errno not in _UNWRITABLE:
                raise
            name = "."
            first = os.open(name, _OPEN_FOLDER, dir_fd=self.fd)
        try:
            second = os.open(name, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
            try:
                if not _locks_exclude(first, second):
                    raise RegistryDeniedError(
                        f"File locks don't work in {self.path!a} (is it on NFS, virtiofs or 9p?): "
                        f"{_ELSEWHERE}, on a local file system."
                    )
            finally:
                os.close(second)
        finally:
            if name != ".":
                os.unlink(name, dir_fd=self.fd)
            os.close(first)


def _locks_exclude(first: int, second: int) -> bool:
    try:
        # Either lock may fail on a folder, when another process tests it at the same time.
        fcntl.flock(first, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(second, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except OSError:
        return False
    return False


def _open_private(path: str, name: str, dir_fd: int | None, *, create: bool) -> int:
    if create:
        _make(path, name, dir_fd)
    try:
        fd = forks.keep(os.open(name, _OPEN_FOLDER, dir_fd=dir_fd))
    except OSError as error:
        if error.errno not in _REFUSALS or error.errno == errno.ENOENT:
            raise
        # Says more exactly what is wrong, where that can be seen: another owner, a symbolic link, the mode.
        with suppress(OSError):
            _check_private(os.stat(name, dir_fd=dir_fd, follow_symlinks=False), path)
        raise RegistryDeniedError(f"{path!a} can't be opened ({error.strerror}): {_ELSEWHERE}.") from error
    try:
        _check_private(os.fstat(fd), path)
    except BaseException:
        forks.close(fd)
        raise
    return fd


def _make(path: str, name: str, dir_fd: int | None) -> None:
    try:
        os.mkdir(name, 0o700, dir_fd=dir_fd)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise RegistryDeniedError(
            f"{path!a} can't be created ({error.strerror}): make sure that {str(Path(path).parent)!a} is an "
            f"existing folder in which this user may create folders, or {_ELSEWHERE}."
        ) from error


def _check_private(found: os.stat_result, path: str) -> None:
    if not stat.S_ISDIR(found.st_mode):
        raise RegistryDeniedError(f"{path!a} is a symbolic link or not a folder: remove it, or {_ELSEWHERE}.")
    if found.st_uid != os.geteuid():
        raise RegistryDeniedError(
            f"{path!a} belongs to user {found.st_uid}, and this process runs as user {os.geteuid()}: "
            f"have it removed, or {_ELSEWHERE}."
        )
    mode = stat.S_IMODE(found.st_mode)
    if mode & 0o777 != stat.S_IRWXU:
        raise RegistryDeniedError(
            f"{path!a} has mode {mode:04o}, but must be open to its owner and to no other user: "
            f"make it 'chmod 700', or {_ELSEWHERE}."
        )
