"""Names for aiohttp's connectors, those in ``.asab`` included.

A session of ours puts the address of an instance into each request, so that this is only asked where that
can't be: a session made with a connector of the user's own, or a request whose ``middlewares=`` replace those
of the session. Such connections are pooled by the logical name, and balanced only when a new one is made.
"""

import asyncio
import socket
import time
from collections.abc import Sequence
from random import Random
from typing import Final, Protocol

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from peerage.client import explain
from peerage.client.explain import Attempt
from peerage.client.hosts import UNRESOLVED_SECONDS, Hosts, for_instance
from peerage.client.places import places_of
from peerage.client.recent import Recent
from peerage.directory import Directory
from peerage.errors import NotDiscoveredError, NotReadyError
from peerage.records.instance import Instance
from peerage.records.names import is_logical, parse_host

__all__ = ["Discoverable", "DiscoveryResolver", "SharedResolver"]

# Instances looked up at the same time: the connector tries their addresses one after the other.
_AT_ONCE: Final = 3

#: Names remembered as answered; see :meth:`SharedResolver.forget`.
_REMEMBERED: Final = 4096


class Discoverable(Protocol):
    """What the resolver needs to know: a Discovery or a Client."""

    @property
    def directory(self) -> Directory:
        """Who is there."""

    async def ready(self) -> object:
        """Return when the directory has had its first snapshot.

        Raises:
            NotReadyError: none arrived in time.
        """


class DiscoveryResolver(AbstractResolver):
    """A resolver for an ``aiohttp.TCPConnector`` of your own; any other name is resolved as always.

    The connector remembers answers for 10 s unless told otherwise (``use_dns_cache=False``), and keeps
    connections under the logical name. A session of the Discovery does better: it balances each request.

    Args:
        discovery: who is there.
        hosts: looks up the hosts of instances.
        rng: source of randomness for the order of instances.
    """

    def __init__(
        self, discovery: Discoverable, *, hosts: Hosts | None = None, rng: Random | None = None
    ) -> None:
        self._discovery = discovery
        self._hosts = Hosts(Recent(UNRESOLVED_SECONDS, time.monotonic)) if hosts is None else hosts
        self._rng = Random() if rng is None else rng  # noqa: S311 - spreads load, keeps no secret
        self._others: AbstractResolver | None = None

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return addresses of *host* in aiohttp's form; for a ``.asab`` one with the ports of its instances.

        Args:
            host: the name.
            port: goes into the answers for other names; instances have their own.
            family: ``AF_INET``, ``AF_INET6`` or ``AF_UNSPEC``.

        Raises:
            NotDiscoveredError: nobody callable is known by that name, or no host of theirs resolves.
            OSError: another name doesn't resolve.
        """
        if is_logical(host):
            return await self._resolve_logical(host, family)
        found = await self._resolve_other(host, port, family)
        return self._allowed(host, found) if for_instance.get() else found

    async def close(self) -> None:
        """Nothing is kept open."""
        if self._others is not None:
            await self._others.close()

    def _allowed(self, host: str, found: list[ResolveResult]) -> list[ResolveResult]:
        """Return those of *found*, addresses of an instance's *host*, that may be called.

        Raises:
            OSError: none may.
        """
        networks = self._discovery.directory.networks
        allowed = [each for each in found if networks.allows(each["host"])]
        if not allowed:
            address = found[0]["host"]
            raise socket.gaierror(
                socket.EAI_FAIL, f"{host!a} is {address}, which {networks.why_not(address)}"
            )
        return allowed

    async def _resolve_other(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        if self._others is None:
            self._others = ThreadedResolver()
        return await self._others.resolve(host, port, family)

    async def _resolve_logical(self, host: str, family: socket.AddressFamily) -> list[ResolveResult]:
        key, value = parse_host(host)
        try:
            await self._discovery.ready()
        except NotReadyError as error:
            # A TimeoutError would reach the caller as aiohttp's own, without what this one says.
            raise NotDiscoveredError(str(error)) from error
        directory = self._discovery.directory
        targets = directory.targets(key, value)
        if not targets:
            raise explain.not_discovered(directory, key, value)
        shuffled = self._rng.sample(targets, len(targets))
        attempts: list[Attempt] = []
        for start in range(0, len(shuffled), _AT_ONCE):
            some = shuffled[start : start + _AT_ONCE]
            answers = await asyncio.gather(
                *(self._resolve_instance(instance, family, attempts) for instance in some)
            )
            found = [result for answer in answers for result in answer]
            if found:
                return [{**result, "hostname": host} for result in found]
        # Nowhere else to go: wait for the names whose look-up takes its time.
        if await self._hosts.outwait({place.host for each in shuffled for place in places_of(each)}):
            for instance in shuffled:
                answers_of_one = await self._resolve_instance(instance, family, attempts)
                if answers_of_one:
                    return [{**result, "hostname": host} for result in answers_of_one]
        raise explain.unresolved(key, value, attempts)

    async def _resolve_instance(
        self, instance: Instance, family: socket.AddressFamily, attempts: list[Attempt]
    ) -> Sequence[ResolveResult]:
        for place in places_of(instance):
            try:
                found = await self._hosts.resolve(place.host, place.port, family)
                return self._allowed(place.host, found)
            except OSError as error:
                attempts.append((f"{place.host}:{place.port}", error.strerror or str(error)))
        return ()


class SharedResolver(DiscoveryResolver):
    """The resolver of the connector that all sessions of a Client share.

    Hosts of instances are looked up by :class:`Hosts`; the middleware tries the other names of an instance
    itself, so that each has its own connections.

    Args:
        discovery: who is there.
        hosts: looks up the hosts of instances.
        rng: source of randomness for the order of instances.
    """

    def __init__(self, discovery: Discoverable, *, hosts: Hosts, rng: Random) -> None:
        super().__init__(discovery, hosts=hosts, rng=rng)
        self._answered: set[tuple[str, int]] = set()

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> list[ResolveResult]:
        """Return addresses of *host*; see :meth:`DiscoveryResolver.resolve`."""
        results = await super().resolve(host, port, family)
        if is_logical(host) and len(self._answered) < _REMEMBERED:
            self._answered.add((host, port))
        return results

    def forget(self) -> set[tuple[str, int]]:
        """Return the logical names answered since the last call, and their ports, for a cache to drop."""
        answered, self._answered = self._answered, set()
        return answered

    async def _resolve_other(self, host: str, port: int, family: socket.AddressFamily) -> list[ResolveResult]:
        if for_instance.get():
            return await self._hosts.resolve(host, port, family)
        return await super()._resolve_other(host, port, family)
