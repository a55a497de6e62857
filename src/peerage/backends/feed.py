"""The queue of one watcher: bounded, in order, with the newest state of each record.

A backend gives each watcher a Feed and reports to it what happens in the registry. Events that the watcher
hasn't taken yet are merged: at most one entry waits for each record.
"""

import asyncio
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from typing import Self

from peerage.registry import Event, Gone, Put, Record, Snapshot, Stale


def call_threadsafe(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Schedule *call* on *loop* from another thread; do nothing if *loop* is closed."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        if not loop.is_closed():
            raise


class Feed:
    """A :class:`peerage.registry.Watch` with a producer's side.

    Args:
        on_close: called once, when the watcher closes the feed, so that the producer drops it.
        loop: the watcher's event loop; needed if the producer runs on another thread.
    """

    def __init__(
        self, on_close: Callable[["Feed"], None], loop: asyncio.AbstractEventLoop | None = None
    ) -> None:
        self._on_close = on_close
        self._loop = loop
        self._lock = threading.Lock()
        self._ended = False
        self._wake = asyncio.Event()
        # Whether the wake-up of another thread's watcher is scheduled or done: one is enough.
        self._wake_scheduled = False
        self._snapshot: dict[str, Record] | None = None
        # The flag says that the watcher doesn't know the record yet: a Put and a Gone of it cancel out.
        self._changes: OrderedDict[str, tuple[Put | Gone, bool]] = OrderedDict()
        self._stale: Stale | None = None
        # The last reason for being out of touch, taken or waiting; None while in touch.
        self._reason: str | None = None

    # The producer's side

    def snapshot(self, records: Iterable[Record]) -> None:
        """Report all records there are; everything that waits is dropped."""
        known = {record.name: record for record in records}
        with self._lock:
            self._snapshot = known
            self._changes.clear()
            self._stale = self._reason = None
            self._notify()

    def put(self, record: Record, *, new: bool) -> None:
        """Report that a record exists (*new*: for the first time) or has new data."""
        with self._lock:
            if self._snapshot is not None:
                self._snapshot[record.name] = record
            else:
                _, unknown = self._changes.get(record.name, (None, new))
                self._changes[record.name] = (Put(record), unknown)
            self._notify()

    def gone(self, name: str, *, withdrawn: bool = False) -> None:
        """Report that a record doesn't exist any more; *withdrawn* is that of :class:`Gone`.

        If its last change hasn't been taken yet, it was withdrawn: its owner has just been alive.
        """
        with self._lock:
            if self._snapshot is not None:
                self._snapshot.pop(name, None)
                return
            change, unknown = self._changes.pop(name, (None, False))
            if not unknown:
                self._changes[name] = (Gone(name, withdrawn or isinstance(change, Put)), False)
                self._notify()

    def stale(self, reason: str, *, refused: bool = False, age: float = 0.0) -> None:
        """Report being out of touch; events that wait come first. The same reason again is no event."""
        with self._lock:
            if reason != self._reason:
                self._reason = reason
                self._stale = Stale(reason, refused, age)
                self._notify()

    def end(self) -> None:
        """End the watch; events that wait are dropped."""
        with self._lock:
            self._ended = True
            self._notify()

    def _notify(self) -> None:
        if self._loop is None:
            self._wake.set()
        elif not self._wake_scheduled:
            self._wake_scheduled = True
            call_threadsafe(self._loop, self._wake.set)

    # The watcher's side

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Event:
        while not self._ended:
            with self._lock:
                event = self._take()
                if event is not None:
                    return event
                self._wake.clear()
                self._wake_scheduled = False
            await self._wake.wait()
        raise StopAsyncIteration

    def _take(self) -> Event | None:
        if self._snapshot is not None:
            records, self._snapshot = self._snapshot, None
            return Snapshot(tuple(records.values()))
        if self._changes:
            _, (event, _) = self._changes.popitem(last=False)
            return event
        stale, self._stale = self._stale, None
        return stale

    async def aclose(self) -> None:
        """Stop watching; may be called twice."""
        if not self._ended:
            self.end()
            self._on_close(self)
