"""One watcher's queue: bounded, the newest event of each record, in order.

Every backend gives each watcher a Feed and passes the events to it. Events that the watcher hasn't taken yet
are merged. At most one waits for each record that is present or that the watcher has seen.
"""

import asyncio
from collections.abc import Callable, Iterable
from typing import Self

from peerage.registry import Event, Gone, Put, Record, Snapshot, Stale

__all__ = ["Feed"]


class Feed:
    """A :class:`peerage.registry.Watch` with a producer's side; both sides live on one event loop.

    Args:
        on_close: called once, when the watcher closes the feed, so that the producer drops it.
    """

    def __init__(self, on_close: Callable[["Feed"], None]) -> None:
        self._on_close = on_close
        self._ended = False
        self._wake = asyncio.Event()
        self._snapshot: dict[str, Record] | None = None
        # The flag says that the watcher has never seen the record: its Put and Gone cancel out.
        self._changes: dict[str, tuple[Put | Gone, bool]] = {}
        self._stale: Stale | None = None
        # The latest reason for being out of touch, taken or waiting; None while in touch.
        self._reason: str | None = None

    # The producer's side

    def snapshot(self, records: Iterable[Record]) -> None:
        """Queue everything there is; it replaces all events that wait."""
        self._snapshot = {record.name: record for record in records}
        self._changes.clear()
        self._stale = self._reason = None
        self._wake.set()

    def put(self, record: Record, *, new: bool) -> None:
        """Queue that a record is present (*new*: for the first time) or has new data."""
        if self._snapshot is not None:
            self._snapshot[record.name] = record
        else:
            _, unseen = self._changes.get(record.name, (None, new))
            self._changes[record.name] = (Put(record), unseen)
        self._wake.set()

    def gone(self, name: str) -> None:
        """Queue that a record isn't present any more."""
        if self._snapshot is not None:
            self._snapshot.pop(name, None)
            return
        _, unseen = self._changes.pop(name, (None, False))
        if not unseen:
            self._changes[name] = (Gone(name), False)
            self._wake.set()

    def stale(self, reason: str) -> None:
        """Queue, after all events that wait, that the registry is out of touch; once for each reason."""
        if reason != self._reason:
            self._reason = reason
            self._stale = Stale(reason)
            self._wake.set()

    def end(self) -> None:
        """End the iteration; events that wait are dropped."""
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
            name = next(iter(self._changes))
            event, _ = self._changes.pop(name)
            return event
        stale, self._stale = self._stale, None
        return stale

    async def aclose(self) -> None:
        """Stop watching; may be called twice."""
        if not self._ended:
            self.end()
            self._on_close(self)
