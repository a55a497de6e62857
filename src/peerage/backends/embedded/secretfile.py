"""One secret on disk: a file that only this user can read, made whole or not at all."""

import fcntl
import os
import stat
from contextlib import suppress
from typing import Final

from peerage.backends.embedded import forks
from peerage.backends.embedded.folder import TEMPORARY, Folder, temporary_name, write_whole
from peerage.backends.embedded.location import single_name
from peerage.backends.embedded.look import sweep
from peerage.errors import RegistryDeniedError
from peerage.registry import RECORD_LIMIT

__all__ = ["SecretFile"]

_FOLDER: Final = "secrets"
_TURN: Final = ".lock"
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC
_WRITE: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC


class SecretFile:
    """A secret by its name; each method opens the folder anew, so that nothing is lost if that is replaced.

    Every method may raise RegistryDeniedError, if the folder or the file can't be trusted, and OSError.

    Args:
        base: the user's folder.
        name: an absolute name, ``/asab/auth/key``.

    Raises:
        RegistryDeniedError: *name* can't name a secret.
    """

    def __init__(self, base: str, name: str) -> None:
        file = single_name(name)
        if file is None or file.startswith("."):
            raise RegistryDeniedError(
                f"{name!a} can't name a secret: "
                "begin with '/', and use segments of A-Z, a-z, 0-9, '_', '.' and '-'."
            )
        self.name = name
        self._base = base
        self._file = file
        self._turn: tuple[Folder, int] | None = None

    def read(self) -> bytes | None:
        """Return the value; None if there is none (yet). It writes nothing: followers do it all the time."""
        with forks.HELD:
            folder = Folder.find(self._base, _FOLDER)
            if folder is None:
                return None
            try:
                return self._read(folder)
            finally:
                folder.close()

    def _read(self, folder: Folder) -> bytes | None:
        try:
            fd = os.open(self._file, _READ, dir_fd=folder.fd)
        except FileNotFoundError:
            return None
        try:
            found = os.fstat(fd)
            if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid() or found.st_mode & 0o077:
                raise RegistryDeniedError(
                    f"The secret {self.name} in {folder.path!a} is not a file that this user alone can read: "
                    "'chmod 600' it if you trust what is in it, else remove it."
                )
            # Empty is a file somebody is writing by hand right now.
            return os.read(fd, RECORD_LIMIT) or None
        finally:
            os.close(fd)

    def create(self, value: bytes) -> bytes:
        """Keep *value* unless there is one, and return the one there is."""
        with forks.HELD:
            folder = Folder.open(self._base, _FOLDER)
            try:
                draft = self._draft(folder, value)
                try:
                    with suppress(FileExistsError):
                        # Unlike a rename, a link never takes the place of what somebody else made.
                        os.link(draft, self._file, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
                finally:
                    os.unlink(draft, dir_fd=folder.fd)
                return self._read(folder) or value
            finally:
                folder.close()

    def replace(self, value: bytes) -> None:
        """Keep *value* in place of whatever there is."""
        with forks.HELD:
            folder = Folder.open(self._base, _FOLDER)
            try:
                os.rename(self._draft(folder, value), self._file, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
            finally:
                folder.close()

    def _draft(self, folder: Folder, value: bytes) -> str:
        _sweep(folder)
        name = temporary_name()
        fd = os.open(name, _WRITE, 0o600, dir_fd=folder.fd)
        try:
            write_whole(fd, value)
            # Unlike a record it outlives the machine's power.
            os.fsync(fd)
        except BaseException:
            os.unlink(name, dir_fd=folder.fd)
            raise
        finally:
            os.close(fd)
        return name

    def try_turn(self) -> bool:
        """Take the turn of making secrets, which one process has at a time; False if another one has it."""
        with forks.HELD:
            folder = Folder.open(self._base, _FOLDER)
            fd = -1
            try:
                flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
                fd = forks.keep(os.open(_TURN, flags, 0o600, dir_fd=folder.fd))
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                forks.close(fd)
                folder.close()
                return False
            except BaseException:
                forks.close(fd)
                folder.close()
                raise
            self._turn = (folder, fd)
            return True

    def end_turn(self) -> None:
        """Let others have the turn; nothing happens if this one hasn't got it."""
        turn, self._turn = self._turn, None
        if turn is not None:
            folder, fd = turn
            forks.close(fd)
            folder.close()


def _sweep(folder: Folder) -> None:
    """Remove what killed processes left half done."""
    for name in os.listdir(folder.fd):  # noqa: PTH208 - a descriptor, not a path
        if name.startswith(TEMPORARY):
            sweep(folder, name)
