"""Finds and calls other services: ``asab.DiscoveryService``."""

import asyncio
import logging
import socket
import time
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Final

import aiohttp.web
from aiohttp.hdrs import AUTHORIZATION

from peerage.asab.abc import Service
from peerage.asab.api.framework import framework_of
from peerage.asab.parts import Phase
from peerage.client import Authorize, resolver
from peerage.directory import fold_criteria
from peerage.errors import NotDiscoveredError, NotReadyError
from peerage.records.instance import Id, Instance
from peerage.records.names import is_logical, parse_host

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult
    from aiohttp.typedefs import LooseHeaders
    from yarl import URL

    from peerage.asab.application import Application
    from peerage.asab.zookeeper import ZooKeeperContainer
    from peerage.directory import Criteria, Directory
    from peerage.discovery import Discovery
    from peerage.membership import Membership

__all__ = ["DiscoveryResolver", "DiscoveryService", "NotDiscoveredError"]

log = logging.getLogger("peerage.asab.api")

#: Host or address, port, ``AF_INET`` or ``AF_INET6``.
Address = tuple[str, int, int]

#: Keys of a record that the original indexes, besides the keys of ``discovery``.
_INDEXED: Final = ("instance_id", "service_id")

_ID_TYPES: Final = (str, int, float)

#: Seconds of work between two turns of the event loop.
_SLICE: Final = 0.003


