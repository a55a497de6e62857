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
    """The records of one name and path: what a server would keep."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.records: dict[str, Record] = {}
        self.sequences = itertools.count(1)
        self.observers: set[Callable[[str], None]] = set()

    def put(self, record: Record) -> None:
        with self.lock:
            self.records[record.name] = record
            self._notify(record.name)

    def remove(self, name: str) -> None:
        with self.lock:
            if self.records.pop(name, None) is not None:
                self._notify(name)

    def _notify(self, name: str) -> None:
        for observer in tuple(self.observers):
            observer(name)


class _Vault:
    """The secrets of all paths of one name."""

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.secrets: dict[str, bytes] = {}
        self.observers: set[Callable[[], None]] = set()


# A hub goes with its last participant; secrets outlive those who made them.
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
    return MemoryRegistry(f"memory:{name}", hub, vault)


class MemoryRegistry:
    """One participant in a registry that lives in this process; made by :func:`open_memory`."""

    def __init__(self, url: str, hub: _Hub, vault: _Vault) -> None:
        self._url = url
        self.hub = hub
        self._feeds: set[Feed] = set()
        self._advertisements: set[_MemoryAdvertisement] = set()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._dirty: dict[str, None] = {}
        self._known: set[str] = set()
        self.outage: str | None = None
        self._closed = False
        self._since = time.monotonic()
        self._secrets = MemorySecrets(vault, self.check_open)
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
        self.check_open()
        check_name(name)
        check_size(data)
        advertisement = _MemoryAdvertisement(self, name, data)
        self._advertisements.add(advertisement)
        if self.outage is None:
            advertisement.write()
        return advertisement

    def watch(self) -> Feed:
        """Begin a watch of its own; see :meth:`peerage.registry.Registry.watch`."""
        self.check_open()
        self._attach()
        feed = Feed(self._feeds.discard)
        if self.outage is not None:
            feed.stale(self.outage)
        else:
            with self.hub.lock:
                # Deliver what waits to the others first, or this watcher would get it twice.
                self._deliver()
                feed.snapshot(self.hub.records.values())
        self._feeds.add(feed)
        return feed

    async def inspect(self) -> Health:
        """Return the state; see :meth:`peerage.registry.Registry.inspect`."""
        self.check_open()
        return Health(
            url=self._url,
            state="connected" if self.outage is None else "stale",
            since=time.monotonic() - self._since,
            writable=self.outage is None,
            problem=self.outage,
        )

    async def aclose(self) -> None:
        """Withdraw everything, end every watch; see :meth:`peerage.registry.Registry.aclose`."""
        for advertisement in tuple(self._advertisements):
            await advertisement.withdraw()
        self._close()

    def forget(self, advertisement: "_MemoryAdvertisement") -> None:
        """Note that *advertisement* is withdrawn."""
        self._advertisements.discard(advertisement)

    # What happens to a participant

    def lose(self, reason: str = "put out of touch") -> None:
        """Lose touch: others' changes aren't seen, own changes aren't written. The records stay."""
        self._enter(reason)
        for feed in self._feeds:
            feed.stale(reason)

    def hang(self, reason: str = "no answer") -> None:
        """Lose touch as with a server that hangs: watchers get no event."""
        self._enter(reason)

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
            advertisement.lose_record()
        if self.outage is None:
            self.lose("the session expired")
            self.restore()

    def kill(self) -> None:
        """Die as a process does: nothing is withdrawn, the records vanish."""
        for advertisement in tuple(self._advertisements):
            advertisement.lose_record()
        self._close()

    # Within

    def _close(self) -> None:
        self._closed = True
        with self.hub.lock:
            self.hub.observers.discard(self._note)
        self._secrets.close()
        for advertisement in tuple(self._advertisements):
            advertisement.end()
        for feed in tuple(self._feeds):
            feed.end()
        self._feeds.clear()

    def check_open(self) -> None:
        """Raise RegistryClosedError after the end."""
        if self._closed:
            raise RegistryClosedError(f"The registry {self._url} is closed: open another one.")

    def _enter(self, outage: str | None) -> None:
        self.check_open()
        self.outage = outage
        self._since = time.monotonic()

    def _attach(self) -> None:
        if self._loop is None:
            self._loop = asyncio.get_running_loop()
            with self.hub.lock:
                self.hub.observers.add(self._note)
                self._known = set(self.hub.records)

    def _note(self, name: str) -> None:
        """Note that a record changed; called under the hub's lock, from any thread."""
        if not self._dirty and self._loop is not None:
            # A loop that is closed already has no watchers.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._deliver)
        self._dirty[name] = None

    def _deliver(self) -> None:
        """Give the watchers the present state of what changed, which is never older than what they have."""
        if self.outage is not None:
            return
        with self.hub.lock:
            changed, self._dirty = self._dirty, {}
            records = {name: self.hub.records.get(name) for name in changed}
        for name, record in records.items():
            if record is not None:
                new = name not in self._known
                self._known.add(name)
                for feed in self._feeds:
                    feed.put(record, new=new)
            elif name in self._known:
                self._known.discard(name)
                for feed in self._feeds:
                    feed.gone(name)

    def _reread(self) -> None:
        with self.hub.lock:
            self._dirty.clear()
            records = dict(self.hub.records)
        self._known = set(records)
        for feed in self._feeds:
            feed.snapshot(records.values())


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
        self.lose_record()
        self.end()
        self._registry.forget(self)

    def write(self) -> None:
        """Bring the registry up to date; writes nothing if it is."""
        hub = self._registry.hub
        if self._record is None:
            sequence = next(hub.sequences)
            self._record = Record(f"{self._prefix}.{sequence:010d}", self._data, sequence)
            hub.put(self._record)
            self._registry.own_records.add(self._record.name)
        elif self._record.data != self._data:
            self._record = self._record._replace(data=self._data)
            hub.put(self._record)
        self._settled.set()

    def lose_record(self) -> None:
        """Remove the record from the registry; it is still to be advertised."""
        record, self._record = self._record, None
        self._settled.clear()
        if record is not None:
            self._registry.hub.remove(record.name)

    def end(self) -> None:
        """Advertise no more, and end the calls that wait."""
        self._ended = True
        self._settled.set()

    def _withdrawn(self) -> RegistryClosedError:
        return RegistryClosedError(f"The record {self._prefix} is withdrawn: advertise another one.")


