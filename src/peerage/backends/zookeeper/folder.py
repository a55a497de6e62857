"""Follows the folder of records: one recursive watch for all of it, set again after every connect.

The order makes it safe: first the watch, then the list of names, then the nodes, then what changed meanwhile,
all over the same connection. The content of a node is always read again, never guessed from an event. Of two
states of a node, the one with the higher number of its last change (mzxid) counts.
"""

import asyncio
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from peerage.backends.feed import Feed
from peerage.backends.zookeeper.advice import lacks_credentials
from peerage.backends.zookeeper.connection import CHANGED, CHILDREN, DELETED, Connection
from peerage.backends.zookeeper.failures import Failure, Lost, NoAuth, NoNode, Unsupported
from peerage.backends.zookeeper.requests import NO_NODE, AddWatch, Entry, MultiRead
from peerage.registry import RECORD_LIMIT, Record

if TYPE_CHECKING:
    from peerage.backends.zookeeper.notes import Connected

log = logging.getLogger(__name__)

#: Owners that are no session: of a persistent node, and of a container node.
_NO_SESSION: Final = (0, -(1 << 63))

#: Seconds of work after which the event loop gets its turn.
_SLICE: Final = 0.003

#: Seconds until a folder that couldn't be read is tried again.
_RETRY: Final = 1.0

#: Seconds until a server without recursive watches is asked again: it may end the session each time.
_UNSUPPORTED_RETRY: Final = 300.0

_UNSUPPORTED: Final = (
    "the server has no recursive watches, so records can't be followed there: run ZooKeeper 3.6 or newer, "
    "without WatchManagerOptimized"
)

#: Seconds in which the loss of a connection is reported after the loss of an answer.
_GRACE: Final = 0.2

#: Nodes that one request reads, at most: a server refuses a request of 1 MiB, and an answer should take
#: milliseconds.
LARGEST_BATCH: Final = 100

#: Nodes that are read first, to learn how large they are.
_SAMPLE: Final = 10

#: Bytes that an answer should have at most, going by those nodes.
_LARGE_ANSWER: Final = 4_000_000

#: Bytes of an answer up to which larger batches are tried again.
_SMALL_ANSWER: Final = 500_000


