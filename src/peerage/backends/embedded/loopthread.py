"""The thread on which all embedded registries of a process do their file work, in an event loop.

The event loops of the application schedule calls on it (:meth:`LoopThread.call_soon`, :meth:`LoopThread.run`)
and get answers through ``call_soon_threadsafe``. A disk that hangs blocks this thread only.
"""

import asyncio
import errno
import logging
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final, TypeVar

from peerage.backends.embedded import forks
from peerage.backends.feed import call_threadsafe
from peerage.errors import RegistryClosedError
from peerage.threadloop import ThreadLoop

_LOG = logging.getLogger(__name__)

#: Seconds of long work before other calls of the thread run.
_SLICE: Final = 0.002

Result = TypeVar("Result")


async def run_in_slices(steps: Iterator[object]) -> float:
    """Take all *steps*, and let other calls of the loop run every 2 ms; return the seconds of CPU time."""
    cpu, unfinished = 0.0, True
    while unfinished:
        until, began = time.monotonic() + _SLICE, time.thread_time()
        unfinished = False
        for _ in steps:
            if time.monotonic() >= until:
                unfinished = True
                break
        cpu += time.thread_time() - began
        if unfinished:
            await asyncio.sleep(0)
    return cpu


class LoopThread:
    """A thread that runs an event loop.

    The thread begins with :meth:`start`, which may fail and be tried again. Calls scheduled before wait until
    it has started.
    """

    def __init__(self) -> None:
        # Held for moments only, and never during file work.
        self._lock = threading.Lock()
        self._calls: deque[Callable[[], object]] = deque()
        self._scheduled = False
        self._loop: ThreadLoop | None = None
        self._thread: threading.Thread | None = None
        self._ended = asyncio.Event()
        self.closed = False
        """Whether no calls are accepted any more: after :meth:`stop`, and in a forked child."""
        self._answered_at = time.monotonic()
        self._hang_reported: float | None = None
        forks.owners.add(self)

    def start(self) -> None:
        """Start the thread, unless it is started or closed.

        It raises OSError if no descriptors or no threads are left, and can be called again then.
        """
        with self._lock:
            if self._loop is not None or self.closed:
                return
            # A loop that can't open its two sockets writes to standard error, so try that first.
            for probe in socket.socketpair():
                probe.close()
            loop = ThreadLoop()
            # Its calls may take long, which is what the thread is for.
            loop.set_debug(False)
            loop.set_exception_handler(_report_fault)
            # A daemon, so that a program may end without closing its registries.
            thread = threading.Thread(target=self._run, args=[loop], name="peerage-embedded", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                loop.close()
                raise OSError(errno.EAGAIN, "no thread can be started") from error
            self._loop, self._thread = loop, thread
            self._schedule()

    @property
    def started(self) -> bool:
        """Whether the thread was started."""
        return self._loop is not None

    def call_soon(self, call: Callable[[], object]) -> bool:
        """Schedule *call* after all calls scheduled before; return False if the thread is closed."""
        with self._lock:
            if self.closed:
                return False
            self._calls.append(call)
            self._schedule()
            return True

    async def run(self, call: Callable[[], Result], patience: float | None = None) -> Result:
        """Make *call* on the thread and return its result; the call is made even if this is cancelled.

        Args:
            call: the call.
            patience: seconds without an answer to any call after which the disk is taken to hang. The time
                in which the thread makes other calls doesn't count.

        Raises:
            RegistryClosedError: the thread has ended, or belongs to the parent process.
            TimeoutError: the disk hangs; the call is made when it works again.
            OSError: the thread can't be started for now, or *call* raised it.
        """
        self.start()
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[Result] = loop.create_future()

        def work() -> None:
            try:
                settle = partial(answer.set_result, call())
            except Exception as error:  # noqa: BLE001 - raised again in the caller
                settle = partial(answer.set_exception, error)
            call_threadsafe(loop, lambda: None if answer.done() else settle())

        if not self.call_soon(work):
            raise RegistryClosedError(
                "The embedded registry is closed, or was opened before a fork: open another one."
            )
        if patience is None:
            return await answer
        asked_at = time.monotonic()
        try:
            while not answer.done():
                remaining = max(asked_at, self._answered_at) + patience - time.monotonic()
                if remaining <= 0:
                    raise TimeoutError
                await asyncio.wait([answer], timeout=remaining)
            return answer.result()
        finally:
            answer.cancel()

    def is_new_hang(self) -> bool:
        """Whether the thread has answered a call since this was asked last: a hang is reported once."""
        last, self._hang_reported = self._hang_reported, self._answered_at
        return last != self._answered_at

    def stop(self) -> None:
        """End the thread after all calls scheduled before; one that never started drops them."""
        with self._lock:
            self.closed = True
            if self.started:
                self._calls.append(self._ended.set)
                self._schedule()
            else:
                self._calls.clear()

    def join(self) -> None:
        """Wait for the end of the thread."""
        if self._thread is not None:
            self._thread.join()

    def abandon(self) -> None:
        """Close the descriptors in a forked child, which doesn't have the thread."""
        self._lock = threading.Lock()  # another thread of the parent may have held the old one
        self.closed = True
        if self._loop is not None:
            self._loop.abandon()

    def _run(self, loop: ThreadLoop) -> None:
        with asyncio.Runner(loop_factory=lambda: loop) as runner:
            runner.run(self._ended.wait())

    def _schedule(self) -> None:
        # Once for many calls: waking the loop is a system call, in which this thread loses the interpreter.
        if self._loop is not None and not self._scheduled:
            self._scheduled = True
            self._loop.call_soon_threadsafe(self._make_calls)

    def _make_calls(self) -> None:
        # Reset first, so that a call that is added from now on is scheduled.
        self._scheduled = False
        loop, until = asyncio.get_running_loop(), time.monotonic() + _SLICE
        while self._calls:
            call = self._calls.popleft()
            try:
                call()
            except Exception as error:  # noqa: BLE001 - the other calls must be made
                loop.call_exception_handler({"message": "a call failed", "exception": error})
            self._answered_at = time.monotonic()
            if self._answered_at >= until:
                loop.call_soon(self._make_calls)
                break


def _report_fault(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
    # One fault must not end the thread, on which all registries depend.
    _LOG.error(
        "A fault in the embedded registry (%s): please report it with this trace.",
        context.get("message"),
        exc_info=context.get("exception"),
    )
