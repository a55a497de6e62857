"""A simulated registry with the semantics of ``embedded:``: the end of a process is seen at once.

Each process looks at the folder itself, some time after something has changed there, and sees the newest
state. Writing takes time as well, and a process that ends meanwhile has written nothing.
"""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from contextvars import copy_context
from random import Random

from peerage.backends.feed import Feed
from peerage.errors import RegistryClosedError
from peerage.registry import Health, OwnRecords, Record, Snapshot, check_name, check_size
from peerage.testing.simulation.process import Process


class SimulatedFolder:
    """The folder that all processes of a world share.

    Args:
        loop: runs them.
        random: source of the delays.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, random: Random) -> None:
        self.loop = loop
        self.records: dict[str, Record] = {}
        self.secrets: dict[str, bytes] = {}
        self.participants: dict[SimulatedRegistry, None] = {}
        self.write_delay = (0.0001, 0.001)
        """The least and the most seconds until something is written."""
        self.notice_delay = (0.0001, 0.002)
        """The least and the most seconds until a process notices it."""
        self._random = random
        self._written = 0

    def create(self, prefix: str, data: bytes) -> Record:
        """Keep a new record, and return it."""
        self._written += 1
        record = Record(f"{prefix}.{self._written:010d}", data, self._written)
        self.put(record)
        return record

    def put(self, record: Record) -> None:
        """Keep a record, and tell all processes."""
        self.records[record.name] = record
        self._notify(record.name)

    def remove(self, name: str) -> None:
        """Remove a record, and tell all processes."""
        if self.records.pop(name, None) is not None:
            self._notify(name)

    def _notify(self, name: str) -> None:
        for each in self.participants:
            each.later(self.notice_delay, lambda each=each: each.look(name))  # type: ignore[misc]

    def draw(self, delay: tuple[float, float]) -> float:
        """Return a random number of seconds."""
        least, most = delay
        return least + self._random.random() * (most - least)


class SimulatedRegistry:
    """One process at a :class:`SimulatedFolder`; a :class:`peerage.registry.Registry`.

    Args:
        folder: is shared.
        process: uses this; its records vanish when it ends.
    """

    def __init__(self, folder: SimulatedFolder, process: Process) -> None:
        self.url = "simulated:"
        self.open_to_all = False
        self.own_records = OwnRecords()
        self.folder = folder
        self.secrets = _Secrets(self)
        self.outage: str | None = None
        """Why the folder can't be read or written at the moment."""
        self.advertisements: dict[_Advertisement, None] = {}
        self._context = copy_context()
        self._feeds: dict[Feed, None] = {}
        self._known: dict[str, Record] = {}
        self._complete = False
        self._closed = False
        folder.participants[self] = None
        process.at_end.append(self._leave)

    def later(self, delay: tuple[float, float], call: Callable[[], object]) -> None:
        """Do something in this process after a random time."""
        self.folder.loop.call_later(self.folder.draw(delay), call, context=self._context)

    def advertise(self, name: str, data: bytes) -> "_Advertisement":
        """Begin to advertise; see :meth:`peerage.registry.Registry.advertise`."""
        self.check_open()
        check_name(name)
        check_size(data)
        advertisement = _Advertisement(self, name, data)
        self.advertisements[advertisement] = None
        advertisement.begin()
        return advertisement

    def watch(self) -> Feed:
        """Begin another watch; see :meth:`peerage.registry.Registry.watch`."""
        self.check_open()
        feed = Feed(self._drop)
        self._feeds[feed] = None
        if self.outage is not None:
            feed.stale(self.outage)
        elif self._complete:
            feed.snapshot(self._known.values())
        elif len(self._feeds) == 1:
            self.later(self.folder.notice_delay, self._scan)
        return feed

    async def inspect(self) -> Health:
        """Return the state; see :meth:`peerage.registry.Registry.inspect`."""
        self.check_open()
        reachable = self.outage is None
        state = "connected" if reachable else "stale"
        return Health(url=self.url, state=state, since=0.0, writable=reachable, problem=self.outage)

    async def aclose(self) -> None:
        """Withdraw everything, end every watch; see :meth:`peerage.registry.Registry.aclose`."""
        if not self._closed:
            self._closed = True
            for each in tuple(self.advertisements):
                each.end()
            self._leave()
            for feed in tuple(self._feeds):
                feed.end()
            self._feeds.clear()
            self.secrets.close()

    def check_open(self) -> None:
        """Raise RegistryClosedError after the end."""
        if self._closed:
            raise RegistryClosedError(f"The registry {self.url} is closed: open another one.")

    def lose(self, reason: str = "the folder can't be read") -> None:
        """Lose touch with the folder: nothing is seen or written until :meth:`restore`."""
        self.outage = reason
        self._complete = False
        for feed in self._feeds:
            feed.stale(reason)

    def restore(self) -> None:
        """Be in touch again."""
        self.outage = None
        self.later(self.folder.notice_delay, self._scan)
        for each in self.advertisements:
            each.begin()

    def look(self, name: str) -> None:
        """Read one record, about which something was heard."""
        if not self._complete:
            return
        found, known = self.folder.records.get(name), self._known.get(name)
        if found is None:
            if self._known.pop(name, None) is not None:
                for feed in self._feeds:
                    feed.gone(name, withdrawn=True)
        elif found != known:
            self._known[name] = found
            for feed in self._feeds:
                feed.put(found, new=known is None)

    def _scan(self) -> None:
        if self.outage is None and not self._complete:
            self._complete = True
            self._known = dict(self.folder.records)
            for feed in self._feeds:
                feed.snapshot(self._known.values())

    def _leave(self) -> None:
        """Take part no more, because this was closed or its process has ended."""
        self.folder.participants.pop(self, None)
        for each in self.advertisements:
            if each.record is not None:
                self.folder.remove(each.record.name)

    def _drop(self, feed: Feed) -> None:
        self._feeds.pop(feed, None)


