"""Watches the folder of records: one recursive watch for all of it, set anew at every connect.

The order is what makes it safe: the watch first, then the list, then the nodes, then what changed meanwhile,
all over the same connection. What a node holds is always read again, never guessed from an event, and the
state with the higher number of its last change counts.
"""

import asyncio
import logging
import random
import time
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing, suppress
from typing import TYPE_CHECKING, Any, Final

from peerage.backends.feed import Feed
from peerage.backends.zookeeper.connection import CHILDREN, DELETED, Connection
from peerage.backends.zookeeper.failures import Failure, Lost, NoAuth, NoNode, Unsupported
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.requests import NO_AUTH, NO_NODE, AddWatch, Entry, Read
from peerage.registry import RECORD_LIMIT, Record

if TYPE_CHECKING:
    from peerage.backends.zookeeper.notes import Up

__all__ = ["Folder"]

log = logging.getLogger(__name__)

#: Sessions that are none: of a persistent node, and of a container.
_NOBODY: Final = (0, -(1 << 63))

#: Seconds of work after which the event loop gets its turn.
_SLICE: Final = 0.003

#: Seconds until a folder that couldn't be read is tried again.
_RETRY: Final = 1.0

#: Seconds in which the loss of a connection is heard after that of an answer.
_GRACE: Final = 0.2


