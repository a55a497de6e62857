"""What changed in a view, numbered, so that a client that was cut off goes on where it stopped."""

import asyncio
from collections import deque
from typing import Final, NamedTuple

#: Events and bytes that are kept for clients that come back or are slow; older ones are forgotten.
_MOST: Final = 4096
_MOST_BYTES: Final = 4_000_000


class Event(NamedTuple):
    """One event."""

    number: int
    kind: str
    """``put``, ``gone``, ``status`` or ``timeline``."""
    data: bytes
    """JSON, one line."""


class Feed:
    """The latest events. There is one queue for all clients, and each client has a place in it."""

    def __init__(self) -> None:
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._next = 1
        self._closed = False
        self._wake = asyncio.Event()

    @property
    def last(self) -> int:
        """The number of the latest event; 0 before the first one."""
        return self._next - 1

    @property
    def closed(self) -> bool:
        """Whether no more events follow."""
        return self._closed

    def append(self, kind: str, data: bytes) -> None:
        """Add an event, and wake the clients."""
        self._events.append(Event(self._next, kind, data))
        self._next += 1
        self._bytes += len(data)
        while len(self._events) > _MOST or (self._bytes > _MOST_BYTES and len(self._events) > 1):
            self._bytes -= len(self._events.popleft().data)
        self._wake_all()

    def after(self, number: int) -> list[Event] | None:
        """Return the events after the one with *number*; None if some are forgotten, or it is no number."""
        first = self._next - len(self._events)
        if not first - 1 <= number <= self.last:
            return None
        skipped = number - first + 1
        return [event for index, event in enumerate(self._events) if index >= skipped]

    async def wait(self, number: int) -> None:
        """Wait until there is an event after the one with *number*, or the feed is closed."""
        while self.last <= number and not self._closed:
            await self._wake.wait()

    def close(self) -> None:
        """End it: clients that wait return."""
        self._closed = True
        self._wake_all()

    def _wake_all(self) -> None:
        wake, self._wake = self._wake, asyncio.Event()
        wake.set()
