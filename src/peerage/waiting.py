"""Waiting for the first of several things, and for a turn in long work."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Final

from peerage.timing import monotonic

#: Seconds of work after which other tasks of the event loop run.
SLICE: Final = 0.003


class Slices:
    """Divides long work into slices, so that other tasks of the event loop run in between.

    Args:
        clock: monotonic seconds.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._ends = 0.0

    async def pause(self) -> None:
        """Let other tasks run if this slice has lasted long enough."""
        if self._clock() >= self._ends:
            await asyncio.sleep(0)
            self._ends = self._clock() + SLICE


async def first_of(*parts: Coroutine[Any, Any, object]) -> None:
    """Run all *parts* until one ends, and raise what it raised; the others are cancelled."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        done, _ = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
    for task in done:
        task.result()
