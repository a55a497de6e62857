"""The one inotify instance of a process; a user may have 128 of them in all processes together."""

import asyncio
import errno
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import TYPE_CHECKING, ClassVar, Final

from peerage.backends.embedded import forks

try:
    from asyncinotify import Inotify, Mask
except ImportError:  # it exists on Linux only
    Inotify = None  # type: ignore[assignment,misc]

if TYPE_CHECKING:
    from asyncinotify import Event, Watch

_LOG = logging.getLogger(__name__)

#: Environment variable; if set to anything but an empty value or 0, inotify isn't used.
FORCE_POLLING: Final = "PEERAGE_EMBEDDED_POLL"

#: Seconds until inotify is tried again after it couldn't be had.
_RETRY: Final = 60.0

#: A file was closed by a process that could write to it, often by its death; the lock goes a moment later.
CLOSED: Final = 0x08

#: A file got its name, as new ones and new contents do.
NAMED: Final = 0x80

#: Events were lost, because there were too many at once.
LOST: Final = 0x4000

#: Called with the names that changed, and the flags of what happened to each. The empty name is the folder.
Listener = Callable[[dict[str, int]], object]


class Notifier:
    """Reports changes in folders to listeners; lives on the thread and opens inotify when it is needed."""

    #: Whether this process has logged that it polls; children that it forks don't log it again.
    _warned: ClassVar[bool] = False

    def __init__(self) -> None:
        self._inotify: Inotify | None = None
        # Two paths can lead to one folder, for which the kernel has one watch only.
        self._listeners: dict[int, list[Listener]] = {}
        self._retry_at = 0.0
        forks.owners.add(self)

    def retry_now(self) -> None:
        """Let the next :meth:`listen` try again, if inotify couldn't be had before."""
        self._retry_at = 0.0

    def listen(self, path: str, listener: Listener) -> "Watch | None":
        """Watch the folder *path*, and raise OSError if it can't be accessed or there is none.

        It returns None if inotify can't be had, or couldn't be had less than a minute ago.
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
        except OSError as error:
            if error.errno not in {errno.ENOSPC, errno.ENOMEM}:
                raise
            self._unavailable(f"{error.strerror}: raise fs.inotify.max_user_watches")
            return None
        self._listeners.setdefault(watch.wd, []).append(listener)
        return watch

    def ignore(self, watch: "Watch", listener: Listener) -> None:
        """End a watch that :meth:`listen` began."""
        self._listeners[watch.wd].remove(listener)
        if not self._listeners[watch.wd]:
            del self._listeners[watch.wd]
            if self._inotify is not None:
                with suppress(OSError):  # it was removed already, with its folder
                    self._inotify.rm_watch(watch)

    def close(self) -> None:
        """Close the descriptors."""
        if self._inotify is not None:
            asyncio.get_running_loop().remove_reader(self._inotify.fd)
            self.abandon()

    def abandon(self) -> None:
        """Close the descriptors without the event loop, as a forked child does."""
        with forks.FORK_LOCK:
            inotify, self._inotify = self._inotify, None
            if inotify is not None:
                inotify.close()

    def _opened(self) -> "Inotify | None":
        if time.monotonic() < self._retry_at or os.environ.get(FORCE_POLLING, "0") not in {"", "0"}:
            return None
        if self._inotify is not None:
            return self._inotify
        if Inotify is None:
            self._unavailable("the package asyncinotify isn't installed: pip install asyncinotify")
            return None
        try:
            with forks.FORK_LOCK:
                # Room for about a thousand events, so that a burst takes one read.
                self._inotify = Inotify(cache_size=128)
        except OSError as error:
            # The kernel has one error for both limits.
            self._unavailable(
                f"{error.strerror}: raise fs.inotify.max_user_instances, or the limit of open files of this "
                "process, 'ulimit -n', whichever is reached"
            )
            return None
        # asyncinotify's own flag for this has the value of another one.
        os.set_blocking(self._inotify.fd, False)
        asyncio.get_running_loop().add_reader(self._inotify.fd, self._read, self._inotify, self._inotify.fd)
        return self._inotify

    def _unavailable(self, why: str) -> None:
        self._retry_at = time.monotonic() + _RETRY
        if not Notifier._warned:
            Notifier._warned = True
            _LOG.warning(
                "The embedded registry polls its folder, so changes are seen late, because inotify can't be "
                "used (%s; set %s=1 to poll without this warning).",
                why,
                FORCE_POLLING,
            )

    def _read(self, inotify: "Inotify", fd: int) -> None:
        """Pass on what happened since the last time: one call per listener for a burst."""
        batches: dict[int, dict[str, int]] = {}
        for event in _waiting_events(inotify, fd):
            mask = int(event.mask)
            if mask & LOST:
                for number in self._listeners:
                    batches.setdefault(number, {})[""] = LOST
            elif event.watch is not None:
                changes = batches.setdefault(event.watch.wd, {})
                name = str(event.name) if event.name else ""
                changes[name] = changes.get(name, 0) | mask
        for number, changes in batches.items():
            for listener in tuple(self._listeners.get(number, ())):
                listener(changes)


def _waiting_events(inotify: "Inotify", fd: int) -> "Iterator[Event]":
    try:
        yield from inotify
    except BlockingIOError:
        return
    except ValueError:
        # The interpreter ends: asyncinotify has closed the descriptor, and this thread still runs.
        asyncio.get_running_loop().remove_reader(fd)
