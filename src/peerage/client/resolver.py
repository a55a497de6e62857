"""A resolver for aiohttp's connectors that knows the names in ``.asab``.

A session of ours puts the literal address of an instance into each request, so that this is only asked where
that can't be: by a session made with a connector of the user's own and without our middleware, or for a
request whose ``middlewares=`` replace those of the session. Such connections are pooled by the logical name,
and balanced only when a new one is made.
"""

import asyncio
import socket
from collections.abc import Sequence
from random import Random
from typing import Final, Protocol

from aiohttp import ThreadedResolver
from aiohttp.abc import AbstractResolver, ResolveResult

from peerage.calling import Addresses, Resolution, messages
from peerage.calling.candidates import hosts_of
from peerage.client.lookup import HostLookup
from peerage.errors import NotDiscoveredError, NotReadyError
from peerage.membership import Membership
from peerage.records.instance import Instance
from peerage.records.names import is_logical, parse_host
from peerage.timing import monotonic

#: Names remembered as answered; see :meth:`SharedResolver.forget`.
_REMEMBERED: Final = 4096


class Discoverable(Protocol):
    """What the resolver needs: a Discovery or a Client."""

    @property
    def membership(self) -> Membership:
        """The instances, and whether they are known."""


class DiscoveryResolver(AbstractResolver):
    """A resolver for an ``aiohttp.TCPConnector`` of your own; any other name is resolved as always.

    The connector remembers answers for 10 s unless ``use_dns_cache=False`` is passed, and keeps
    connections under the logical name. A session of the Discovery does better: it balances each request.

    Args:
        discovery: knows the instances.
        lookup: looks up the hosts of instances.
        rng: source of randomness for the order of instances.
    """

    #: Instances in one answer: the connector tries their addresses one after the other.
    at_most = 3

    def __init__(
        self, discovery: Discoverable, *, lookup: HostLookup | None = None, rng: Random | None = None
    ) -> None:
        self._discovery = discovery
        self._lookup = HostLookup(Addresses(monotonic)) if lookup is None else lookup
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
            NotDiscoveredError: no instance can be called by that name, or none of their hosts has an address.
            OSError: another name doesn't resolve.
        """
        if is_logical(host):
            return await self._resolve_logical(host, family)
        if self._others is None:
            self._others = ThreadedResolver()
        return await self._others.resolve(host, port, family)

    async def close(self) -> None:
        """Close the resolver of other names; look-ups of hosts end by themselves."""
        if self._others is not None:
            await self._others.close()

    async def _resolve_logical(self, host: str, family: socket.AddressFamily) -> list[ResolveResult]:
        key, value = parse_host(host)
        try:
            await self._discovery.membership.wait_ready()
        except NotReadyError as error:
            # A TimeoutError would reach the caller as aiohttp's own, without what this one says.
            raise NotDiscoveredError(str(error)) from error
        directory = self._discovery.membership.directory
        targets = directory.targets(key, value)
        if not targets:
            raise NotDiscoveredError(messages.not_discovered(directory, key, value))
        resolution = Resolution(self._lookup.addresses, directory.networks)
        shuffled = self._rng.sample(targets, len(targets))
        found = await self._resolve_instances(host, shuffled, family, resolution)
        if not found and (names := await self._lookup.run(resolution.wait_for_pending())):
            late = [instance for instance in shuffled if instance.name in names]
            found = await self._resolve_instances(host, late, family, resolution)
        if not found:
            raise NotDiscoveredError(messages.unresolved(key, value, resolution.notes))
        return found

    async def _resolve_instances(
        self,
        hostname: str,
        instances: Sequence[Instance],
        family: socket.AddressFamily,
        resolution: Resolution,
    ) -> list[ResolveResult]:
        """Return the addresses of the first *at_most* instances of which any has one."""
        for start in range(0, len(instances), self.at_most):
            answers = await asyncio.gather(
                *(
                    self._resolve_instance(hostname, instance, family, resolution)
                    for instance in instances[start : start + self.at_most]
                )
            )
            if found := [result for answer in answers for result in answer]:
                return found
        return []

    async def _resolve_instance(
        self, hostname: str, instance: Instance, family: socket.AddressFamily, resolution: Resolution
    ) -> list[ResolveResult]:
        found: list[ResolveResult] = []
        for endpoint in instance.endpoints:
            if family not in (socket.AF_UNSPEC, endpoint.family):
                resolution.note(endpoint.host, endpoint, "it listens on addresses of another family")
                continue
            for host in hosts_of(instance, endpoint):
                if addresses := await self._lookup.run(resolution.find(instance, host, endpoint)):
                    found += [_result(hostname, each, endpoint.port, endpoint.family) for each in addresses]
                    break
        return found


class SharedResolver(DiscoveryResolver):
    """The resolver of the connector that all sessions of a Client share."""

    def __init__(self, discovery: Discoverable, *, lookup: HostLookup, rng: Random) -> None:
        super().__init__(discovery, lookup=lookup, rng=rng)
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


def _result(hostname: str, address: str, port: int, family: int) -> ResolveResult:
    return ResolveResult(
        hostname=hostname,
        host=address,
        port=port,
        family=family,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
