"""Finding services: a registry that is followed, and the questions about it."""

import asyncio
import os
from collections.abc import Coroutine, Mapping, Sequence
from typing import Any, Self

from peerage.changes import Changes
from peerage.directory import SUSPECT_SECONDS, Criteria, Directory, Guard, fold_criteria
from peerage.directory.suggest import KeySpelling
from peerage.disk_cache import DiskCache, disk_cache_of, from_environment
from peerage.errors import RegistryClosedError
from peerage.membership import READY_TIMEOUT, Membership
from peerage.records.identity import host_key
from peerage.records.instance import Id, Instance
from peerage.records.networks import read_networks
from peerage.registry import Registry, open_registry


class Finder:
    """Follows a registry and finds services in it: the part of :class:`peerage.Discovery` that only reads."""

    def __init__(
        self,
        registry: str | Registry | None = None,
        *,
        ready_timeout: float = READY_TIMEOUT,
        allowed_networks: str | Sequence[str] | None = None,
        suspect_seconds: float = SUSPECT_SECONDS,
        disk_cache: bool | str | os.PathLike[str] | DiskCache | None = None,
    ) -> None:
        if registry is None:
            registry = os.environ.get("PEERAGE_REGISTRY") or "embedded:"
        self._owns_registry = isinstance(registry, str)
        self.registry: Registry = open_registry(registry) if isinstance(registry, str) else registry
        if disk_cache is None:
            # Who makes the registry decides what is kept of it.
            disk_cache = from_environment() if self._owns_registry else False
        self._disk_cache_choice = disk_cache
        self.membership = Membership(
            self.registry,
            Directory(
                host_key=self._host_key(),
                networks=read_networks(allowed_networks),
                guard=Guard(keep=suspect_seconds) if suspect_seconds > 0 else None,
            ),
            ready_timeout=ready_timeout,
            disk_cache=disk_cache_of(self.registry.url, disk_cache),
        )
        self._changes: set[Changes] = set()
        self._spelling = KeySpelling(self.directory)
        self._ready = False  # and open: read at each locate()
        self._started = False
        self._closing: asyncio.Future[None] | None = None

    @staticmethod
    def _host_key() -> str | None:
        """Return the key by which instances on the same host are recognized."""
        return host_key()

    # Open and close

    async def __aenter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Open it where there is no ``async with``; :meth:`aclose` must be called in the end.

        Needs the running event loop, and doesn't wait.

        Raises:
            RegistryClosedError: it was opened before.
            RuntimeError: no event loop of asyncio runs here.
        """
        if self._started or self._closing is not None:
            raise RegistryClosedError("A Discovery is opened once: make another one.")
        _check_event_loop()
        self._started = True
        self.membership.start()

    async def __aexit__(self, *_: object) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close everything, and withdraw what was advertised, within about a second; may be called twice.

        If it is cancelled, closing goes on; call it again to wait for the rest.
        """
        self._ready = False
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        for changes in tuple(self._changes):
            changes.close()
        await self.membership.aclose()
        for error in await asyncio.gather(*self._ends(), return_exceptions=True):
            if isinstance(error, BaseException):
                raise error

    def _ends(self) -> list[Coroutine[Any, Any, None]]:
        """Return what is to be closed, all at the same time, after the membership."""
        return [self.registry.aclose()] if self._owns_registry else []

    def _check_open(self) -> None:
        """Raise RegistryClosedError before the start and after the end."""
        if not self._started or self._closing is not None:
            raise RegistryClosedError(
                "This Discovery isn't open: write 'async with Discovery() as discovery:' and use it inside."
            )

    @property
    def directory(self) -> Directory:
        """The known instances, to be asked without waiting."""
        return self.membership.directory

    @property
    def stale(self) -> str | None:
        """Why the registry is out of reach; None while in touch. What was known stays in use meanwhile."""
        return self.membership.stale

    @property
    def age(self) -> float:
        """Seconds since the directory was last certain: 0 in touch, ``inf`` while nothing is known.

        What comes from the disk cache is as old as the file.
        """
        return self.membership.age

    async def ready(self, timeout: float | None = None) -> None:  # noqa: ASYNC109 - the message names it
        """Wait until the registry was read once.

        Args:
            timeout: seconds, *ready_timeout* of the constructor by default.

        Raises:
            NotReadyError: it wasn't in time; the message names the registry and what to check.
        """
        self._check_open()
        await self.membership.wait_ready(timeout)
        self._ready = self._closing is None

    # Find

    async def locate(self, criteria: Mapping[str, object] | None = None, /, **ids: object) -> set[str]:
        """Return the URLs, ``scheme://host:port``, of the callable instances that match all criteria.

        >>> await discovery.locate(service_id="orders")  # doctest: +SKIP
        {'http://node-1:8080', 'http://node-2:8080'}

        A key that no instance has matches none; if it looks like a misspelling, that is logged.

        Args:
            criteria: ``{"service_id": "orders", "shard": 1}``; none: every instance. The value None matches
                no instance.
            ids: further criteria.

        Raises:
            NotReadyError: the registry wasn't read yet and isn't within *ready_timeout*.
        """
        # Some services call this for each request, so nothing is awaited or looked up that needn't be.
        if not self._ready:
            await self.ready()
        wanted = _fold(criteria, ids)
        found = set(self.membership.directory.urls(wanted))
        if not found:
            self._spelling.check(wanted)
        return found

    async def instances(
        self, criteria: Mapping[str, object] | None = None, /, **ids: object
    ) -> list[Instance]:
        """Return all instances that match all criteria, including those that can't be called.

        Raises:
            NotReadyError: the registry wasn't read yet and isn't within *ready_timeout*.
        """
        await self.ready()
        wanted = _fold(criteria, ids)
        found = self.directory.find(wanted)
        if not found:
            self._spelling.check(wanted)
        return found

    async def discover(self) -> dict[str, dict[Id, set[tuple[str, int, int]]]]:
        """Return what can be called: ``{key: {value: {(host, port, family)}}}``, values as advertised.

        Raises:
            NotReadyError: the registry wasn't read yet and isn't within *ready_timeout*.
        """
        await self.ready()
        found: dict[str, dict[Id, set[tuple[str, int, int]]]] = {}
        for instance in self.directory.find():
            if instance.callable:
                endpoints = {
                    (endpoint.host, endpoint.port, endpoint.family) for endpoint in instance.endpoints
                }
                for key, value in instance.advertised_ids():
                    found.setdefault(key, {}).setdefault(value, set()).update(endpoints)
        return found

    def changes(self) -> Changes:
        """Iterate over :class:`Joined`, :class:`Changed` and :class:`Left`; first, all present are Joined.

        ::

            async for event in discovery.changes():
                ...

        Events that aren't taken are merged: at most one waits for each instance.
        """
        self._check_open()
        changes = Changes(self.directory, self._changes.discard)
        self._changes.add(changes)
        return changes


def _check_event_loop() -> None:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        raise RuntimeError(
            "A Discovery needs an event loop of asyncio, and none runs here: open it inside asyncio.run(…), "
            "not under trio, or use peerage.sync.Discovery, which needs none."
        ) from None


def _fold(criteria: Mapping[str, object] | None, ids: Mapping[str, object]) -> Criteria:
    if criteria is not None and not isinstance(criteria, Mapping):
        raise TypeError(f"Name the key of the id: write service_id={criteria!r}, or another key.")
    # Not one dictionary of both: criteria that contradict each other match no instance.
    return fold_criteria(ids) if criteria is None else fold_criteria(criteria) + fold_criteria(ids)
