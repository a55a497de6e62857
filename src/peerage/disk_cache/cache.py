"""Saving what is known of a registry, and loading it at a start without the registry."""

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from peerage.blocking import in_daemon_thread
from peerage.disk_cache.format import Entry, Moment, Saved, UnusableFileError, decode, encode

log = logging.getLogger(__name__)

#: Seconds after which what was saved isn't used any more.
MOST_AGE: Final = 24 * 3600.0

#: Seconds from a change until it is saved, and from one save to the next, at least.
PAUSE: Final = 1.0

#: Bytes that are written in a second, in the long run: a cluster of thousands changes all the time.
_BYTES_A_SECOND: Final = 256 * 1024

#: Seconds after which it is saved again without a change, so that its age says how old it is.
_REFRESH: Final = 600.0

#: Seconds after which saving is tried again if it failed.
_AFTER_FAILURE: Final = 60.0

#: Seconds that a disk has for answering at the start, and that a write has for ending when this is closed.
_READ_TIMEOUT: Final = 1.0
_CLOSE_TIMEOUT: Final = 0.3

#: Seconds by which a clock may have been set back without making the file unusable.
_SET_BACK: Final = 60.0


class Loaded(NamedTuple):
    """What was saved."""

    entries: Iterator[Entry]
    """May raise UnusableFileError after some of them."""
    age: float
    """Seconds since it was saved."""


def read_moment(boot_id: Path = Path("/proc/sys/kernel/random/boot_id")) -> Moment:
    """Return the current time by the clocks of this machine."""
    try:
        return Moment(
            boot_id.read_text("ascii").strip(), time.clock_gettime(time.CLOCK_BOOTTIME), time.time()
        )
    except (OSError, AttributeError):
        return Moment("", 0.0, time.time())


def checked_age(age: float) -> float:
    """Return the age of a file in seconds, at least 0; raise UnusableFileError if it isn't used."""
    if age < -_SET_BACK:
        raise UnusableFileError("it says that it is from the future: check the clock of this machine")
    if age > MOST_AGE:
        raise UnusableFileError(f"it is {age / 3600:.0f} hours old, at most 24 are allowed")
    return max(0.0, age)


class File(Protocol):
    """Where it is kept, such as a :class:`peerage.disk_cache.files.CacheFile`; its methods block."""

    @property
    def path(self) -> str:
        """The file that was read or written last."""

    def read(self) -> bytes | None:
        """Return the content; None if there is no file."""

    def write(self, chunks: Iterable[bytes]) -> int:
        """Replace the content, and return the number of its bytes."""


class DiskCache:
    """What is known of one registry, in a file of this user; all processes of the user share it.

    Args:
        url: of the registry, without credentials.
        file: is read and replaced.
        moment: returns the current time.
        background: begins work that blocks, and returns the future of its result; in a thread by default.
    """

    def __init__(
        self,
        url: str,
        file: File,
        *,
        moment: Callable[[], Moment] = read_moment,
        background: Callable[[Callable[[], Any]], "asyncio.Future[Any]"] = in_daemon_thread,
    ) -> None:
        self._url = url
        self._file = file
        self._moment = moment
        self._in_background = background
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._writing: asyncio.Future[int] | None = None
        self._failed = False

    async def load(self) -> Loaded | None:
        """Return what was saved at most a day ago, None if nothing usable was; says in the log why."""
        try:
            loaded = await self.read()
        except (OSError, UnusableFileError) as error:
            self.ignore(error)
            return None
        if loaded is None:
            log.info("There is no disk cache of %s in %s", self._url, self.path)
        return loaded

    async def read(self) -> Loaded | None:
        """Return what was saved; None if nothing was.

        Raises:
            OSError: the file can't be read; TimeoutError: not in time.
            UnusableFileError: it can't be trusted, is damaged, or is over a day old.
        """
        async with asyncio.timeout(_READ_TIMEOUT):
            # The checksum of a large file takes milliseconds.
            saved: Saved | None = await self._in_background(self._read)
        if saved is None:
            return None
        return Loaded(saved.entries, checked_age(self._moment().seconds_since(saved.when)))

    def _read(self) -> Saved | None:
        content = self._file.read()
        return None if content is None else decode(content, self._url)

    @property
    def path(self) -> str:
        """The file that was read or written last."""
        return self._file.path

    def ignore(self, error: Exception) -> None:
        """Log why the file isn't used."""
        reason = "reading it takes too long" if isinstance(error, TimeoutError) else str(error)
        log.warning(
            "The disk cache %s isn't used: %s. It is replaced when the registry %s is in touch.",
            self._file.path,
            reason,
            self._url,
        )

    def start(self, entries: Callable[[], Iterable[Entry] | None]) -> None:
        """Begin to save after each :meth:`changed`; needs the running event loop.

        Args:
            entries: returns what is known, to be read in another thread; None if it isn't to be saved now
                because it isn't certain.
        """
        self._task = asyncio.create_task(self._save_changes(entries), name="peerage: save the disk cache")

    def changed(self) -> None:
        """Take note that something has changed, to be saved soon."""
        self._changed.set()

    async def aclose(self) -> None:
        """Stop; a change of the last second may not be saved."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        writing, self._writing = self._writing, None
        if writing is not None:
            await asyncio.wait([writing], timeout=_CLOSE_TIMEOUT)
            if writing.done():
                writing.exception()  # it was logged, or there is no time left for another attempt

    async def _save_changes(self, entries: Callable[[], Iterable[Entry] | None]) -> None:
        pause = PAUSE
        while True:
            try:
                async with asyncio.timeout(_REFRESH):
                    await self._changed.wait()
            except TimeoutError:
                pass
            await asyncio.sleep(pause)
            self._changed.clear()
            if (known := entries()) is not None:
                pause = await self._save(known)

    async def _save(self, entries: Iterable[Entry]) -> float:
        """Save *entries*, and return the seconds until the next time."""
        writing = self._writing = self._in_background(
            lambda: self._file.write(encode(self._url, self._moment(), entries))
        )
        try:
            size: int = await asyncio.shield(writing)
        except (OSError, UnusableFileError) as error:
            if not self._failed:
                log.warning(
                    "The disk cache %s can't be saved: %s. Everything else works, but a service that starts "
                    "while the registry is out of reach doesn't know what is in it. Make the folder "
                    "writable, or name another one in PEERAGE_DISK_CACHE ('off': none).",
                    self._file.path,
                    error,
                )
        except Exception:
            # Of what a backend or the format doesn't expect; without this, nothing would be saved any more.
            if not self._failed:
                log.exception("Saving the disk cache %s failed, which is a bug", self._file.path)
        else:
            self._failed = False
            return max(PAUSE, size / _BYTES_A_SECOND)
        self._failed = True
        self._changed.set()
        return _AFTER_FAILURE
