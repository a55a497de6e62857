"""What the embedded registries of one process share: the thread, inotify, one site for each place."""

import asyncio
import os
import threading
from collections.abc import Callable
from typing import TypeVar

from peerage.backends.embedded.inotify import Notifier
from peerage.backends.embedded.location import Location
from peerage.backends.embedded.mailbox import tell
from peerage.backends.embedded.site import Site
from peerage.backends.embedded.worker import Worker
from peerage.errors import RegistryClosedError

__all__ = ["Shared", "ask", "join", "leave"]

Answer = TypeVar("Answer")


class Shared:
    """Thread and inotify of the process; made by the first :func:`join`, ended by the last :func:`leave`."""

    def __init__(self) -> None:
        self.worker = Worker()
        self.notifier = Notifier(self.worker)
        self.users = 0
        self._sites: dict[Location, tuple[Site, int]] = {}

    # On the worker's thread

    def enter(self, location: Location) -> Site:
        """Return the site at *location* for one more registry."""
        self.notifier.try_soon()
        site, users = self._sites.get(location) or (Site(location, self.worker, self.notifier), 0)
        self._sites[location] = (site, users + 1)
        return site

    def exit(self, location: Location) -> None:
        """One registry fewer is at *location*; the last one closes the site."""
        site, users = self._sites.pop(location)
        if users > 1:
            self._sites[location] = (site, users - 1)
        else:
            site.close()


_lock = threading.Lock()
_shared: Shared | None = None


def join() -> Shared:
    """Return what the process shares, for one more registry."""
    global _shared  # noqa: PLW0603 - one per process is the very idea
    with _lock:
        if _shared is None:
            _shared = Shared()
        _shared.users += 1
        return _shared


def leave(shared: Shared, finished: Callable[[], object]) -> bool:
    """One registry fewer; *finished* is called on the thread when all that was posted is done.

    With the last one the thread ends, *finished* is the last thing it does, and True is returned.
    """
    global _shared  # noqa: PLW0603 - see join
    with _lock:
        shared.users -= 1
        last = shared.users == 0
        if last and _shared is shared:
            _shared = None
    if last:
        shared.worker.post(shared.notifier.close)
        shared.worker.stop(finished)
    elif shared.worker.started:
        shared.worker.post(finished)
    else:
        # Nothing was done for it yet, and what it posted takes itself back.
        finished()
    return last


async def ask(worker: Worker, call: Callable[[], Answer]) -> Answer:
    """Have *call* made on the thread and return its answer, or raise its error.

    Raises:
        RegistryClosedError: the thread has ended, or is the parent's.
        OSError: the thread can't begin for now, or *call* raised it.
    """
    worker.start()
    loop = asyncio.get_running_loop()
    future: asyncio.Future[Answer] = loop.create_future()

    def settle(answer: Answer | None, error: BaseException | None) -> None:
        if future.done():
            return  # cancelled
        if error is not None:
            future.set_exception(error)
        else:
            future.set_result(answer)  # type: ignore[arg-type]  # None only where it is the answer

    def run() -> None:
        try:
            answer = call()
        except Exception as error:  # noqa: BLE001 - raised again where it was asked for
            caught = error
            tell(loop, lambda: settle(None, caught))
        else:
            tell(loop, lambda: settle(answer, None))

    if not worker.post(run):
        raise RegistryClosedError(
            "The embedded registry is closed, or was opened before a fork: open another one."
        )
    return await future


def _forget() -> None:
    """In a forked child the thread doesn't exist: begin anew."""
    global _shared, _lock  # noqa: PLW0603 - see join
    _lock = threading.Lock()
    if _shared is not None:
        _shared.worker.abandon()
    _shared = None


os.register_at_fork(after_in_child=_forget)
