"""A folder of this user, or of a group: made, checked, and used through its descriptor from then on."""

import errno
import fcntl
import os
import secrets
import stat
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final, Self

from peerage.backends.embedded import forks
from peerage.backends.embedded.access import ELSEWHERE, Access
from peerage.backends.embedded.location import Location
from peerage.errors import RegistryDeniedError

#: The names of unfinished files begin with this.
DRAFT_PREFIX: Final = ".tmp."

_CREATE_FILE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC

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

#: Errors of giving a folder the name of another one that isn't empty, or of a file.
_EXISTS: Final = {errno.ENOTEMPTY, errno.EEXIST, errno.ENOTDIR}


def draft_name() -> str:
    """Return a name for a file that isn't finished."""
    return f"{DRAFT_PREFIX}{os.getpid()}.{secrets.token_hex(8)}"


def write_whole(fd: int, data: bytes) -> None:
    """Write *data* in one call; OSError if there is no space, or not enough for all of it."""
    written = os.write(fd, data)
    if written != len(data):
        raise OSError(errno.ENOSPC, f"only {written} of {len(data)} bytes could be written")


class Folder:
    """One subfolder of the folder of a location; made by :meth:`open`."""

    def __init__(self, path: str, access: Access, base_fd: int, fd: int) -> None:
        self.path = path
        self.access = access
        self.fd = fd
        self._base_fd = base_fd

    @classmethod
    def open(cls, location: Location, name: str, *, create: bool = True) -> Self:
        """Open the folder *name* in that of *location*; both are created if they don't exist.

        The folder of a group isn't created, only what is in it.

        With ``create=False`` nothing is written.

        Raises:
            RegistryDeniedError: the folder can't be trusted, or file locks don't work in it.
            FileNotFoundError: with ``create=False``, the folder doesn't exist.
            OSError: any failure that may pass, such as too many open files.
        """
        base, access = location.base, Access.of(location.group)
        path = f"{base}/{name}"
        with forks.FORK_LOCK, ExitStack() as on_error:
            base_fd = _open_checked(base, base, None, access, create=create)
            on_error.callback(forks.close, base_fd)
            fd = _open_checked(path, name, base_fd, access, create=create)
            on_error.callback(forks.close, fd)
            folder = cls(path, access, base_fd, fd)
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
            RegistryDeniedError: the folder's mode, owner or group was changed meanwhile.
        """
        try:
            found = Path(self.path).lstat()
        except FileNotFoundError:
            return False
        self.access.check_folder(found, self.path)
        return os.path.samestat(found, os.fstat(self.fd))

    def is_removed(self) -> bool:
        """Whether this folder was removed; another one may have its path."""
        return os.fstat(self.fd).st_nlink == 0

    def changed_at(self) -> int:
        """Nanoseconds of the last change in the list of names, by the coarse clock of the file system."""
        return os.fstat(self.fd).st_mtime_ns

    def create_file(self, name: str) -> int:
        """Make the file *name* with the mode that files have here, and return its descriptor for writing."""
        fd = os.open(name, _CREATE_FILE, self.access.file_mode, dir_fd=self.fd)
        _set_mode(fd, self.access.file_mode, self.access)
        return fd

    def _check_locks(self) -> None:
        """Refuse a file system on which a second descriptor gets a lock that is taken.

        Where no file can be made, because the disk is full or read-only, the folder itself is locked: records
        of others can be read there.
        """
        name = draft_name()
        try:
            first = self.create_file(name)
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
                        f"{ELSEWHERE}, on a local file system."
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


def _set_mode(fd: int, mode: int, access: Access) -> None:
    """Give the group of a shared folder the access that the umask of this process may have taken away."""
    if access.gid is not None:
        try:
            os.fchmod(fd, mode)
        except BaseException:
            os.close(fd)
            raise


def _open_checked(path: str, name: str, dir_fd: int | None, access: Access, *, create: bool) -> int:
    if create:
        _make(path, name, dir_fd, access)
    try:
        fd = forks.keep(os.open(name, _OPEN_FOLDER, dir_fd=dir_fd))
    except OSError as error:
        if error.errno == errno.ENOENT and create and dir_fd is None:
            access.check_missing(path)
        if error.errno not in _REFUSALS or error.errno == errno.ENOENT:
            raise
        # Says more exactly what is wrong, where that can be seen: another owner, a symbolic link, the mode.
        with suppress(OSError):
            access.check_folder(os.stat(name, dir_fd=dir_fd, follow_symlinks=False), path)
        access.check_membership(path)
        raise RegistryDeniedError(f"{path!a} can't be opened ({error.strerror}): {ELSEWHERE}.") from error
    try:
        access.check_folder(os.fstat(fd), path)
    except BaseException:
        forks.close(fd)
        raise
    return fd


def _make(path: str, name: str, dir_fd: int | None, access: Access) -> None:
    try:
        if access.gid is None:
            os.mkdir(name, access.folder_mode, dir_fd=dir_fd)
        elif dir_fd is not None:
            _make_shared(name, dir_fd, access)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in _REFUSALS:
            raise
        raise RegistryDeniedError(
            f"{path!a} can't be created ({error.strerror}): make sure that {str(Path(path).parent)!a} is an "
            f"existing folder in which this user may create folders, or {ELSEWHERE}."
        ) from error


def _make_shared(name: str, dir_fd: int, access: Access) -> None:
    """Make a folder that has its mode before it has its name, so that no process finds it without."""
    with suppress(FileNotFoundError):
        os.stat(name, dir_fd=dir_fd, follow_symlinks=False)
        return
    draft = draft_name()
    os.mkdir(draft, access.folder_mode, dir_fd=dir_fd)
    fd = os.open(draft, _OPEN_FOLDER, dir_fd=dir_fd)
    folder = Folder(draft, access, dir_fd, fd)
    try:
        # Another process that makes the folder at this moment can't replace one that isn't empty by its own.
        # The file is removed a minute later, as every draft is.
        os.close(folder.create_file(draft))
        # With the sticky bit, if the administrator has given it to the folder above.
        os.fchmod(fd, stat.S_IMODE(os.fstat(dir_fd).st_mode))
        os.rename(draft, name, src_dir_fd=dir_fd, dst_dir_fd=dir_fd)
    except OSError as error:
        with suppress(FileNotFoundError):
            os.unlink(draft, dir_fd=fd)
        os.rmdir(draft, dir_fd=dir_fd)
        if error.errno not in _EXISTS:
            raise
    finally:
        os.close(fd)
