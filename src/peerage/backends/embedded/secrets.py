"""Shared secrets, each in a file that only the users of the registry can read."""

import asyncio
import fcntl
import logging
import os
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, closing, contextmanager, suppress
from functools import partial
from typing import Final

from peerage.backends.embedded import forks
from peerage.backends.embedded.folder import DRAFT_PREFIX, Folder, draft_name, write_whole
from peerage.backends.embedded.location import Location, single_name
from peerage.backends.embedded.loopthread import LoopThread
from peerage.backends.embedded.recordfile import FOREIGN, remove_old_draft
from peerage.backends.feed import Feed
from peerage.errors import RegistryDeniedError
from peerage.registry import RECORD_LIMIT, Put, Record, check_size

_LOG = logging.getLogger(__name__)

#: Seconds between reads of a secret that is followed.
_FOLLOW: Final = 0.2

_FOLDER: Final = "secrets"
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC


class EmbeddedSecrets:
    """Secrets under absolute names; see :class:`peerage.registry.Secrets`.

    *location* is the registry's; *thread* returns the thread, or raises RegistryClosedError.
    """

    def __init__(self, location: Location, thread: Callable[[], LoopThread]) -> None:
        self._location = location
        self._thread = thread
        self._feeds: set[Feed] = set()

    async def obtain(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return the value; if there is none, keep one made by *make* or by another caller at the same time.

        Raises:
            RegistryDeniedError: the name or the value is impossible, or the folder can't be trusted.
            RegistryClosedError: after the registry's aclose().
            OSError: no space, too many open files.
        """
        file, thread = SecretFile(self._location, name), self._thread()
        value = await thread.run(file.read)
        if value is None:
            value = await thread.run(partial(file.create, _checked(name, make())))
        return value

    async def replace(self, name: str, value: bytes) -> None:
        """Set a new value, as an administrator does who changes a key; raises as :meth:`obtain` does."""
        file = SecretFile(self._location, name)
        await self._thread().run(partial(file.replace, _checked(name, value)))

    def follow(self, name: str) -> AsyncIterator[bytes]:
        """Yield the value as soon as there is one, then every new one; ends with the registry.

        It raises RegistryDeniedError if the name is impossible, and RegistryClosedError as obtain() does.
        """
        file, thread = SecretFile(self._location, name), self._thread()
        feed = Feed(self._feeds.discard, asyncio.get_running_loop())
        self._feeds.add(feed)
        thread.call_soon(lambda: self._look(file, feed))
        return _values(feed)

    def end(self) -> None:
        """End every iteration that :meth:`follow` began."""
        for feed in self._feeds:
            feed.end()
        self._feeds.clear()

    def _look(
        self, file: "SecretFile", feed: Feed, last: bytes | None = None, *, failed: bool = False
    ) -> None:
        """Report a new value to *feed*, and look again after a while; on the thread."""
        if feed not in self._feeds:
            return
        try:
            value = file.read()
        except (RegistryDeniedError, OSError) as error:
            if not failed:
                _LOG.warning("The secret %s can't be read: %s", file.name, error)
            failed = True
        else:
            failed = False
            if value is not None and value != last:
                feed.put(Record(file.name, value, 0), new=last is None)
                last = value
        again = partial(self._look, file, feed, last, failed=failed)
        asyncio.get_running_loop().call_later(_FOLLOW, again)


async def _values(feed: Feed) -> AsyncIterator[bytes]:
    async with aclosing(feed):
        async for event in feed:
            if isinstance(event, Put):
                yield event.record.data


class SecretFile:
    """The file of one secret; each method opens the folder anew, which may have been replaced meanwhile.

    *location* is the registry's, *name* an absolute name such as ``/asab/auth/key``. Every method raises
    RegistryDeniedError if the folder or the file can't be trusted, and OSError; the constructor raises
    RegistryDeniedError if *name* is impossible.
    """

    def __init__(self, location: Location, name: str) -> None:
        file = single_name(name)
        if file is None or file.startswith("."):
            raise RegistryDeniedError(
                f"{name!a} can't name a secret: "
                "begin with '/', and use segments of A-Z, a-z, 0-9, '_', '.' and '-'."
            )
        self.name = name
        self._location = location
        self._file = file

    def read(self) -> bytes | None:
        """Return the value, or None if there is none. Nothing is written: watches read all the time."""
        with suppress(FileNotFoundError), self._opened(create=False) as folder:
            return self._read(folder)
        return None

    def create(self, value: bytes) -> bytes:
        """Keep *value* unless there is a value, and return the value that is kept."""
        with self._opened() as folder:
            with _draft(folder, value) as draft, suppress(FileExistsError):
                # Unlike a rename, a link never replaces the file of another process.
                os.link(draft, self._file, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
            return self._read(folder) or value

    def replace(self, value: bytes) -> None:
        """Keep *value* in place of any other."""
        with self._opened() as folder:
            try:
                with _draft(folder, value) as draft:
                    os.rename(draft, self._file, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
            except IsADirectoryError as error:
                raise self._refused(folder) from error
            except PermissionError as error:
                raise RegistryDeniedError(
                    f"The secret {self.name} in {folder.path!a} can't be replaced ({error.strerror}): "
                    "do it as the user who owns the file."
                ) from error

    @contextmanager
    def _opened(self, *, create: bool = True) -> Iterator[Folder]:
        try:
            with forks.FORK_LOCK, closing(Folder.open(self._location, _FOLDER, create=create)) as folder:
                yield folder
        except OSError as error:
            # The names of drafts, or within the folder, wouldn't say where the disk is full, for example.
            path = f"{self._location.base}/{_FOLDER}/{self._file}"
            raise OSError(error.errno, error.strerror or str(error), path) from error

    def _read(self, folder: Folder) -> bytes | None:
        try:
            fd = os.open(self._file, _READ, dir_fd=folder.fd)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in FOREIGN:
                raise
            raise self._refused(folder) from error
        try:
            found = os.fstat(fd)
            if not folder.access.trusts_secret(found):
                raise self._refused(folder)
            # An empty file is one that is being written by hand at this moment.
            return os.read(fd, RECORD_LIMIT) or None
        finally:
            os.close(fd)

    def _refused(self, folder: Folder) -> RegistryDeniedError:
        return RegistryDeniedError(
            f"The secret {self.name} in {folder.path!a} is not {folder.access.of_secrets}."
        )


@contextmanager
def _draft(folder: Folder, value: bytes) -> Iterator[str]:
    """Write *value* to a new file and yield its name, which doesn't exist any more in the end."""
    for old in os.listdir(folder.fd):  # noqa: PTH208 - a descriptor, not a path
        if old.startswith(DRAFT_PREFIX):
            remove_old_draft(folder, old)
    name = draft_name()
    fd = folder.create_file(name)
    try:
        # No process takes it for a leftover then, however slow the disk is and whatever the clock says.
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        write_whole(fd, value)
        # Unlike a record, a secret survives a power failure.
        os.fsync(fd)
        yield name
    finally:
        with suppress(FileNotFoundError):  # it was renamed
            os.unlink(name, dir_fd=folder.fd)
        os.close(fd)


def _checked(name: str, value: bytes) -> bytes:
    check_size(value)
    if not value:
        raise RegistryDeniedError(
            f"The secret {name!a} is empty, and an empty file counts as unfinished: give it a value."
        )
    return value