class DiscoveryService(Service):
    """Finds services by their ids and calls them by name, over the session of a ZooKeeper container.

    ::

        async with discovery.session() as session:
            async with session.get("http://orders.service_id.asab/v1/orders") as response:
                ...

    Answers come from memory. Only at first they wait until the registry was read, at most
    ``[discovery] ready_timeout`` (or ``PEERAGE_READY_TIMEOUT``), a minute by default. If the registry
    can't be read, they raise a NotDiscoveredError that is a TimeoutError as well.
    """

    peerage_phase: ClassVar[Phase] = Phase.DISCOVERY

    def __init__(
        self, app: "Application", zkc: "ZooKeeperContainer", service_name: str = "asab.DiscoveryService"
    ) -> None:
        super().__init__(app, service_name)
        self.ZooKeeperContainer = zkc
        self.ProactorService = zkc.ProactorService
        self._framework = framework_of(app)
        self._warned_hosts: set[str] = set()
        self._warned: set[str] = set()
        self._warned_empty = False

    async def initialize(self, app: "Application") -> None:  # noqa: ARG002 - the signature of each service
        """Begin to read the registry; only questions wait for it."""
        self._discovery()
        self._framework.accept_internal_tokens(self.ZooKeeperContainer)

    # Questions

    async def locate(
        self, instance_id: "str | Mapping[str, object] | None" = None, **kwargs: object
    ) -> set[str] | None:
        """Return the URLs, ``http://host:port``, of services.

        Args:
            instance_id: the id of one instance; *kwargs* are ignored then. Or a dictionary,
                ``{"service_id": "orders", "shard": 1}``, for the services that have all of these ids.
            kwargs: ids, ``service_id="orders"``, for the services that have any of these ids.

        Returns:
            The URLs; None, and a warning, without any id.
        """
        if isinstance(instance_id, Mapping):
            if instance_id:
                return await self._urls([fold_criteria(instance_id)])
        elif instance_id is not None:
            kwargs = {"instance_id": instance_id}
        if not kwargs:
            log.warning(
                "locate() needs an id: give instance_id, service_id or a custom id, as in "
                "locate(service_id='orders')"
            )
            return None
        return await self._urls(_each(kwargs))

    async def discover(self) -> dict[str, dict[Id, set[Address]]]:
        """Return all callable services: ``{key: {value: {(host, port, family)}}}``, a copy.

        Keys are ``instance_id``, ``service_id`` and the custom keys; values are as advertised: 1 and "1"
        differ.
        """
        directory = await self._directory()
        found: dict[str, dict[Id, set[Address]]] = {"instance_id": {}, "service_id": {}}
        callable_ones = [instance for instance in directory.find() if instance.callable]
        async for instance, record in _records(callable_ones):
            addresses = {(endpoint.host, endpoint.port, endpoint.family) for endpoint in instance.endpoints}
            for key, values in _advertised_ids(record):
                found_of_key = found.setdefault(key, {})
                for value in values:
                    found_of_key.setdefault(value, set()).update(addresses)
        return found

    async def discover_raw(self) -> dict[str, dict[str, Any]]:
        """Return all records by their names, a copy."""
        directory = await self._directory()
        return {instance.name: record async for instance, record in _records(directory)}

    async def get_advertised_instances(self) -> list[dict[str, Any]]:
        """Return all records, each with its name as ``ephemeral_id``."""
        return [{**record, "ephemeral_id": name} for name, record in (await self.discover_raw()).items()]

    async def _locate(self, locate_params: Mapping[str, object]) -> set[Address]:
        """Return host, port and family of the services that have any of these ids."""
        directory = await self._directory()
        return {
            (endpoint.host, endpoint.port, endpoint.family)
            for ((key, value),) in _each(locate_params)
            for instance in directory.targets(key, value)
            for endpoint in instance.endpoints
        }

    # Calls

    def session(
        self,
        base_url: "str | URL | None" = None,
        auth: "aiohttp.web.Request | str | None" = None,
        headers: "LooseHeaders | None" = None,
        **kwargs: Any,
    ) -> "aiohttp.ClientSession":
        """Return an ``aiohttp.ClientSession`` that knows the hosts ``<value>.<key>.asab``; close it.

        Args:
            base_url: the base of relative URLs, ``http://orders.service_id.asab/v1/``.
            auth: None relays the authorization of the request being handled, if there is one; a request
                relays the authorization of that request; ``"internal"`` sends the cluster's internal token.
                Authorization is sent to ``.asab`` hosts only.
            headers: sent with each request to any host; an Authorization header among them wins.
            kwargs: arguments of ``aiohttp.ClientSession``, and *calls*, the :class:`peerage.CallOptions`.

        Raises:
            ValueError: *auth* is something else, or a request without authorization; or it is "internal", and
                the registry can't keep a key.
            MissingExtraError: *auth* is "internal", and the extra for signing isn't installed.
        """
        discovery = self._discovery()
        if auth == "internal":
            self._warn_of_internal()
            return discovery.session(base_url, auth="internal", headers=headers, **kwargs)
        if (header := self._header_of(auth)) is not None:

            async def header_for(_host: str) -> str:
                return header

            kwargs["authorize"] = Authorize(header_for, logged=self._warned_hosts)
        return discovery.session(base_url, headers=headers, **kwargs)

    @property
    def membership(self) -> "Membership":
        """The instances of the cluster, for :class:`peerage.DiscoveryResolver`."""
        return self._discovery().membership

    # Internal

    def _discovery(self) -> "Discovery":
        return self._framework.open_discovery(self.ZooKeeperContainer)

    def _warn_of_internal(self) -> None:
        authz = self._framework.contextvars.Authz.get(None)
        if authz is not None and "internal" not in self._warned:
            self._warned.add("internal")
            log.warning(
                "session(auth='internal') while a request of %r is handled: it calls with the rights of a "
                "superuser. Leave auth out to call with the rights of the request",
                authz,
            )

    def _header_of(self, auth: Any) -> str | None:
        """Return the Authorization header that session(*auth*) sends, None if there is none."""
        if auth is None:
            return self._relayed_header()
        if not isinstance(auth, aiohttp.web.Request):
            raise ValueError(  # noqa: TRY004 - as documented
                f"session(auth={type(auth).__name__}): give a request of aiohttp.web, whose authorization is "
                'sent, "internal", or nothing. Use headers= to send another Authorization header.'
            )
        header = auth.headers.get(AUTHORIZATION)
        if header is None:
            raise ValueError(
                "session(auth=request): this request has no Authorization header to relay. Leave auth out to "
                "call without authorization."
            )
        return header

    def _relayed_header(self) -> str | None:
        """Return the Authorization header of the request being handled, unless it is better not relayed."""
        variables = self._framework.contextvars
        authz, request = variables.Authz.get(None), variables.Request.get(None)
        # A verified token takes precedence over the header of the request.
        token = getattr(authz, "IdToken", None)
        header: str | None = None
        if token is not None:
            header = f"Bearer {token}"
        elif request is not None:
            header = request.headers.get(AUTHORIZATION)
        if header is None:
            return None
        if authz is None and self._framework.unverified:
            reason = "it wasn't verified, as in a handler that is marked noauth"
        elif getattr(authz, "Internal", False):
            reason = "it is the internal token of another service, which has the rights of a superuser"
        else:
            return header
        if reason not in self._warned:
            self._warned.add(reason)
            log.warning(
                "The authorization of the request being handled isn't relayed: %s. Use session(auth=request) "
                "to relay it anyway, or session(auth='internal') to call as this service",
                reason,
            )
        return None

    async def _directory(self) -> "Directory":
        """Return the directory once the registry was read; log if it is empty."""
        discovery = self._discovery()
        await discovery.ready()
        directory = discovery.directory
        empty = len(directory) == 0
        if empty and not self._warned_empty:
            log.warning(
                "No instances to discover. Are the servers and the path of [%s] the same for all services of "
                "the cluster? This service reads %s",
                self.ZooKeeperContainer.ConfigSectionName,
                discovery.registry.url,
            )
        self._warned_empty = empty
        return directory

    async def _urls(self, either: "list[Criteria]") -> set[str]:
        directory = await self._directory()
        return {url for criteria in either for url in directory.urls(criteria)}