class MemorySecrets:
    """Secrets in memory; see :class:`peerage.registry.Secrets`.

    Args:
        vault: keeps them.
        check_open: raises RegistryClosedError after the registry's end.
    """

    def __init__(self, vault: _Vault, check_open: Callable[[], None]) -> None:
        self._vault = vault
        self._check_open = check_open
        self._observers: set[Callable[[], None]] = set()
        self._closed = False

    async def obtain(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return the value; see :meth:`peerage.registry.Secrets.obtain`."""
        self._check_open()
        with self._vault.lock:
            if name not in self._vault.secrets:
                self.replace(name, make())
            return self._vault.secrets[name]

    def replace(self, name: str, value: bytes) -> None:
        """Set a new value, as an administrator does who changes a key."""
        with self._vault.lock:
            self._vault.secrets[name] = value
            for observer in tuple(self._vault.observers):
                observer()

    async def follow(self, name: str) -> AsyncIterator[bytes]:
        """Yield the value as soon as there is one, then every new one, until the registry is closed.

        Raises:
            RegistryClosedError: the registry was closed before.
        """
        self._check_open()
        loop, changed, last = asyncio.get_running_loop(), asyncio.Event(), None

        def observer() -> None:
            # A loop that is closed already has nothing to wake.
            with suppress(RuntimeError):
                loop.call_soon_threadsafe(changed.set)

        self._vault.observers.add(observer)
        self._observers.add(observer)
        try:
            while not self._closed:
                changed.clear()
                value = self._vault.secrets.get(name)
                if value is not None and value != last:
                    last = value
                    yield value
                else:
                    await changed.wait()
        finally:
            self._vault.observers.discard(observer)
            self._observers.discard(observer)

    def close(self) -> None:
        """End every follow(); the registry is closed."""
        self._closed = True
        for observer in tuple(self._observers):
            observer()
