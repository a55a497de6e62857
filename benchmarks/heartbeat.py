"""How long an event loop is blocked."""

import asyncio
import time
from typing import Self

__all__ = ["Heartbeat"]


class Heartbeat:
    """Measures the longest time that the event loop didn't answer, against a beat of 1 ms."""

    def __init__(self) -> None:
        self._longest = 0.0
        self._before = time.perf_counter()
        self._task = asyncio.create_task(self._beat())

    async def _beat(self) -> None:
        while True:
            self._before = time.perf_counter()
            await asyncio.sleep(0.001)
            self._longest = max(self._longest, self._waited())

    def _waited(self) -> float:
        return time.perf_counter() - self._before - 0.001

    def take(self) -> float:
        """Return the longest since the last time, the one that lasts included."""
        longest, self._longest = max(self._longest, self._waited()), 0.0
        return longest

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._task.cancel()
