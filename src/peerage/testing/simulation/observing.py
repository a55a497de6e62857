"""A Discovery that writes what it advertises, and what its directory has, into a trace."""

from collections.abc import Callable
from typing import Any, Final, Self, Unpack

from cachetools import LRUCache

from peerage.discovery import Discovery
from peerage.records.advert import Advert, AdvertFields
from peerage.records.instance import DRAINING, Instance
from peerage.registration import LAME_DUCK, Registration
from peerage.registry import Event as RegistryEvent
from peerage.registry import Registry, Removal, Watch
from peerage.testing.simulation.discovery import SimulatedDiscovery
from peerage.testing.simulation.trace import Advertised, Event, Sight, Updated, Viewed, Withdrawn

#: The field of a record in which the number of its update stands.
VERSION: Final = "simulated_version"


class TracingDiscovery(Discovery):
    """What is true of the instance that it advertises is written by the methods that its program calls.

    Args:
        registry: closed with this.
        process: label of the process in the trace.
        write: adds an event to the trace.
        clock: returns the time of events.
        options: of the class that makes the calls, :class:`peerage.Discovery` or a subclass.
    """

    def __init__(
        self,
        registry: Registry,
        *,
        process: str,
        write: Callable[[Event], None],
        clock: Callable[[], float],
        **options: Any,
    ) -> None:
        self._process = process
        self._write = write
        self._now = clock
        self._made = 0
        self._version = 0
        self._nonces: dict[Registration, str] = {}
        self._last: Viewed | None = None
        super().__init__(_observed(registry, self.look), **options)
        self._owns_registry = True
        self.directory.subscribe(lambda _: self.look())

    def _make_nonce(self) -> str:  # type: ignore[override]
        self._made += 1
        return f"{self._process}/{self._made}"

    # What is true

    def register(self, advert: Advert | None = None, /, **fields: Unpack[AdvertFields]) -> Registration:
        """Begin to advertise; see :meth:`peerage.Discovery.register`."""
        registration = super().register(advert, **fields)
        nonce = self._nonces[registration] = f"{self._process}/{self._made}"
        told = (advert or Advert()).changed(**fields)
        identity = told.identity or self.identity()
        port = told.port if told.web is None else told.web[0][1]
        service, instance = identity.service_id or "", identity.instance_id or ""
        address = f"{identity.host}:{port}"
        self._write(Advertised(self._now(), self._process, nonce, service, instance, address))
        return registration

    def publish_update(self) -> None:
        """Change what is advertised, in place."""
        self._version += 1
        for registration, nonce in self._nonces.items():
            if not registration.draining:
                self._write(Updated(self._now(), nonce, version=self._version))
                registration.update(extra={VERSION: self._version})

    async def drain(self, lame_duck: float = LAME_DUCK) -> None:
        """Drain everything; see :meth:`peerage.Discovery.drain`."""
        for nonce in self._nonces.values():
            self._write(Updated(self._now(), nonce, DRAINING, self._version))
        await super().drain(lame_duck)
        self._withdrawn()

    async def aclose(self) -> None:
        """Close; see :meth:`peerage.Discovery.aclose`."""
        self._withdrawn()
        await super().aclose()

    def _withdrawn(self) -> None:
        for nonce in self._nonces.values():
            self._write(Withdrawn(self._now(), nonce))
        self._nonces.clear()

    # What is known

    @property
    def outstanding(self) -> int:
        """How many requests the balancer counts as under way."""
        return 0 if self._client is None else sum(self._client.balancer.outstanding.values())

    def look(self, *, again: bool = False) -> None:
        """Write what the directory has, if that has changed, or *again*."""
        if not self.membership.ready:
            return
        visible = self.directory.find()
        sights = [_see(each, superseded=each not in visible) for each in self.directory]
        view = Viewed(0.0, self._process, tuple(sorted(sights)), self.membership.stale is not None)
        if again or view != self._last:
            self._last = view
            self._write(Viewed(self._now(), view.process, view.sights, view.stale))


class ObservedDiscovery(TracingDiscovery, SimulatedDiscovery):
    """A Discovery of a simulated process, which writes into the trace."""


class _Observed:
    """A registry whose events are followed: *look* is called when each of them has been applied."""

    def __init__(self, registry: Any, look: Callable[[], None]) -> None:
        self._registry = registry
        self._look = look

    def __getattr__(self, name: str) -> Any:
        return getattr(self._registry, name)

    def watch(self) -> "_ObservedWatch":
        return _ObservedWatch(self._registry.watch(), self._look)


class _ObservedWithRemoval(_Observed):
    """One that removes records: since Python 3.12 isinstance() doesn't find methods by __getattr__()."""

    async def remove_record(self, name: str) -> None:
        await self._registry.remove_record(name)


def _observed(registry: Registry, look: Callable[[], None]) -> _Observed:
    return (_ObservedWithRemoval if isinstance(registry, Removal) else _Observed)(registry, look)


class _ObservedWatch:
    def __init__(self, watch: Watch, look: Callable[[], None]) -> None:
        self._watch = watch
        self._look = look

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> RegistryEvent:
        # The one before has been applied.
        self._look()
        return await anext(self._watch)

    async def aclose(self) -> None:
        await self._watch.aclose()


#: Reading a record takes as long as all the rest of a look.
_seen: LRUCache[tuple[bytes, str | None], tuple[str, int]] = LRUCache(1024)


def _see(instance: Instance, *, superseded: bool) -> Sight:
    key = instance.data, instance.state
    found = _seen.get(key)
    if found is None:
        record = instance.record()
        found = _seen[key] = record.get("peerage", {}).get("nonce", ""), record.get(VERSION, 0)
    nonce, version = found
    port = instance.endpoints[0].port if instance.endpoints else 0
    return Sight(
        nonce,
        instance.service_id or "",
        instance.instance_id or "",
        f"{instance.host}:{port}",
        instance.state or "",
        version,
        superseded,
    )
