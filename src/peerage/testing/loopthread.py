"""An event loop in a thread of its own, which a test calls from any thread."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from typing import Any, Final, TypeVar
from weakref import WeakSet

from peerage.testing.waiting import PATIENCE

T = TypeVar("T")


class LoopThread:
    """An event loop that runs in a thread until :meth:`close`; *name* is that of the thread."""

    running: Final["WeakSet[LoopThread]"] = WeakSet()
    """All that run."""

    def __init__(self, name: str) -> None:
        self._started: Future[asyncio.AbstractEventLoop] = Future()
        self._stop = asyncio.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()
        self.loop = self._started.result(PATIENCE)
        self.running.add(self)

    def _run(self) -> None:
        with asyncio.Runner() as runner:
            runner.run(self._wait())

    async def _wait(self) -> None:
        self._started.set_result(asyncio.get_running_loop())
        await self._stop.wait()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Run *coroutine* there, wait for its end, and return its result or raise its exception.

        Raises:
            TimeoutError: it doesn't end within the patience of tests.
        """
        return _result_of(coroutine, self.loop)

    def call(self, function: Callable[[], T]) -> T:
        """Call *function* there, wait for its end, and return its result or raise its exception."""
        return call_in(self.loop, function)

    def close(self) -> None:
        """Cancel what still runs, close the loop, and wait for the end of the thread."""
        self.running.discard(self)
        self.loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(PATIENCE)


def call_in(loop: asyncio.AbstractEventLoop, function: Callable[[], T]) -> T:
    """Call *function* in the thread of *loop*, which runs in another thread, and return its result.

    Raises:
        TimeoutError: the loop doesn't call it within the patience of tests.
    """

    async def call() -> T:
        return function()

    return _result_of(call(), loop)


def _result_of(coroutine: Coroutine[Any, Any, T], loop: asyncio.AbstractEventLoop) -> T:
    future = asyncio.run_coroutine_threadsafe(coroutine, loop)
    try:
        return future.result(PATIENCE)
    except TimeoutError as error:
        if future.done():
            raise
        future.cancel()
        raise TimeoutError(
            f"An event loop in another thread didn't run a call within {PATIENCE:g} s: look for "
            "a handler of a fake peer, or another coroutine, that blocks it or ignores its cancellation."
        ) from error