class Folder:
    """The records as the server has them, told to any number of feeds.

    Args:
        connection: to the server.
        location: names the folder.
        spread: seconds to wait before reading again after a reconnect, given the number of records: a
            thousand clients of one server come back at the same time.
    """

    def __init__(
        self,
        connection: Connection,
        location: Location,
        spread: Callable[[int], float] = lambda count: random.uniform(0, min(2.0, count * 0.0005)),  # noqa: S311 - spreads load
    ) -> None:
        self._connection = connection
        self._location = location
        self._path = location.folder
        self._spread = spread
        self._feeds: set[Feed] = set()
        self._newcomers: set[Feed] = set()
        self._known: dict[str, int] = {}
        self._hidden: set[str] = set()
        self._reported: set[str] = set()
        self._unexpected: set[type[Exception]] = set()
        self._dirty: dict[str, None] = {}
        self._relist = False
        self._reading = False
        self._synced: Up | None = None
        self._recursive = True
        self._problem: str | None = None
        self._wake = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        connection.on_change.append(self._on_change)
        connection.on_event.append(self._on_event)

    # The watchers' side

    @property
    def count(self) -> int | None:
        """Records known, None before the first reading."""
        return len(self._known) if self._synced else None

    @property
    def problem(self) -> str | None:
        """Why the folder can't be read although the server is there."""
        return self._problem

    def watch(self) -> Feed:
        """Begin a watch, on the running event loop."""
        feed = Feed(self._forget)
        self._newcomers.add(feed)
        if self._task is None:
            self._task = asyncio.create_task(self._run(), name=f"peerage: watch {self._location.url}")
        reason = self._connection.reason if self._connection.up is None else self._problem
        if reason is not None:
            feed.stale(reason)
        self._wake.set()
        return feed

    async def aclose(self) -> None:
        """End every watch."""
        for feed in (*self._feeds, *self._newcomers):
            feed.end()
        self._feeds.clear()
        self._newcomers.clear()
        if self._task is not None:
            self._task.cancel()
            await asyncio.wait([self._task])

    def _forget(self, feed: Feed) -> None:
        self._feeds.discard(feed)
        self._newcomers.discard(feed)

    # The connection's side

    def _on_change(self) -> None:
        if self._connection.up is None and self._connection.reason is not None:
            self._tell_stale(self._connection.reason)
        self._wake.set()

    def _on_event(self, kind: int, path: str) -> None:
        if kind == CHILDREN and self._recursive:
            return  # a stray one: recursive watches have none
        parent, _, name = path.rpartition("/")
        if parent == self._path:
            if kind == DELETED and self._synced is not None and not self._reading:
                self._dirty.pop(name, None)
                self._reported.discard(name)
                self._drop(name)
                return
            # Also a deletion, as long as an answer is on its way that may still show the node.
            self._dirty[name] = None
        elif path == self._path and not self._recursive:
            self._relist = True
        else:
            return
        self._wake.set()

    def _tell_stale(self, reason: str) -> None:
        for feed in (*self._feeds, *self._newcomers):
            feed.stale(reason)

    # The task

    async def _run(self) -> None:
        while True:
            await self._wake.wait()
            self._wake.clear()
            up = self._connection.up
            self._reading = True
            try:
                await self._catch_up()
            except Lost:
                # Why is said by the connection, which wakes this when it is back; but it may go on.
                if up is not None and not await self._replaced(up, _GRACE):
                    await self._complain(up, Failure("the server put it off"))
            except Failure as failure:
                await self._complain(up, failure)
            except Exception as error:
                if type(error) not in self._unexpected:
                    self._unexpected.add(type(error))
                    log.exception(
                        "Reading %s failed in a way that isn't known; trying again", self._location.url
                    )
                await self._complain(up, Failure(f"{type(error).__name__}: {error}"))
            finally:
                self._reading = False

    async def _replaced(self, up: "Up | None", seconds: float) -> bool:
        """Wait, but not longer than the connection lasts; say whether it is another one, or none, by now."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self._connection.up is up:
                    await self._connection.changed()
        return self._connection.up is not up

    async def _complain(self, up: "Up | None", failure: Failure) -> None:
        refused = isinstance(failure, NoAuth)
        self._problem = (
            f"reading {self._path} is refused: check the credentials and the access list of that node"
            if refused
            else f"reading {self._path} failed ({failure})"
        )
        self._tell_stale(self._problem)
        self._synced = None
        await self._replaced(up, _RETRY)
        self._wake.set()

    async def _catch_up(self) -> None:
        up = self._connection.up
        if up is None:
            return
        if self._synced is not up:
            if self._known and await self._replaced(up, self._spread(len(self._known))):
                return
            await self._arm()
            await self._read_all(up, everybody=True)
            # Of the connection as it was at first: if there is another by now, that has no watch yet.
            self._synced, self._problem = up, None
        elif self._newcomers:
            await self._read_all(up, everybody=False)
        while self._dirty or self._relist:
            if self._relist:
                await self._compare_list()
            dirty, self._dirty = self._dirty, {}
            await self._read_dirty(list(dirty))

    async def _arm(self) -> None:
        """Set the watch; from here on nothing that happens is missed."""
        self._dirty.clear()
        if not self._recursive:
            return
        try:
            await self._connection.post(AddWatch(self._path))
        except Unsupported:
            # Such a server may end the session as well: then this is tried with the next, the other way.
            self._recursive = False
            log.warning(
                "The server of %s has no recursive watches (ZooKeeper 3.6 has): each change costs a list of "
                "all records",
                self._location.url,
            )

    async def _list(self) -> list[str]:
        watch = not self._recursive
        try:
            return await self._connection.children(self._path, watch=watch)
        except NoNode:
            # The one way in which nothing is the truth.
            if watch and await self._connection.exists(self._path, watch=True):
                return await self._connection.children(self._path, watch=True)
            return []

    async def _read_all(self, up: "Up", *, everybody: bool) -> None:
        """Read everything over *up* for the newcomers, *everybody*: and for those who were there before."""
        newcomers = set(self._newcomers)
        known, records = await self._read_everything()
        for feed in newcomers & self._newcomers:
            feed.snapshot(records.values())
        if everybody:
            for feed in self._feeds:
                feed.snapshot(records.values())
            self._known = known
            self._hidden = known.keys() - records.keys()
        else:
            # The others are told what is newer to them: from here on all know the same, or what was in the
            # snapshot only could go without a word.
            for name, mzxid in known.items():
                self._apply(name, mzxid, records.get(name))
            for name in self._known.keys() - known.keys():
                self._drop(name)
        self._feeds |= newcomers & self._newcomers
        self._newcomers -= newcomers
        if self._connection.up is not up:
            # Lost in the same moment as the last answer came: a snapshot overtakes what was said of it.
            self._tell_stale(self._connection.reason or "the connection was lost")

    async def _read_everything(self) -> tuple[dict[str, int], dict[str, Record]]:
        """Return the last change of each node that can be read, and of those what is told to watchers."""
        known: dict[str, int] = {}
        records: dict[str, Record] = {}
        names = await self._list()
        self._reported.intersection_update(names)
        async with aclosing(self._read(names)) as batches:
            async for batch in batches:
                for name, entry in batch:
                    if entry is not None:
                        known[name] = entry.mzxid
                        record = self._record(name, entry)
                        if record is not None:
                            records[name] = record
        return known, records

    async def _compare_list(self) -> None:
        """Without recursive watches: see who came and who went."""
        self._relist = False
        names = set(await self._list())
        self._reported &= names
        for name in names - self._known.keys():
            self._dirty[name] = None
        for name in self._known.keys() - names:
            self._drop(name)

    async def _read_dirty(self, names: list[str]) -> None:
        async with aclosing(self._read(names)) as batches:
            async for batch in batches:
                for name, entry in batch:
                    if entry is None:
                        self._drop(name)
                    else:
                        self._apply(name, entry.mzxid, self._record(name, entry))

    def _apply(self, name: str, mzxid: int, record: Record | None) -> None:
        before = self._known.get(name)
        if before is not None and mzxid <= before:
            return
        visible = before is not None and name not in self._hidden
        self._known[name] = mzxid
        (self._hidden.add if record is None else self._hidden.discard)(name)
        for feed in self._feeds:
            if record is not None:
                feed.put(record, new=not visible)
            elif visible:
                feed.gone(name)

    def _drop(self, name: str) -> None:
        if self._known.pop(name, None) is not None and name not in self._hidden:
            for feed in self._feeds:
                feed.gone(name)
        self._hidden.discard(name)

    async def _read(self, names: list[str]) -> AsyncGenerator[list[tuple[str, Entry | None]]]:
        """Read the nodes of these names; all batches are on their way together, each is told as it comes."""
        prefix = len(self._path) + 1
        paths = [f"{self._path}/{name}" for name in names]
        requests = (
            self._connection.read_many(paths)
            if self._recursive
            else [((path,), self._connection.post(Read(path, watch=True))) for path in paths]
        )
        turn_ends = time.monotonic() + _SLICE
        try:
            for batch, future in requests:
                answers = await _answers(future)
                yield [
                    (name, self._readable(name, answer))
                    for name, answer in zip([path[prefix:] for path in batch], answers, strict=True)
                ]
                if time.monotonic() >= turn_ends:
                    await asyncio.sleep(0)
                    turn_ends = time.monotonic() + _SLICE
        finally:
            for _, future in requests:
                if not future.cancel() and not future.cancelled():
                    # Heard, or asyncio says that nobody did.
                    future.exception()

    def _readable(self, name: str, answer: Entry | int) -> Entry | None:
        if isinstance(answer, Entry):
            return answer
        if answer == NO_NODE:
            self._reported.discard(name)
        elif name not in self._reported:
            self._reported.add(name)
            log.warning(
                "The record %s of %s can't be read: its access list forbids it",
                ascii(name),
                self._location.url,
            )
        return None

    def _record(self, name: str, entry: Entry) -> Record | None:
        """Return what is told to the watchers, None for what isn't delivered."""
        if len(entry.data) > RECORD_LIMIT:
            if name not in self._reported:
                self._reported.add(name)
                log.warning(
                    "The record %s of %s has %d bytes, over the limit of %d: left out",
                    ascii(name),
                    self._location.url,
                    len(entry.data),
                    RECORD_LIMIT,
                )
            return None
        return Record(name, entry.data, entry.czxid, entry.owner not in _NOBODY)


async def _answers(future: "asyncio.Future[Any]") -> Sequence[Entry | int]:
    """Wait for the answers of one batch, or the one answer of a single request in the same form."""
    try:
        answer = await future
    except NoNode:
        return (NO_NODE,)
    except NoAuth:
        return (NO_AUTH,)
    return (answer,) if isinstance(answer, Entry) else answer
