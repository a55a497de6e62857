"""What changed in a view, as numbered server-sent events, so that a client that connects again goes on.

One bounded log serves all clients, and each client remembers the number of its last event. Each run of the
server counts anew, so an event's id is ``run-number``, and an id of another run isn't accepted.
"""

import asyncio
import secrets
from collections import deque
from itertools import islice
from typing import Final, NamedTuple

#: Events and bytes that are kept for clients that come back or are slow; older ones are forgotten.
_MOST: Final = 4096
_MOST_BYTES: Final = 4_000_000

#: Digits of a number that can be one of ours.
_DIGITS: Final = 18


class Event(NamedTuple):
    """One event."""

    number: int
    text: bytes
    """As it is sent to each client: a server-sent event."""


class Feed:
    """The latest events."""

    def __init__(self) -> None:
        self._run = secrets.token_hex(4)
        self._events: deque[Event] = deque()
        self._bytes = 0
        self._next = 1
        self._wake = asyncio.Event()
        self.closed = False
        """Whether no more events follow."""
        self.size = 0
        """Bytes of all events since the beginning."""

    @property
    def last(self) -> int:
        """The number of the latest event; 0 before the first one."""
        return self._next - 1

    def append(self, kind: str, data: bytes) -> None:
        """Add an event; clients that wait see it after :meth:`wake`, with others that were added before.

        Args:
            kind: ``put``, ``gone``, ``status`` or ``timeline``.
            data: JSON, one line.
        """
        text = b"%b%b\n\n" % (self.begin(self._next, kind), data)
        self._events.append(Event(self._next, text))
        self._next += 1
        self.size += len(text)
        self._bytes += len(text)
        while len(self._events) > _MOST or (self._bytes > _MOST_BYTES and len(self._events) > 1):
            self._bytes -= len(self._events.popleft().text)

    def begin(self, number: int, kind: str) -> bytes:
        """Return what is sent before the data of the event with this *number*."""
        return f"id: {self.id(number)}\nevent: {kind}\ndata: ".encode()

    def id(self, number: int) -> str:
        """Return a text for *number* that differs from those of other runs."""
        return f"{self._run}-{number}"

    def number(self, last: str) -> int | None:
        """Return the number of the event with the id *last*; None if it isn't one of this run."""
        run, _, number = last.partition("-")
        return int(number) if run == self._run and number.isdecimal() and len(number) <= _DIGITS else None

    def after(self, number: int) -> list[Event] | None:
        """Return the events after the one with *number*; None if some are forgotten, or it is no number."""
        following = self.last - number
        if not 0 <= following <= len(self._events):
            return None
        return list(islice(reversed(self._events), following))[::-1]

    async def wait(self) -> None:
        """Wait until :meth:`wake` is called."""
        await self._wake.wait()

    def wake(self) -> None:
        """Wake the clients that wait."""
        wake, self._wake = self._wake, asyncio.Event()
        wake.set()

    def close(self) -> None:
        """End it: clients that wait return."""
        self.closed = True
        self.wake()
