"""``memory:name``, a registry within one process: for tests, and for services that share a process.

Registries opened with the same name see each other, also from event loops of other threads. What follows a
slash is the path: ``memory:a/x`` and ``memory:a/y`` share their secrets, as on one server, but no records.
:meth:`MemoryRegistry.lose`, :meth:`~MemoryRegistry.restore`, :meth:`~MemoryRegistry.expire` and
:meth:`~MemoryRegistry.kill` simulate what a network, a server and a crash do.
"""

import asyncio
import itertools
import re
import threading
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from typing import Final

from peerage.backends.feed import Feed
from peerage.errors import ConfigurationError, RegistryClosedError
from peerage.registry import Health, OwnRecords, Record, check_name, check_size
from peerage.timing import monotonic

_NAME = re.compile(r"[A-Za-z0-9_./-]{0,100}")


class _Folder:
    """The records of one name and path, or the secrets of one name: what a server would keep."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.records: dict[str, Record] = {}
        self.participants: weakref.WeakSet[MemoryRegistry] = weakref.WeakSet()
        self.outage: str | None = None
        """Why those that are opened from now on are out of touch; None: they aren't."""
        self._feeds: set[Feed] = set()
        self._sequences = itertools.count(1)

    def create(self, prefix: str, data: bytes) -> Record:
        sequence = next(self._sequences)
        record = Record(f"{prefix}.{sequence:010d}", data, sequence)
        self.put(record)
        return record

    def put(self, record: Record) -> None:
        with self.lock:
            new = record.name not in self.records
            self.records[record.name] = record
            for feed in self._feeds:
                feed.put(record, new=new)

    def remove(self, name: str, *, withdrawn: bool) -> None:
        with self.lock:
            del self.records[name]
            for feed in self._feeds:
                feed.gone(name, withdrawn=withdrawn)

    def attach(self, feed: Feed) -> None:
        with self.lock:
            feed.snapshot(self.records.values())
            self._feeds.add(feed)

    def detach(self, feed: Feed) -> None:
        with self.lock:
            self._feeds.discard(feed)


# A folder of records goes with its last participant; secrets outlive those who made them.
_folders: Final[weakref.WeakValueDictionary[str, _Folder]] = weakref.WeakValueDictionary()
_secrets: Final[dict[str, _Folder]] = {}
_opening: Final = threading.Lock()


def open_memory(url: str) -> "MemoryRegistry":
    """Return a registry of the name behind ``memory:``; those with one name share their records.

    Raises:
        ConfigurationError: the name has other characters than letters, digits and ``_./-``.
    """
    name = url.removeprefix("memory:").removeprefix("//")
    if not _NAME.fullmatch(name):
        raise ConfigurationError(
            f"{url!r}: write memory:name, with a name of A-Z, a-z, 0-9, '_', '.', '/' and '-'."
        )
    with _opening:
        folder = _folders.setdefault(name, _Folder())
        secrets = _secrets.setdefault(name.partition("/")[0], _Folder())
    return MemoryRegistry(f"memory:{name}", folder, secrets)


class MemoryRegistry:
    """One participant in a registry that lives in this process; made by :func:`open_memory`."""

    def __init__(self, url: str, folder: _Folder, secrets: _Folder) -> None:
        self.url = url
        self.folder = folder
        self.secrets = MemorySecrets(secrets, self.check_open)
        self.open_to_all = False
        self.own_records = OwnRecords()
        self.outage = folder.outage
        self.loop: asyncio.AbstractEventLoop | None = None
        """The event loop of the last watch, in whose thread faults must be simulated."""
        self.advertisements: set[_MemoryAdvertisement] = set()
        self._feeds: set[Feed] = set()
        self._closed = False
        self._since = monotonic()
        with folder.lock:
            folder.participants.add(self)

    def advertise(self, name: str, data: bytes) -> "_MemoryAdvertisement":
        """Begin to advertise; see :meth:`peerage.registry.Registry.advertise`."""
        self.check_open()
        check_name(name)
        check_size(data)
        advertisement = _MemoryAdvertisement(self, name, data)
        self.advertisements.add(advertisement)
        if self.outage is None:
            advertisement.write()
        return advertisement

    def watch(self) -> Feed:
        """Begin another watch; see :meth:`peerage.registry.Registry.watch`."""
        self.check_open()
        self.loop = asyncio.get_running_loop()
        feed = Feed(self._drop, self.loop)
        self._feeds.add(feed)
        if self.outage is None:
            self.folder.attach(feed)
        else:
            feed.stale(self.outage)
        return feed

    async def inspect(self) -> Health:
        """Return the state; see :meth:`peerage.registry.Registry.inspect`."""
        self.check_open()
        return Health(
            url=self.url,
            state="connected" if self.outage is None else "stale",
            since=monotonic() - self._since,
            writable=self.outage is None,
            problem=self.outage,
        )

    async def aclose(self) -> None:
        """Withdraw everything, end every watch; see :meth:`peerage.registry.Registry.aclose`."""
        self.kill()

    def check_open(self) -> None:
        """Raise RegistryClosedError after the end."""
        if self._closed:
            raise RegistryClosedError(f"The registry {self.url} is closed: open another one.")

    def lose(self, reason: str = "put out of touch") -> None:
        """Lose touch: others' changes aren't seen, own changes aren't written. The records stay."""
        self.hang(reason)
        for feed in self._feeds:
            feed.stale(reason)

    def hang(self, reason: str = "no answer") -> None:
        """Lose touch as with a server that hangs: watchers get no event."""
        self._set_outage(reason)
        for feed in self._feeds:
            self.folder.detach(feed)

    def restore(self) -> None:
        """Be in touch again."""
        self._set_outage(None)
        for advertisement in tuple(self.advertisements):
            advertisement.write()
        for feed in self._feeds:
            self.folder.attach(feed)

    def expire(self) -> None:
        """Lose the session: everything advertised here vanishes, and comes back when in touch."""
        for advertisement in self.advertisements:
            advertisement.lose_record()
        if self.outage is None:
            self.lose("the session expired")
            self.restore()

    def kill(self) -> None:
        """Die as a process does: the records vanish, and every watch ends."""
        self._closed = True
        with self.folder.lock:
            self.folder.participants.discard(self)
        self.secrets.close()
        for advertisement in tuple(self.advertisements):
            advertisement.end()
        for feed in tuple(self._feeds):
            feed.end()
            self._drop(feed)

    def _set_outage(self, outage: str | None) -> None:
        self.check_open()
        self.outage = outage
        self._since = monotonic()

    def _drop(self, feed: Feed) -> None:
        self._feeds.discard(feed)
        self.folder.detach(feed)