class DiscoveryResolver(aiohttp.DefaultResolver):  # type: ignore[misc,valid-type] # aiohttp's choice of two
    """Resolves ``<value>.<key>.asab`` for an ``aiohttp.TCPConnector`` of your own; a session() does better.

    Args:
        svc: the service ``asab.DiscoveryService``; its ``_locate()`` finds the instances.
    """

    def __init__(self, svc: DiscoveryService) -> None:
        super().__init__()
        self.DiscoveryService = svc
        self._by_other_names = resolver.DiscoveryResolver(svc)

    async def resolve(
        self, hostname: str, port: int = 0, family: socket.AddressFamily = socket.AF_INET
    ) -> "list[ResolveResult]":
        """Return addresses in aiohttp's form; for a name in ``.asab``, with the ports of its instances.

        Raises:
            NotDiscoveredError: no callable instance has that name, or none of their hosts resolves.
            OSError: another name doesn't resolve.
        """
        if not is_logical(hostname):
            others: list[ResolveResult] = await super().resolve(hostname, port, family)
            return others
        key, value = parse_host(hostname)
        try:
            addresses = await self.DiscoveryService._locate({key: value})  # noqa: SLF001 - programs override it
        except NotReadyError as error:
            # aiohttp would replace a TimeoutError by one without this message.
            raise NotDiscoveredError(str(error)) from error
        answers = await asyncio.gather(*map(self._resolve_address, sorted(addresses or ())))
        found = [each for answer in answers for each in answer]
        if not found:
            # An instance may have other names and addresses. If none works, the error names all.
            found = await self._by_other_names.resolve(hostname, port, socket.AF_UNSPEC)
        # Of any family, as in the original: an instance is reached by the one it has.
        return found

    async def close(self) -> None:
        """Close the resolvers."""
        await super().close()
        await self._by_other_names.close()

    async def _resolve_address(self, address: Address) -> "list[ResolveResult]":
        host, port, family = address
        try:
            found = await super().resolve(host, port, socket.AddressFamily(family))
        except OSError:
            return []
        networks = self.DiscoveryService.membership.directory.networks
        return [each for each in found if networks.allows(each["host"])]


def _each(ids: Mapping[str, object]) -> "list[Criteria]":
    """Return one criterion for each id."""
    return [fold_criteria({key: value}) for key, value in ids.items()]


async def _records(instances: Iterable[Instance]) -> AsyncIterator[tuple[Instance, dict[str, Any]]]:
    """Yield each instance with its parsed record, with pauses for the event loop."""
    turn_ends = time.monotonic() + _SLICE
    for instance in instances:
        yield instance, instance.record()
        if time.monotonic() >= turn_ends:
            await asyncio.sleep(0)
            turn_ends = time.monotonic() + _SLICE


def _advertised_ids(record: Mapping[str, Any]) -> Iterator[tuple[str, list[Id]]]:
    """Yield each key by which the original finds *record*, with its values: 9 and "9" are two."""
    top = [key for key in _INDEXED if _usable(record.get(key))]
    for key in top:
        yield key, [record[key]]
    custom = record.get("discovery")
    if isinstance(custom, dict):
        for key, values in custom.items():
            if key not in top and isinstance(values, list):
                yield key, [value for value in values if _usable(value)]


def _usable(value: object) -> bool:
    return type(value) in _ID_TYPES and value != ""
