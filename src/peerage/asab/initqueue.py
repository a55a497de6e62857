"""Initializes parts one after the other, also those that are made later."""

import asyncio
from collections.abc import Awaitable, Callable

from peerage.asab.parts import Part

__all__ = ["InitQueue"]


class InitQueue:
    """A queue of parts that :meth:`work` initializes.

    Args:
        initialize: initializes one part; raises nothing.
        last_first: within one phase, the part that was added last comes first.
    """

    def __init__(self, initialize: Callable[[Part], Awaitable[None]], *, last_first: bool = False) -> None:
        self._initialize = initialize
        self._last_first = last_first
        self._parts: list[Part] = []
        self._wake = asyncio.Event()
        self._idle = asyncio.Event()
        self._idle.set()

    def add(self, part: Part) -> None:
        """Initialize *part* in its turn."""
        self._parts.append(part)
        self._idle.clear()
        self._wake.set()

    async def work(self) -> None:
        """Initialize the parts that are added, until cancelled."""
        while True:
            while self._parts:
                parts = self._parts[::-1] if self._last_first else self._parts
                part = min(parts, key=lambda each: each.phase)
                self._parts.remove(part)
                await self._initialize(part)
            self._idle.set()
            self._wake.clear()
            await self._wake.wait()

    async def idle(self) -> None:
        """Wait until each part was initialized, or failed."""
        await self._idle.wait()

    @property
    def is_idle(self) -> bool:
        """Whether each part was initialized, or failed."""
        return self._idle.is_set()
