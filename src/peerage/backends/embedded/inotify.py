"""The one inotify instance of a process; a user may have 128 of them in all processes together."""

import asyncio
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from enum import Flag, auto
from typing import TYPE_CHECKING, Final

from peerage.backends.embedded import forks

try:
    from asyncinotify import Inotify, Mask
except ImportError:  # it exists on Linux only
    Inotify = None  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from asyncinotify import Event, Watch

__all__ = ["FORCE_POLLING", "Change", "Notifier"]

_LOG = logging.getLogger(__name__)

#: Environment variable; if set to anything but an empty value or 0, inotify isn't used.
FORCE_POLLING: Final = "PEERAGE_EMBEDDED_POLL"

#: Seconds until inotify is tried again after it couldn't be had.
_RETRY: Final = 60.0

_MOVED_FROM: Final = 0x40
_CLOSE_WRITE: Final = 0x08
_DELETE: Final = 0x200
_Q_OVERFLOW: Final = 0x4000
_SELF: Final = 0x400 | 0x800 | 0x2000 | 0x8000  # DELETE_SELF, MOVE_SELF, UNMOUNT, IGNORED


class Change(Flag):
    """What happened to a name, or to the folder itself."""

    WRITTEN = auto()
    """The name leads to a new file."""
    CLOSED = auto()
    """A process that had it open for writing closed it, often by dying; the lock goes a moment later."""
    REMOVED = auto()
    """The name was removed."""
    FOLDER = auto()
    """The folder itself was removed or moved."""
    OVERFLOW = auto()
    """Events were lost, because there were too many at once: everything must be read."""


#: Called with the changes of each name; the empty name is the folder itself.
Listener = Callable[[dict[str, Change]], object]


#: Notifiers with an open descriptor, which a forked child closes. forks.keep() can't do it, because
#: asyncinotify closes its descriptors itself and would close them twice.
_open: "Final[set[Notifier]]" = set()

_warned = False


class Notifier:
    """Reports changes in folders to listeners; lives on the thread and opens inotify when it is needed."""

    def __init__(self) -> None:
        self._inotify: Inotify | None = None
        self._watches: dict[int, Watch] = {}
        # Two paths can lead to one folder, for which the kernel has one watch only.
        self._listeners: dict[int, list[Listener]] = {}
        self._retry_at = 0.0

    @property
    def retry_due(self) -> bool:
        """Whether :meth:`listen` may succeed by now, after it failed before."""
        return time.monotonic() >= self._retry_at and os.environ.get(FORCE_POLLING, "0") in {"", "0"}

    def retry_now(self) -> None:
        """Make a retry due."""
        self._retry_at = min(self._retry_at, time.monotonic())

    def listen(self, path: str, listener: Listener) -> int | None:
        """Watch the folder *path* and return the number of the watch; None if inotify can't be had.

        Raises:
            OSError: there is no such folder.
        """
        inotify = self._opened()
        if inotify is None:
            return None
        try:
            # Without OPEN and CLOSE_NOWRITE, which the readers themselves would cause.
            # EXCL_UNLINK spares the event of closing the old file after each update.
            watch = inotify.add_watch(
                path,
                Mask.MOVED_TO
                | Mask.MOVED_FROM
                | Mask.DELETE
                | Mask.CLOSE_WRITE
                | Mask.DELETE_SELF
                | Mask.MOVE_SELF
                | Mask.EXCL_UNLINK
                | Mask.DONT_FOLLOW
                | Mask.ONLYDIR,
            )
        except FileNotFoundError:
            raise
        except OSError as error:
            self._unavailable(f"{error.strerror}: raise fs.inotify.max_user_watches")
            return None
        self._watches[watch.wd] = watch
        self._listeners.setdefault(watch.wd, []).append(listener)
        return watch.wd

    def ignore(self, number: int, listener: Listener) -> None:
        """End a watch that :meth:`listen` began."""
        listeners = self._listeners.get(number, [])
        if listener in listeners:
            listeners.remove(listener)
        if not listeners:
            self._listeners.pop(number, None)
            watch = self._watches.pop(number, None)
            if watch is not None and self._inotify is not None:
                try:
                    self._inotify.rm_watch(watch)
                except OSError:
                    _LOG.debug("The watch %d was removed already, with its folder.", number)

    def close(self) -> None:
        """Close the descriptors."""
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self.close_descriptors()

    def close_descriptors(self) -> None:
        """Close the descriptors without the event loop, as a forked child does."""
        with forks.FORK_LOCK:
            inotify, self._inotify = self._inotify, None
            _open.discard(self)
            if inotify is not None:
                inotify.close()

    def _opened(self) -> "Inotify | None":
        if self._inotify is not None or not self.retry_due:
            return self._inotify
        if Inotify is None:
            self._unavailable("the package asyncinotify isn't installed: pip install asyncinotify")
            return None
        try:
            with forks.FORK_LOCK:
                # Room for about a thousand events, so that a burst takes one read.
                self._inotify = Inotify(cache_size=128)
                _open.add(self)
        except OSError as error:
            self._unavailable(f"{error.strerror}: raise fs.inotify.max_user_instances")
            return None
        # asyncinotify's own flag for this has the value of another one.
        os.set_blocking(self._inotify.fd, False)
        asyncio.get_running_loop().add_reader(self._inotify.fd, self._read, self._inotify, self._inotify.fd)
        return self._inotify

    def _unavailable(self, why: str) -> None:
        global _warned  # noqa: PLW0603 - once per process
        self._retry_at = time.monotonic() + _RETRY
        if not _warned:
            _warned = True
            _LOG.warning(
                "The embedded registry polls its folder, so changes are seen late, because inotify can't be "
                "used (%s; set %s=1 to poll without this warning).",
                why,
                FORCE_POLLING,
            )

    def _read(self, inotify: "Inotify", fd: int) -> None:
        """Pass on what happened since the last time: one call per listener for a burst."""
        batches: dict[int, dict[str, Change]] = {}
        for event in _waiting_events(inotify, fd):
            mask = int(event.mask)
            if mask & _Q_OVERFLOW:
                for number in self._listeners:
                    batches.setdefault(number, {})[""] = Change.OVERFLOW
            elif event.watch is not None:
                changes = batches.setdefault(event.watch.wd, {})
                name = str(event.name) if event.name else ""
                changes[name] = changes.get(name, Change(0)) | _change(mask)
        for number, changes in batches.items():
            for listener in tuple(self._listeners.get(number, ())):
                listener(changes)


def _waiting_events(inotify: "Inotify", fd: int) -> "Iterator[Event]":
    while True:
        try:
            event = inotify.sync_get()
        except BlockingIOError:
            return
        except ValueError:
            # The interpreter ends: asyncinotify has closed the descriptor, and this thread still runs.
            asyncio.get_running_loop().remove_reader(fd)
            return
        if event is None:
            return
        yield event


def _change(mask: int) -> Change:
    if mask & _SELF:
        return Change.FOLDER
    if mask & _CLOSE_WRITE:
        return Change.CLOSED
    if mask & (_DELETE | _MOVED_FROM):
        return Change.REMOVED
    return Change.WRITTEN


def _close_all() -> None:
    global _warned  # noqa: PLW0603 - once per process, and this is another one
    _warned = False
    for notifier in tuple(_open):
        with suppress(OSError):
            notifier.close_descriptors()


os.register_at_fork(after_in_child=_close_all)