class BatchSize:
    """How many nodes one request reads: a server builds the whole answer in its memory before it sends it.

    Fewer if the first nodes are large, half as many after each lost connection, twice as many after a reading
    of small answers.
    """

    def __init__(self) -> None:
        self.size = LARGEST_BATCH

    def lost(self) -> None:
        """Take note of a connection that was lost while nodes were read: perhaps by too large an answer."""
        self.size = max(1, self.size // 2)

    def sampled(self, count: int, length: int) -> None:
        """Take note that *count* of the nodes have *length* bytes together."""
        self.size = max(1, min(self.size, _LARGE_ANSWER * count // max(1, length)))

    def all_read(self, largest_answer: int) -> None:
        """Take note that all nodes were read, the largest answer being of so many bytes."""
        if largest_answer <= _SMALL_ANSWER:
            self.size = min(LARGEST_BATCH, 2 * self.size)


class Folder:
    """The records as the server has them, passed on to any number of feeds."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._url = connection.location.url
        self._path = connection.location.folder
        self._batch = BatchSize()
        # Both in the order in which the watches began.
        self._feeds: dict[Feed, None] = {}
        self._new_feeds: dict[Feed, None] = {}
        # The number of the last change of each node that could be read, and which of them aren't delivered.
        self._known: dict[str, int] = {}
        self._undelivered: set[str] = set()
        # Nodes to read, and whether their owner is known to have changed them.
        self._changed: dict[str, bool] = {}
        self._warned: set[str] = set()
        self._unexpected: set[type[Exception]] = set()
        self._reading = False
        # The connection over which everything was read.
        self._synced: Connected | None = None
        self.problem: str | None = None
        """Why the folder can't be read although the server can be reached."""
        self._refused = False
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        connection.on_change.append(self._on_change)
        connection.on_event.append(self._on_event)

    # For the registry

    @property
    def count(self) -> int | None:
        """The number of records, None before they were read."""
        return len(self._known) if self._synced else None

    def watch(self) -> Feed:
        """Begin a watch, on the running event loop."""
        feed = Feed(self._forget)
        self._new_feeds[feed] = None
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"peerage: watch {self._url}")
        self._report_stale(feed)
        self._wake.set()
        return feed

    async def aclose(self) -> None:
        """End every watch."""
        for feed in (*self._feeds, *self._new_feeds):
            feed.end()
        self._feeds.clear()
        self._new_feeds.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _forget(self, feed: Feed) -> None:
        self._feeds.pop(feed, None)
        self._new_feeds.pop(feed, None)

    # Called by the connection

    def _on_change(self) -> None:
        self._report_stale(*self._feeds, *self._new_feeds)
        self._wake.set()

    def _on_event(self, kind: int, path: str) -> None:
        if kind == CHILDREN:
            return  # recursive watches have none: it belongs to a watch that others set on this connection
        parent, _, name = path.rpartition("/")
        if parent != self._path:
            return
        if kind == DELETED and self._synced is not None and not self._reading:
            self._warned.discard(name)
            # An owner that has just written was alive, so its session hasn't timed out.
            self._remove(name, withdrawn=self._changed.pop(name, False))
            return
        # Also a deletion, as long as an answer is on its way that may still show the node.
        self._changed[name] = self._changed.get(name, False) or kind == CHANGED
        self._wake.set()

    def _report_stale(self, *feeds: Feed) -> None:
        """Report why the records are stale: there is no connection, or the folder can't be read over it."""
        reason, refused = self.problem, self._refused
        if self._connection.up is None:
            reason = self._connection.reason
            refused = reason is not None and lacks_credentials(reason)
        if reason is not None:
            for feed in feeds:
                feed.stale(reason, refused=refused, age=self._connection.suspended)

    # The task

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            up = self._connection.up
            self._reading = True
            try:
                await self._synchronise()
            except Lost:
                # The connection reports the reason and wakes this when it is back. But it may still be up.
                if up is not None and not await self._is_replaced(up, _GRACE):
                    await self._report(up, f"reading {self._path} failed (the server put it off)")
            except NoAuth:
                advice = "check the credentials and the access list of that node"
                await self._report(up, f"reading {self._path} is refused: {advice}", refused=True)
            except Unsupported:
                await self._report(up, _UNSUPPORTED, refused=True)
                await asyncio.sleep(_UNSUPPORTED_RETRY)
            except Failure as failure:
                await self._report(up, f"reading {self._path} failed ({failure})")
            except Exception as error:
                if type(error) not in self._unexpected:
                    self._unexpected.add(type(error))
                    log.exception("Reading %s failed unexpectedly; trying again", self._url)
                await self._report(up, f"reading {self._path} failed ({type(error).__name__}: {error})")
            finally:
                self._reading = False

    async def _is_replaced(self, up: "Connected | None", seconds: float) -> bool:
        """Wait until *up* is replaced or lost, at most so many *seconds*; say whether it is."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._connection.up is up:
                    await self._connection.changed()
        return self._connection.up is not up

    async def _report(self, up: "Connected | None", problem: str, *, refused: bool = False) -> None:
        self.problem, self._refused = problem, refused
        self._report_stale(*self._feeds, *self._new_feeds)
        self._synced = None
        await self._is_replaced(up, _RETRY)
        self._wake.set()

    async def _synchronise(self) -> None:
        """Read what isn't known yet over the connection, if there is one."""
        up = self._connection.up
        if up is None:
            return
        if self._synced is not up:
            if self._known and await self._is_replaced(up, self._connection.pauses.resync(len(self._known))):
                return
            # From here on nothing that happens is missed.
            self._changed.clear()
            await self._connection.post(AddWatch(self._path))
            await self._read_all(up, for_all=True)
            # If the connection was replaced meanwhile, the new one has no watch yet.
            self._synced, self.problem = up, None
        elif self._new_feeds:
            await self._read_all(up, for_all=False)
        while self._changed:
            changed, self._changed = self._changed, {}

            def take(name: str, entry: Entry | None, changed: dict[str, bool] = changed) -> None:
                if entry is None:
                    self._remove(name, withdrawn=changed[name])
                else:
                    self._apply(name, entry.mzxid, self._record(name, entry))

            await self._read(list(changed), take)

    async def _read_all(self, up: "Connected", *, for_all: bool) -> None:
        """Read all nodes over *up*; the new feeds get a snapshot, *for_all*: the others as well."""
        waiting = tuple(self._new_feeds)
        known, records = await self._read_folder()
        new_feeds = [feed for feed in waiting if feed in self._new_feeds]
        for feed in new_feeds:
            feed.snapshot(records.values())
        if for_all:
            for feed in self._feeds:
                feed.snapshot(records.values())
            self._known = known
            self._undelivered = known.keys() - records.keys()
        else:
            # The others get what is new to them, so that all feeds know the same from here on: otherwise a
            # record that only the snapshot had could vanish without a Gone.
            for name, mzxid in known.items():
                self._apply(name, mzxid, records.get(name))
            for name in [name for name in self._known if name not in known]:
                self._remove(name)
        for feed in new_feeds:
            del self._new_feeds[feed]
            self._feeds[feed] = None
        if self._connection.up is not up:
            # Lost at the moment of the last answer: the snapshot has overtaken the Stale.
            for feed in (*self._feeds, *self._new_feeds):
                feed.stale(self._connection.reason or "the connection was lost")

    async def _read_folder(self) -> tuple[dict[str, int], dict[str, Record]]:
        """Return the number of the last change of each node that can be read, and the records to deliver."""
        known: dict[str, int] = {}
        records: dict[str, Record] = {}

        def take(name: str, entry: Entry | None) -> None:
            if entry is not None:
                known[name] = entry.mzxid
                if (record := self._record(name, entry)) is not None:
                    records[name] = record

        try:
            names = await self._connection.children(self._path)
        except NoNode:
            names = []  # the only case in which there are no records without an empty list
        self._warned.intersection_update(names)
        self._batch.all_read(await self._read(names, take))
        return known, records

    def _apply(self, name: str, mzxid: int, record: Record | None) -> None:
        before = self._known.get(name)
        if before is not None and mzxid <= before:
            return
        delivered = before is not None and name not in self._undelivered
        self._known[name] = mzxid
        (self._undelivered.add if record is None else self._undelivered.discard)(name)
        for feed in self._feeds:
            if record is not None:
                feed.put(record, new=not delivered)
            elif delivered:
                feed.gone(name)

    def _remove(self, name: str, *, withdrawn: bool = False) -> None:
        if self._known.pop(name, None) is not None and name not in self._undelivered:
            for feed in self._feeds:
                feed.gone(name, withdrawn=withdrawn)
        self._undelivered.discard(name)

    async def _read(self, names: list[str], take: Callable[[str, Entry | None], None]) -> int:
        """Read the nodes of these names and give each to *take*; return the bytes of the largest answer."""
        sample, others = names[:_SAMPLE], names[_SAMPLE:]
        largest = await self._read_together(sample, take)
        if others:
            self._batch.sampled(len(sample), largest)
            largest = max(largest, await self._read_together(others, take))
        return largest

    async def _read_together(self, names: list[str], take: Callable[[str, Entry | None], None]) -> int:
        """Do the same as :meth:`_read`, with all batches requested at once."""
        size = self._batch.size
        batches = [names[start : start + size] for start in range(0, len(names), size)]
        answers = [
            self._connection.post(MultiRead(tuple(f"{self._path}/{name}" for name in batch)))
            for batch in batches
        ]
        largest, turn_ends = 0, time.monotonic() + _SLICE
        try:
            for batch, future in zip(batches, answers, strict=True):
                nodes: list[Entry | int] = await future
                largest = max(largest, sum(len(node.data) for node in nodes if isinstance(node, Entry)))
                for name, node in zip(batch, nodes, strict=True):
                    take(name, self._readable(name, node))
                if time.monotonic() >= turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = time.monotonic() + _SLICE
        except Lost:
            self._batch.lost()
            raise
        finally:
            for future in answers:
                if not future.cancel() and not future.cancelled():
                    # Retrieved, or asyncio logs that it never was.
                    future.exception()
        return largest

    def _readable(self, name: str, answer: Entry | int) -> Entry | None:
        if isinstance(answer, Entry):
            return answer
        if answer == NO_NODE:
            self._warned.discard(name)
        elif name not in self._warned:
            self._warned.add(name)
            what = ascii(name), self._url
            log.warning("The record %s of %s can't be read: its access list forbids it", *what)
        return None

    def _record(self, name: str, entry: Entry) -> Record | None:
        """Return the record to deliver, None for a node that isn't delivered."""
        if len(entry.data) > RECORD_LIMIT:
            if name not in self._warned:
                self._warned.add(name)
                what = ascii(name), self._url, len(entry.data), RECORD_LIMIT
                log.warning("The record %s of %s has %d bytes, over the limit of %d: left out", *what)
            return None
        return Record(name, entry.data, entry.czxid, entry.owner not in _NO_SESSION)
