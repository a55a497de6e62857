"""The one inotify instance of a process; a user may have 128 of them in all processes together."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from enum import Flag, auto
from typing import TYPE_CHECKING, Final

from peerage.backends.embedded import forks
from peerage.backends.embedded.worker import Worker

if TYPE_CHECKING:
    from asyncinotify import Inotify, Watch

__all__ = ["FORCE_POLLING", "Change", "Notifier"]

_LOG = logging.getLogger(__name__)

#: Environment variable; set to anything but nothing or 0, no inotify is used.
FORCE_POLLING: Final = "PEERAGE_EMBEDDED_POLL"

#: Seconds until inotify is tried again, of which there may be more by then.
_TRY_AGAIN: Final = 60.0

_MOVED_FROM: Final = 0x40
_CLOSE_WRITE: Final = 0x08
_DELETE: Final = 0x200
_Q_OVERFLOW: Final = 0x4000
_SELF: Final = 0x400 | 0x800 | 0x2000 | 0x8000  # DELETE_SELF, MOVE_SELF, UNMOUNT, IGNORED


class Change(Flag):
    """What happened to a name, or to the folder itself."""

    WRITTEN = auto()
    """The name has a new file, or has it no longer."""
    CLOSED = auto()
    """Whoever had the file open for writing closed it, most likely by dying; the lock goes a moment later."""
    REMOVED = auto()
    """The name is no more."""
    FOLDER = auto()
    """The folder itself is gone, or elsewhere."""
    LOST = auto()
    """Too much happened at once: look at everything."""


#: Called with what happened to each name; the empty name is the folder itself.
Listener = Callable[[dict[str, Change]], object]


#: Those with a descriptor, which a forked child closes. Not by forks.keep(): asyncinotify closes it, and its
#: epoll, itself, and would close them once more.
_open: "Final[set[Notifier]]" = set()

_complained = False


class Notifier:
    """Tells listeners what happens in folders; the worker's own, inotify is opened at the first need."""

    def __init__(self, worker: Worker) -> None:
        self._worker = worker
        self._inotify: Inotify | None = None
        self._watches: dict[int, Watch] = {}
        # Two paths can lead to one folder, for which the kernel has one watch only.
        self._listeners: dict[int, list[Listener]] = {}
        self._try_at = 0.0

    @property
    def worth_trying(self) -> bool:
        """Whether :meth:`listen` may succeed by now, where it failed before."""
        return time.monotonic() >= self._try_at and os.environ.get(FORCE_POLLING, "0") in {"", "0"}

    def try_soon(self) -> None:
        """Don't wait until it is tried again."""
        self._try_at = min(self._try_at, time.monotonic())

    def listen(self, path: str, listener: Listener) -> int | None:
        """Begin to watch the folder *path*; None if that can't be had, and polling is what is left.

        Raises:
            OSError: there is no such folder.
        """
        inotify = self._opened()
        if inotify is None:
            return None
        from asyncinotify import Mask  # noqa: PLC0415 - Linux only

        try:
            # Not OPEN and CLOSE_NOWRITE: looking would feed itself.
            # EXCL_UNLINK spares the close after each update.
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
            self._complain(f"{error.strerror}: raise fs.inotify.max_user_watches")
            return None
        self._watches[watch.wd] = watch
        self._listeners.setdefault(watch.wd, []).append(listener)
        return watch.wd

    def ignore(self, number: int, listener: Listener) -> None:
        """End what :meth:`listen` began."""
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
                    _LOG.debug("The watch %d was gone already, with its folder.", number)

    def close(self) -> None:
        """Close the descriptor; on the worker's thread, or in a forked child."""
        with forks.HELD:
            inotify, self._inotify = self._inotify, None
            _open.discard(self)
            if inotify is not None:
                self._worker.remove_reader(inotify.fd)
                inotify.close()

    def _opened(self) -> "Inotify | None":
        if self._inotify is None and self.worth_trying:
            try:
                from asyncinotify import Inotify  # noqa: PLC0415 - Linux only

                # Room for about a thousand events: one read for a burst.
                with forks.HELD:
                    self._inotify = Inotify(cache_size=128)
                    _open.add(self)
            except ImportError:
                self._complain("the package asyncinotify isn't there: pip install asyncinotify")
            except OSError as error:
                self._complain(f"{error.strerror}: raise fs.inotify.max_user_instances")
            else:
                os.set_blocking(self._inotify.fd, False)
                self._worker.add_reader(self._inotify.fd, self._read)
        return self._inotify

    def _complain(self, why: str) -> None:
        global _complained  # noqa: PLW0603 - once per process
        self._try_at = time.monotonic() + _TRY_AGAIN
        if not _complained:
            _complained = True
            _LOG.warning(
                "The embedded registry is polled, changes are seen late, for want of inotify (%s; "
                "%s=1 asks for polling and spares this line).",
                why,
                FORCE_POLLING,
            )

    def _read(self) -> None:
        """Hand on what happened since, by listener and name; one call per listener for a burst."""
        if self._inotify is None:
            return
        batches: dict[int, dict[str, Change]] = {}
        while True:
            try:
                event = self._inotify.sync_get()
            except BlockingIOError:
                break
            if event is None:
                break
            mask = int(event.mask)
            if mask & _Q_OVERFLOW:
                for number in self._listeners:
                    batches.setdefault(number, {})[""] = Change.LOST
                continue
            watch = event.watch
            if watch is None:
                continue
            changes = batches.setdefault(watch.wd, {})
            name = str(event.name) if event.name else ""
            happened = _meaning(mask)
            changes[name] = changes[name] | happened if name in changes else happened
        for number, changes in batches.items():
            for listener in tuple(self._listeners.get(number, ())):
                listener(changes)


def _meaning(mask: int) -> Change:
    if mask & _SELF:
        return Change.FOLDER
    if mask & _CLOSE_WRITE:
        return Change.CLOSED
    if mask & (_DELETE | _MOVED_FROM):
        return Change.REMOVED
    return Change.WRITTEN


def _close_all() -> None:
    global _complained  # noqa: PLW0603 - once per process, and this is another one
    _complained = False
    for notifier in tuple(_open):
        with suppress(OSError):
            notifier.close()


os.register_at_fork(after_in_child=_close_all)