class _Advertisement:
    """One record of a process; see :class:`peerage.registry.Advertisement`."""

    def __init__(self, registry: SimulatedRegistry, prefix: str, data: bytes) -> None:
        self.record: Record | None = None
        """What was written last."""
        self._registry = registry
        self._prefix = prefix
        self._data = data
        self._ended = False
        self._writing = False
        self._changed = asyncio.Event()

    @property
    def name(self) -> str | None:
        return None if self.record is None or self._ended else self.record.name

    def begin(self) -> None:
        """Begin to write what isn't written."""
        if not self._writing and not self._is_written():
            self._writing = True
            self._registry.later(self._registry.folder.write_delay, self._write)

    def update(self, data: bytes) -> None:
        self._check_open()
        check_size(data)
        self._data = data
        self.begin()

    async def registered(self) -> str:
        while True:
            self._check_open()
            if self.record is not None and self._is_written():
                return self.record.name
            self._changed.clear()
            await self._changed.wait()

    async def withdraw(self) -> None:
        self.end()
        folder = self._registry.folder
        await asyncio.sleep(folder.draw(folder.write_delay))

    def end(self) -> None:
        """Remove the record for good, and end the calls that wait."""
        self._ended = True
        self._changed.set()
        self._registry.advertisements.pop(self, None)
        if self.record is not None:
            self._registry.folder.remove(self.record.name)

    def _is_written(self) -> bool:
        return self.record is not None and self.record.data == self._data

    def _write(self) -> None:
        self._writing = False
        if self._ended or self._registry.outage is not None or self._is_written():
            return
        folder = self._registry.folder
        if self.record is None:
            self.record = folder.create(self._prefix, self._data)
            self._registry.own_records.add(self.record.name)
        else:
            self.record = self.record._replace(data=self._data)
            folder.put(self.record)
        self._changed.set()

    def _check_open(self) -> None:
        if self._ended:
            raise RegistryClosedError(f"The record {self._prefix} is withdrawn: advertise another one.")


class _Secrets:
    """The secrets of a folder, of which none changes; see :class:`peerage.registry.Secrets`."""

    def __init__(self, registry: SimulatedRegistry) -> None:
        self._registry = registry
        self._feeds: dict[Feed, None] = {}

    async def obtain(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return the value; see :meth:`peerage.registry.Secrets.obtain`."""
        self._registry.check_open()
        folder = self._registry.folder
        await asyncio.sleep(folder.draw(folder.write_delay))
        if name not in folder.secrets:
            folder.secrets[name] = make()
            for each in folder.participants:
                each.later(folder.notice_delay, each.secrets.look)
        return folder.secrets[name]

    async def follow(self, name: str) -> AsyncIterator[bytes]:
        """Yield the value; see :meth:`peerage.registry.Secrets.follow`."""
        self._registry.check_open()
        feed = Feed(self._drop)
        self._feeds[feed] = None
        self.look()
        async with aclosing(feed):
            async for event in feed:
                records = event.records if isinstance(event, Snapshot) else ()
                for record in records:
                    if record.name == name:
                        yield record.data

    def look(self) -> None:
        """Read all secrets, because there may be another one."""
        for feed in self._feeds:
            feed.snapshot(Record(name, value, 0) for name, value in self._registry.folder.secrets.items())

    def close(self) -> None:
        """End every follow(); the registry is closed."""
        for feed in tuple(self._feeds):
            feed.end()
        self._feeds.clear()

    def _drop(self, feed: Feed) -> None:
        self._feeds.pop(feed, None)
