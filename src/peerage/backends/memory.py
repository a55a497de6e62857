"""``memory:name``, a registry within one process: for tests, and for services that share a process.

Registries opened with the same name see each other, also from event loops of other threads. What follows a
slash is the path: ``memory:a/x`` and ``memory:a/y`` share their secrets, as on one server, but no records.
Each can be put out of touch at will: :meth:`MemoryRegistry.lose`, :meth:`~MemoryRegistry.restore`,
:meth:`~MemoryRegistry.expire` and :meth:`~MemoryRegistry.kill` do what a network, a server and a crash do.
"""

import asyncio
import itertools
import re
import threading
import time
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Final

from peerage.backends.feed import Feed
from peerage.errors import ConfigurationError, RegistryClosedError
from peerage.registry import Health, OwnRecords, Record, check_name, check_size

__all__ = ["MemoryRegistry", "MemorySecrets", "open_memory"]

_NAME = re.compile(r"[A-Za-z0-9_./-]{0,100}")


class _Hub:
    """The registry of one name: what a server would be."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.records: dict[str, Record] = {}
        self.orders = itertools.count(1)
        self.onlookers: set[Callable[[str], None]] = set()

    def put(self, record: Record) -> None:
        with self.lock:
            self.records[record.name] = record
            self._tell(record.name)

    def drop(self, node: str) -> None:
        with self.lock:
            if self.records.pop(node, None) is not None:
                self._tell(node)

    def _tell(self, node: str) -> None:
        for onlooker in tuple(self.onlookers):
            onlooker(node)


class _Vault:
    """The secrets of all paths of one server."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.secrets: dict[str, bytes] = {}
        self.onlookers: set[Callable[[], None]] = set()


# A registry is forgotten with its last participant; secrets outlive those who made them.
_hubs: Final[weakref.WeakValueDictionary[str, _Hub]] = weakref.WeakValueDictionary()
_vaults: Final[dict[str, _Vault]] = {}
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
        hub = _hubs.setdefault(name, _Hub())
        vault = _vaults.setdefault(name.partition("/")[0], _Vault())
    return MemoryRegistry(f"memory:{name}", hub, MemorySecrets(vault))


