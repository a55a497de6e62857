"""One event loop in a thread, for programs that have none: Flask, Django under WSGI, and scripts.

In the loop, one asynchronous context is open, such as a Discovery. Both begin at the first use and end with
:meth:`Portal.close`, at the latest with the process.

Forks: a child has neither the thread nor what is open in it. It begins anew at its first use, and closes its
copies of the parent's connections without sending anything to their other ends.
"""

import asyncio
import atexit
import logging
import os
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import CancelledError, Future
from contextlib import AbstractAsyncContextManager, suppress
from typing import Any, Final, Generic, TypeVar
from weakref import WeakSet, finalize

from peerage.calling.deadline import current_deadline
from peerage.deadlines import enforced
from peerage.errors import RegistryClosedError
from peerage.threadloop import ThreadLoop

log = logging.getLogger(__name__)

#: Seconds that :meth:`Portal.close` waits for the end of the thread: a Discovery closes in about one.
_PATIENCE: Final = 1.5

T = TypeVar("T")
Result = TypeVar("Result")


class Portal(Generic[T]):
    """Runs coroutines for threads without an event loop; may be used by many threads at a time.

    ::

        portal = Portal(lambda: peerage.Discovery(service_id="shop"))
        portal.run(portal.get().locate(service_id="orders"))

    Args:
        opening: returns the asynchronous context that is open in the loop; called once in each process.
    """

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self._opening = opening
        # Reentrant, because a handler of a signal may need the portal while its thread is inside.
        self._lock = threading.RLock()
        self._thread: _Thread[T] | None = None
        self._closed = False
        self.closes_at_exit = True
        """Whether the end of the process closes what is open, instead of leaving it as a crash would."""
        _portals.add(self)

    def get(self) -> T:
        """Return what is open in the loop of this process; at the first use, open it.

        After a fork, that of the child is another one, so don't keep it.

        Raises:
            RegistryClosedError: the portal is closed.
            RuntimeError: an event loop runs in this thread.
            Exception: opening it failed; it is tried again at the next use.
        """
        _refuse_event_loop()
        with self._lock:
            thread = self._begun()
        try:
            return thread.opened.result()
        except CancelledError:
            raise _closed() from None

    def run(
        self,
        coroutine: Coroutine[Any, Any, Result],
        meanwhile: Callable[[Future[Result]], None] | None = None,
    ) -> Result:
        """Run *coroutine* in the loop, in the context of the caller, and return its result.

        If the caller is interrupted meanwhile, as by Ctrl-C, *coroutine* is cancelled. The caller's deadline
        holds, as in :func:`peerage.deadline`.

        Args:
            coroutine: what is run.
            meanwhile: what the caller's thread does until the future that it is given is done; it waits by
                default.

        Raises:
            RegistryClosedError: the portal is closed, or was closed meanwhile.
            RuntimeError: an event loop runs in this thread.
            DeadlineExceededError: the caller's deadline has passed.
            BaseException: *coroutine* raised it.
        """
        call = _Call(coroutine)
        try:
            future = self._submit(call)
            if meanwhile is not None:
                meanwhile(future)
            return future.result()
        except CancelledError:
            raise _closed() from None
        except BaseException:
            call.drop()  # if it was the caller that was interrupted
            raise

    def submit(self, coroutine: Coroutine[Any, Any, Result]) -> "Future[Result]":
        """Run *coroutine* as :meth:`run` does, but return at once; a handler of a signal may call this.

        Raises:
            RegistryClosedError: the portal is closed.
            RuntimeError: an event loop runs in this thread.
        """
        call = _Call(coroutine)
        try:
            return self._submit(call)
        except BaseException:
            call.drop()
            raise

    def _submit(self, call: "_Call[Result]") -> "Future[Result]":
        self.get()
        with self._lock:
            # Under the lock, so that close() finds each coroutine in the loop or refuses it.
            return asyncio.run_coroutine_threadsafe(call.run(), self._begun().loop)

    def close(self) -> None:
        """Close what is open, cancel what runs, and end the thread; may be called twice."""
        with self._lock:
            self._closed = True
            thread, self._thread = self._thread, None
        if thread is not None:
            thread.end()

    def _begun(self) -> "_Thread[T]":
        if self._closed:
            raise _closed()
        if self._thread is None or self._thread.failed:
            self._thread = _Thread(self._opening)
            self._thread.start()
        return self._thread

    def abandon(self) -> None:
        """Begin anew in a forked child."""
        # Another thread of the parent may have held the old one.
        self._lock = threading.RLock()
        thread, self._thread = self._thread, None
        if thread is not None:
            thread.abandon()


