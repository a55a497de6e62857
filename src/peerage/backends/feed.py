"""One watcher's queue: bounded, newest per node, in order.

Every backend gives each watcher a Feed and tells it what happens; what the watcher hasn't taken yet is
merged. What waits is never more than one entry for each node that is there or that the watcher was told of.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Self

from peerage.registry import Event, Gone, Put, Record, Snapshot, Stale

__all__ = ["Feed"]


class Feed:
    """A :class:`peerage.registry.Watch` with a producer's side; both sides live on one event loop.

    Args:
        on_close: called once, when the watcher closes the feed, so that the producer forgets it.
    """

    def __init__(self, on_close: Callable[["Feed"], None]) -> None:
        self._on_close = on_close
        self._ended = False
        self._wake = asyncio.Event()
        self._snapshot: dict[str, Record] | None = None
        # The flag says that the watcher has never heard of the node: Put and Gone of such a one cancel out.
        self._changes: dict[str, tuple[Put | Gone, bool]] = {}
        self._stale: Stale | None = None
        # The last reason, told or waiting, of being out of touch; None while in touch.
        self._reason: str | None = None

    # The producer's side

    def snapshot(self, records: Iterable[Record]) -> None:
        """Everything there is; overtakes whatever waits."""
        self._snapshot = {record.name: record for record in records}
        self._changes.clear()
        self._stale = self._reason = None
        self._wake.set()

    def put(self, record: Record, *, new: bool) -> None:
        """A record is there (*new*: for the first time) or has new data."""
        if self._snapshot is not None:
            self._snapshot[record.name] = record
        else:
            _, unheard = self._changes.get(record.name, (None, new))
            self._changes[record.name] = (Put(record), unheard)
        self._wake.set()

    def gone(self, node: str) -> None:
        """A record isn't there any more."""
        if self._snapshot is not None:
            self._snapshot.pop(node, None)
            return
        _, unheard = self._changes.pop(node, (None, False))
        if not unheard:
            self._changes[node] = (Gone(node), False)
            self._wake.set()

    def stale(self, reason: str) -> None:
        """Out of touch; what waits is still told first. Said again for the same reason, it is no news."""
        if reason != self._reason:
            self._reason = reason
            self._stale = Stale(reason)
            self._wake.set()

    def end(self) -> None:
        """Nothing more will come, and what waits isn't told."""
        self._ended = True
        self._wake.set()

    # The watcher's side

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ended:
            event = self._take()
            if event is not None:
                return event
            self._wake.clear()
            await self._wake.wait()
        raise StopAsyncIteration

    def _take(self) -> Event | None:
        if self._snapshot is not None:
            records, self._snapshot = self._snapshot, None
            return Snapshot(tuple(records.values()))
        if self._changes:
            node = next(iter(self._changes))
            event, _ = self._changes.pop(node)
            return event
        stale, self._stale = self._stale, None
        return stale

    async def aclose(self) -> None:
        """Stop watching; may be called twice."""
        if not self._ended:
            self.end()
            self._on_close(self)