class _MemoryAdvertisement:
    """One record of a participant; see :class:`peerage.registry.Advertisement`."""

    def __init__(self, registry: MemoryRegistry, name: str, data: bytes) -> None:
        self._registry = registry
        self._prefix = name
        self._data = data
        self._record: Record | None = None
        self._ended = False
        self._settled = asyncio.Event()

    @property
    def name(self) -> str | None:
        return None if self._record is None else self._record.name

    def update(self, data: bytes) -> None:
        if self._ended:
            raise self._withdrawn()
        check_size(data)
        self._data = data
        if self._registry.outage is None:
            self.write()
        else:
            self._settled.clear()

    async def registered(self) -> str:
        await self._settled.wait()
        if self._record is None:
            raise self._withdrawn()
        return self._record.name

    async def withdraw(self) -> None:
        self.end()

    def write(self) -> None:
        """Bring the registry up to date; writes nothing if it is."""
        folder = self._registry.folder
        if self._record is None:
            self._record = folder.create(self._prefix, self._data)
            self._registry.own_records.add(self._record.name)
        elif self._record.data != self._data:
            self._record = self._record._replace(data=self._data)
            folder.put(self._record)
        self._settled.set()

    def lose_record(self, *, withdrawn: bool = False) -> None:
        """Remove the record from the registry; it is still to be advertised unless it is *withdrawn*."""
        record, self._record = self._record, None
        self._settled.clear()
        if record is not None:
            self._registry.folder.remove(record.name, withdrawn=withdrawn)

    def end(self) -> None:
        """Remove the record for good, and end the calls that wait."""
        self.lose_record(withdrawn=True)
        self._ended = True
        self._settled.set()
        self._registry.advertisements.discard(self)

    def _withdrawn(self) -> RegistryClosedError:
        return RegistryClosedError(f"The record {self._prefix} is withdrawn: advertise another one.")


class MemorySecrets:
    """Secrets in memory; see :class:`peerage.registry.Secrets`.

    *folder* keeps them; *check_open* raises RegistryClosedError after the registry's end.
    """

    def __init__(self, folder: _Folder, check_open: Callable[[], None]) -> None:
        self._folder = folder
        self._check_open = check_open
        self._feeds: set[Feed] = set()

    async def obtain(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return the value; see :meth:`peerage.registry.Secrets.obtain`."""
        self._check_open()
        with self._folder.lock:
            if name not in self._folder.records:
                self._folder.put(Record(name, make(), 0))
            return self._folder.records[name].data

    async def follow(self, name: str) -> AsyncIterator[bytes]:
        """Yield the value; see :meth:`peerage.registry.Secrets.follow`."""
        self._check_open()
        feed = Feed(self._drop, asyncio.get_running_loop())
        self._feeds.add(feed)
        self._folder.attach(feed)
        last = None
        async with aclosing(feed):
            async for _ in feed:
                record = self._folder.records.get(name)
                if record is not None and record is not last:
                    last = record
                    yield record.data

    def close(self) -> None:
        """End every follow(); the registry is closed."""
        for feed in tuple(self._feeds):
            feed.end()
            self._drop(feed)

    def _drop(self, feed: Feed) -> None:
        self._feeds.discard(feed)
        self._folder.detach(feed)