class _Thread(Generic[T]):
    """The thread of one process: its loop, and what is open in it."""

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[T]]) -> None:
        self.opened: Future[T] = Future()
        """What is open, once it is."""
        self.loop = ThreadLoop()
        self._opening = opening
        self._ended = asyncio.Event()
        # A daemon, so that a program may end without closing it: see _close_all().
        self._thread = threading.Thread(target=self._run, name="peerage-portal", daemon=True)

    def start(self) -> None:
        try:
            self._thread.start()
        except RuntimeError:
            self.loop.close()
            raise

    @property
    def failed(self) -> bool:
        return self.opened.done() and self.opened.exception() is not None

    def end(self) -> None:
        # The loop is closed if opening failed.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._ended.set)
        self._thread.join(_PATIENCE)
        if self._thread.is_alive():
            log.warning(
                "The background thread doesn't end within %g s, and is left to end by itself: something "
                "that runs in it blocks or ignores its cancellation.",
                _PATIENCE,
            )

    def abandon(self) -> None:
        # What is open stays as it is: if it were collected, it might shut down connections of the parent.
        _of_parents.append(self.opened)
        with open(os.devnull, "r+b", buffering=0) as nothing:  # noqa: PTH123 - a device
            for fd in self.loop.descriptors():
                os.dup2(nothing.fileno(), fd, inheritable=False)
        self.loop.abandon()

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=lambda: self.loop) as runner:
                runner.run(self._live())
        except Exception:
            log.exception("Closing failed in the background thread")

    async def _live(self) -> None:
        try:
            async with self._opening() as value:
                self.opened.set_result(value)
                await self._ended.wait()
        except BaseException as error:
            if self.opened.done():
                raise
            self.opened.set_exception(error)


class _Call(Generic[Result]):
    """A coroutine that runs in the loop, and that its caller may drop at any time."""

    def __init__(self, coroutine: Coroutine[Any, Any, Result]) -> None:
        self._coroutine = coroutine
        self._dropped = False
        self._task: asyncio.Task[Any] | None = None

    async def run(self) -> Result:
        # Written before the other is read, and the other way round in drop(): so one of both sees the other.
        self._task = asyncio.current_task()
        if self._dropped:
            self._coroutine.close()
            raise asyncio.CancelledError
        limit = current_deadline.get()
        if limit is None:
            return await self._coroutine
        async with enforced(limit):
            return await self._coroutine

    def drop(self) -> None:
        self._dropped = True
        task = self._task
        if task is None:
            self._coroutine.close()
        elif not task.done():
            with suppress(RuntimeError):  # the loop is closed
                task.get_loop().call_soon_threadsafe(task.cancel)


def _refuse_event_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return
    raise RuntimeError(
        "An event loop runs in this thread, and would be blocked until the answer arrives: use "
        "peerage.Discovery with 'await' here, or call this from another thread with asyncio.to_thread()."
    )


def _closed() -> RegistryClosedError:
    return RegistryClosedError("This Discovery is closed: make another one.")


_portals: "Final[WeakSet[Portal[Any]]]" = WeakSet()

#: In a forked child: what was open in its parents.
_of_parents: Final[list[object]] = []


def _abandon_all() -> None:
    for portal in tuple(_portals):
        portal.abandon()


def _close_all() -> None:
    for portal in tuple(_portals):
        if portal.closes_at_exit:
            portal.close()


os.register_at_fork(after_in_child=_abandon_all)

# What is registered last runs first. The first finalizer of a process registers the function that closes at
# exit what has a finalizer, such as inotify's descriptors; the portals must be closed before that.
finalize(log, _close_all).detach()
atexit.register(_close_all)
