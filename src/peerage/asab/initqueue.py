"""Initializes parts one after the other, also those that are made later."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from peerage.asab.parts import Part

__all__ = ["InitQueue"]

log = logging.getLogger(__name__)


class InitQueue:
    """A queue of parts and the worker that initializes them.

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
        self._worker: asyncio.Task[None] | None = None
        self._busy = False
        self._interrupted = False

    def add(self, part: Part) -> None:
        """Initialize *part* in its turn."""
        self._parts.append(part)
        self._idle.clear()
        self._wake.set()

    async def work(self) -> None:
        """Initialize the parts that are added, until cancelled."""
        self._worker = asyncio.current_task()
        while True:
            while self._parts:
                await self._take(self._next())
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

    def interrupt(self) -> None:
        """Cancel the part that is being initialized, and continue with the next one."""
        if self._busy and self._worker is not None:
            self._interrupted = True
            self._worker.cancel()

    def _next(self) -> Part:
        parts = self._parts[::-1] if self._last_first else self._parts
        part = min(parts, key=lambda each: each.phase)
        self._parts.remove(part)
        return part

    async def _take(self, part: Part) -> None:
        self._busy = True
        try:
            await self._initialize(part)
        except asyncio.CancelledError:
            if not self._end_interruption():
                raise
            log.warning("%s.initialize() was interrupted", part.name)
        finally:
            self._end_interruption()
            self._busy = False

    def _end_interruption(self) -> bool:
        """Take back the cancellation of a part; tell whether the worker itself wasn't cancelled."""
        interrupted, self._interrupted = self._interrupted, False
        return interrupted and self._worker is not None and not self._worker.uncancel()
