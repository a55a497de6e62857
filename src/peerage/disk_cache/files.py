"""A private file that is replaced as a whole: a reader finds the old content or the new one, and no other.

All functions here block, and are called in a thread.
"""

import errno
import math
import os
import secrets
import stat
import time
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, NamedTuple

from peerage.disk_cache.format import UnusableFileError

_OPEN_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
#: O_NONBLOCK, so that a pipe in place of the file isn't waited for.
_OPEN_FILE: Final = os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
_CREATE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC

#: Bytes of a file that is read, at most.
_LARGEST: Final = 1 << 30

_DRAFT: Final = ".tmp."

#: Seconds after which an unfinished file belongs to a process that was killed.
_ABANDONED: Final = 600.0


class CacheFile:
    """The file *name* in the folder ``peerage-<uid>`` of the first of *parents* where that is possible.

    The folder has mode 0700 and belongs to this user, or it isn't used; the file has mode 0600.
    """

    def __init__(self, parents: Sequence[str], name: str) -> None:
        self._parents = parents
        self._name = name
        self._cleaned = False
        self.path = str(_folder_in(parents[0]) / name)
        """The file that was read or written last."""

    def read(self) -> bytes | None:
        """Return the content; None if there is no file.

        If there are several, it is that of the last one that was written: a folder that can't be written to
        any more may have an old one.

        Raises:
            UnusableFileError: it is there, and can't be trusted.
            OSError: it can't be read.
        """
        newest, problem = _Content(-math.inf, None), None
        path = failed = self.path
        for parent in self._parents:
            folder = _folder_in(parent)
            try:
                with _opened(folder) as folder_fd:
                    found = self._read(folder_fd)
            except FileNotFoundError:
                continue
            except (OSError, UnusableFileError) as error:
                if problem is None:
                    problem, failed = error, str(folder / self._name)
                continue
            if found.written > newest.written:
                newest, path = found, str(folder / self._name)
        if newest.content is None and problem is not None:
            self.path = failed
            raise problem
        self.path = path
        return newest.content

    def _read(self, folder_fd: int) -> "_Content":
        try:
            fd = os.open(self._name, _OPEN_FILE, dir_fd=folder_fd)
        except OSError as error:
            if error.errno == errno.ELOOP:
                raise UnusableFileError("it is a symbolic link, which isn't followed") from None
            raise
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode):
                raise UnusableFileError("it isn't a file")
            _check_owner(found, "it")
            if found.st_size > _LARGEST:
                raise UnusableFileError(f"it has {found.st_size} bytes")
            with os.fdopen(fd, "rb", closefd=False) as stream:
                return _Content(found.st_mtime, stream.read())
        finally:
            os.close(fd)

    def write(self, chunks: Iterable[bytes]) -> int:
        """Replace the content, and return the number of its bytes.

        Raises:
            UnusableFileError: the folder can't be trusted.
            OSError: it can't be written; nothing is left of the attempt.
        """
        error: Exception = UnusableFileError("there is no folder for it")
        for parent in self._parents:
            try:
                _make(parent)
                with _opened(_folder_in(parent)) as folder_fd:
                    self._clean(folder_fd)
                    self.path = str(_folder_in(parent) / self._name)
                    return self._write(folder_fd, chunks)
            except _WriteError as failure:
                # The folder works, and what was to be written is used up.
                raise failure.error from None
            except (OSError, UnusableFileError) as problem:
                error = problem
        raise error

    def _write(self, folder_fd: int, chunks: Iterable[bytes]) -> int:
        draft = f"{_DRAFT}{os.getpid()}.{secrets.token_hex(8)}"
        fd = os.open(draft, _CREATE, 0o600, dir_fd=folder_fd)
        try:
            with os.fdopen(fd, "wb", buffering=0) as stream:
                size = sum(_write_all(stream.fileno(), chunk) for chunk in chunks)
                # After a power failure, too, the new name leads to the new content.
                os.fsync(fd)
            os.replace(draft, self._name, src_dir_fd=folder_fd, dst_dir_fd=folder_fd)
        except OSError as error:
            with suppress(OSError):
                os.unlink(draft, dir_fd=folder_fd)
            raise _WriteError(error) from error
        return size

    def _clean(self, folder_fd: int) -> None:
        """Remove, once, the unfinished files of processes that were killed."""
        if self._cleaned:
            return
        self._cleaned = True
        for name in os.listdir(folder_fd):
            if name.startswith(_DRAFT):
                with suppress(OSError):
                    changed = os.stat(name, dir_fd=folder_fd, follow_symlinks=False).st_mtime
                    if time.time() - changed > _ABANDONED:
                        os.unlink(name, dir_fd=folder_fd)


class _Content(NamedTuple):
    """What a file has, and when it was written, in seconds since the epoch."""

    written: float
    content: bytes | None


class _WriteError(Exception):
    """The file couldn't be written, although its folder can be used."""

    def __init__(self, error: OSError) -> None:
        self.error = error


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    """Open *folder*, which must belong to this user alone."""
    fd = os.open(folder, _OPEN_FOLDER)
    try:
        found, what = os.fstat(fd), f"the folder {str(folder)!a}"
        _check_owner(found, what)
        _check_mode(found, what)
        yield fd
    finally:
        os.close(fd)


def _check_owner(found: os.stat_result, what: str) -> None:
    if found.st_uid != os.geteuid():
        raise UnusableFileError(
            f"{what} belongs to user {found.st_uid}, and this process runs as user {os.geteuid()}: have it "
            "removed"
        )


def _check_mode(found: os.stat_result, what: str) -> None:
    if found.st_mode & 0o077:
        raise UnusableFileError(f"{what} has mode {stat.S_IMODE(found.st_mode):04o}: make it 'chmod 700'")


def _folder_in(parent: str) -> Path:
    return Path(parent) / f"peerage-{os.geteuid()}"


def _make(parent: str) -> None:
    """Make the folder in *parent*, and *parent* as well."""
    folder = _folder_in(parent)
    if not folder.is_dir():
        folder.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with suppress(FileExistsError):
            folder.mkdir(mode=0o700)


def _write_all(fd: int, chunk: bytes) -> int:
    left = memoryview(chunk)
    while left:
        left = left[os.write(fd, left) :]
    return len(chunk)