class MemoryRegistry:
    """One participant in a registry that lives in this process; made by :func:`open_memory`."""

    def __init__(self, url: str, hub: _Hub, secrets: "MemorySecrets") -> None:
        self._url = url
        self._hub = hub
        self._feeds: set[Feed] = set()
        self._advertisements: set[_MemoryAdvertisement] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._dirty: dict[str, None] = {}
        self._known: set[str] = set()
        self._outage: str | None = None
        self._closed = False
        self._since = time.monotonic()
        self._secrets = secrets
        self.open_to_all = False
        """Whether everyone who reaches it may write to it."""
        self.own_records = OwnRecords()
        """The names that the records advertised here have or had."""

    @property
    def url(self) -> str:
        """``memory:name``."""
        return self._url

    @property
    def secrets(self) -> "MemorySecrets":
        """Secrets shared by all paths of one name."""
        return self._secrets

    # The port

    def advertise(self, name: str, data: bytes) -> "_MemoryAdvertisement":
        """Begin to advertise; see :meth:`peerage.registry.Registry.advertise`."""
        self._check_open()
        check_name(name)
        check_size(data)
        advertisement = _MemoryAdvertisement(self, name, data)
        self._advertisements.add(advertisement)
        if self._outage is None:
            advertisement.write()
        return advertisement

    def watch(self) -> Feed:
        """Begin a watch of its own; see :meth:`peerage.registry.Registry.watch`."""
        self._check_open()
        self._attach()
        feed = Feed(self._feeds.discard)
        if self._outage is not None:
            feed.stale(self._outage)
        else:
            with self._hub.lock:
                # What waits is delivered to the others first, or this watcher would be told of it twice.
                self._deliver()
                feed.snapshot(self._hub.records.values())
        self._feeds.add(feed)
        return feed

    async def inspect(self) -> Health:
        """Say how it is; see :meth:`peerage.registry.Registry.inspect`."""
        self._check_open()
        return Health(
            url=self._url,
            state="connected" if self._outage is None else "stale",
            since=time.monotonic() - self._since,
            writable=self._outage is None,
            problem=self._outage,
        )

    async def aclose(self) -> None:
        """Withdraw, end every watch; see :meth:`peerage.registry.Registry.aclose`."""
        for advertisement in tuple(self._advertisements):
            await advertisement.withdraw()
        self._close()

    # What happens to a participant

    def lose(self, reason: str = "put out of touch") -> None:
        """Lose touch: what others do isn't seen, what is advertised here isn't written. The records stay."""
        self._enter(reason)
        for feed in self._feeds:
            feed.stale(reason)

    def restore(self) -> None:
        """Be in touch again."""
        self._enter(None)
        for advertisement in tuple(self._advertisements):
            advertisement.write()
        if self._loop is not None:
            self._reread()

    def expire(self) -> None:
        """Lose the session: everything advertised here vanishes, and comes back when in touch."""
        for advertisement in self._advertisements:
            advertisement.lapse()
        if self._outage is None:
            self.lose("the session expired")
            self.restore()

    def kill(self) -> None:
        """Die as a process does: nothing is withdrawn, the records vanish."""
        for advertisement in tuple(self._advertisements):
            advertisement.lapse()
        self._close()

    # Within

    def _close(self) -> None:
        self._closed = True
        with self._hub.lock:
            self._hub.onlookers.discard(self._look)
        for advertisement in tuple(self._advertisements):
            advertisement.end()
        for feed in tuple(self._feeds):
            feed.end()
        self._feeds.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise RegistryClosedError(f"The registry {self._url} is closed: open another one.")

    def _enter(self, outage: str | None) -> None:
        self._check_open()
        self._outage = outage
        self._since = time.monotonic()

    def _attach(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            with self._hub.lock:
                self._hub.onlookers.add(self._look)
                self._known = set(self._hub.records)

    def _look(self, node: str) -> None:
        """Note that a node changed; called under the hub's lock, from any thread."""
        if not self._dirty and self._loop is not None:
            # A loop that is closed already can't be told and has nobody to tell.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._deliver)
        self._dirty[node] = None

    def _deliver(self) -> None:
        """Tell the watchers the present state of what changed: it is never older than what they know."""
        if self._outage is not None:
            return
        with self._hub.lock:
            changed, self._dirty = self._dirty, {}
            records = {node: self._hub.records.get(node) for node in changed}
        for node, record in records.items():
            if record is not None:
                new = node not in self._known
                self._known.add(node)
                for feed in self._feeds:
                    feed.put(record, new=new)
            elif node in self._known:
                self._known.discard(node)
                for feed in self._feeds:
                    feed.gone(node)

    def _reread(self) -> None:
        with self._hub.lock:
            self._dirty.clear()
            records = dict(self._hub.records)
        self._known = set(records)
        for feed in self._feeds:
            feed.snapshot(records.values())


class _MemoryAdvertisement:
    """One record of a participant; see :class:`peerage.registry.Advertisement`."""

    def __init__(self, registry: MemoryRegistry, name: str, data: bytes) -> None:
        self._registry = registry
        self._name = name
        self._data = data
        self._record: Record | None = None
        self._ended = False
        self._settled = asyncio.Event()

    @property
    def name(self) -> str | None:
        return None if self._record is None else self._record.name

    def update(self, data: bytes) -> None:
        if self._ended:
            raise RegistryClosedError(f"The record {self._name} is withdrawn: advertise another one.")
        check_size(data)
        self._data = data
        if self._registry._outage is None:  # noqa: SLF001 - two halves of one thing
            self.write()
        else:
            self._settled.clear()

    async def registered(self) -> str:
        await self._settled.wait()
        if self._record is None:
            raise RegistryClosedError(f"The record {self._name} is withdrawn: advertise another one.")
        return self._record.name

    async def withdraw(self) -> None:
        self.lapse()
        self.end()
        self._registry._advertisements.discard(self)  # noqa: SLF001 - two halves of one thing

    def write(self) -> None:
        """Bring the registry up to date; writes nothing if it is."""
        hub = self._registry._hub  # noqa: SLF001 - two halves of one thing
        if self._record is None:
            order = next(hub.orders)
            self._record = Record(f"{self._name}.{order:010d}", self._data, order)
            hub.put(self._record)
            self._registry.own_records.add(self._record.name)
        elif self._record.data != self._data:
            self._record = self._record._replace(data=self._data)
            hub.put(self._record)
        self._settled.set()

    def lapse(self) -> None:
        """Vanish from the registry, the wish to be there stays."""
        record, self._record = self._record, None
        self._settled.clear()
        if record is not None:
            self._registry._hub.drop(record.name)  # noqa: SLF001 - two halves of one thing

    def end(self) -> None:
        """Give up the wish to be there; whoever waits is told."""
        self._ended = True
        self._settled.set()


class MemorySecrets:
    """Secrets in memory; see :class:`peerage.registry.Secrets`."""

    def __init__(self, vault: _Vault) -> None:
        self._vault = vault

    async def obtain(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return the value, making it if there is none."""
        with self._vault.lock:
            if name not in self._vault.secrets:
                self.replace(name, make())
            return self._vault.secrets[name]

    def replace(self, name: str, value: bytes) -> None:
        """Set a new value, as an administrator would who changes a key."""
        with self._vault.lock:
            self._vault.secrets[name] = value
            for onlooker in tuple(self._vault.onlookers):
                onlooker()

    async def follow(self, name: str) -> AsyncIterator[bytes]:
        """Yield the value as soon as there is one, then every new one."""
        loop, changed, last = asyncio.get_running_loop(), asyncio.Event(), None

        def onlooker() -> None:
            # A loop that is closed already has nobody to tell.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)

        self._vault.onlookers.add(onlooker)
        try:
            while True:
                changed.clear()
                value = self._vault.secrets.get(name)
                if value is not None and value != last:
                    last = value
                    yield value
                else:
                    await changed.wait()
        finally:
            self._vault.onlookers.discard(onlooker)
