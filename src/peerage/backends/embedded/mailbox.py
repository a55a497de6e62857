"""From the worker's thread to one watcher on its event loop; merged on the way to one entry per node."""

import asyncio
import threading
from collections.abc import Callable

from peerage.backends.feed import Feed
from peerage.registry import Record

__all__ = ["Mailbox", "tell"]


def tell(loop: asyncio.AbstractEventLoop, call: Callable[[], object]) -> None:
    """Have *call* made on *loop*; a loop that is closed has nobody left to tell."""
    try:
        loop.call_soon_threadsafe(call)
    except RuntimeError:
        if not loop.is_closed():
            raise


class Mailbox:
    """What a watcher is still to be told, filled on the worker's thread and emptied on the watcher's loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, feed: Feed) -> None:
        self.feed = feed
        self._loop = loop
        self._lock = threading.Lock()
        self._waiting = False
        self._snapshot: tuple[Record, ...] | None = None
        # The flag says that the feed has never heard of the node, as in Feed.
        self._changes: dict[str, tuple[Record | None, bool]] = {}
        self._stale: str | None = None

    # On the worker's thread

    def snapshot(self, records: tuple[Record, ...]) -> None:
        """Everything there is; overtakes whatever waits."""
        with self._lock:
            self._snapshot = records
            self._changes.clear()
            self._stale = None
        self._deliver_soon()

    def put(self, record: Record, *, new: bool) -> None:
        """A record is there, or has new data."""
        with self._lock:
            _, unheard = self._changes.pop(record.name, (None, new))
            self._changes[record.name] = (record, unheard)
        self._deliver_soon()

    def gone(self, node: str) -> None:
        """A record isn't there any more."""
        with self._lock:
            _, unheard = self._changes.pop(node, (None, False))
            if not unheard:
                self._changes[node] = (None, False)
        self._deliver_soon()

    def stale(self, reason: str) -> None:
        """Out of touch; what waits is told first."""
        with self._lock:
            self._stale = reason
        self._deliver_soon()

    def end(self) -> None:
        """End the watch."""
        tell(self._loop, self.feed.end)

    def _deliver_soon(self) -> None:
        if not self._waiting:
            self._waiting = True
            tell(self._loop, self._deliver)

    # On the watcher's loop

    def _deliver(self) -> None:
        with self._lock:
            self._waiting = False
            snapshot, self._snapshot = self._snapshot, None
            changes, self._changes = self._changes, {}
            stale, self._stale = self._stale, None
        if snapshot is not None:
            self.feed.snapshot(snapshot)
        for node, (record, new) in changes.items():
            if record is None:
                self.feed.gone(node)
            else:
                self.feed.put(record, new=new)
        if stale is not None:
            self.feed.stale(stale)
