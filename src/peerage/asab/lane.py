"""Initializes parts one after the other, whenever they are made."""

import asyncio
import logging
from collections.abc import Awaitable, Callable

from peerage.asab.parts import Part

__all__ = ["Lane"]

log = logging.getLogger(__name__)


class Lane:
    """A queue of parts and the worker that initializes them.

    Args:
        initialize: what is done to each; raises nothing.
        last_first: of one floor, the part that was added last comes first.
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
        """Have *part* initialized."""
        self._parts.append(part)
        self._idle.clear()
        self._wake.set()

    async def work(self) -> None:
        """Initialize what is added until cancelled."""
        self._worker = asyncio.current_task()
        while True:
            while self._parts:
                await self._take(self._next())
            self._idle.set()
            self._wake.clear()
            await self._wake.wait()

    async def idle(self) -> None:
        """Wait until everything that was added is initialized, as far as it can be."""
        await self._idle.wait()

    @property
    def is_idle(self) -> bool:
        """Whether everything that was added is initialized."""
        return self._idle.is_set()

    def interrupt(self) -> None:
        """Cancel the part that is being initialized; go on with the next."""
        if self._busy and self._worker is not None:
            self._interrupted = True
            self._worker.cancel()

    def _next(self) -> Part:
        parts = self._parts[::-1] if self._last_first else self._parts
        part = min(parts, key=lambda each: each.floor)
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
        """Take back the cancellation that was meant for a part alone; tell whether there was no other."""
        interrupted, self._interrupted = self._interrupted, False
        return interrupted and self._worker is not None and not self._worker.uncancel()
