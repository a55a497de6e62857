"""The façade: one object by which a service is found and finds others."""

import asyncio
import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Self, Unpack

from peerage.advert import Advert, AdvertFields
from peerage.changes import Changes
from peerage.directory import Criteria, Directory, fold_criteria
from peerage.directory.suggest import KeySpelling
from peerage.errors import ConfigurationError, RegistryClosedError
from peerage.membership import READY_TIMEOUT, Membership
from peerage.records.identity import Identity, host_key, read_identity
from peerage.records.instance import Id, Instance
from peerage.records.names import BUILTIN_KEYS, fold_value
from peerage.records.networks import read_networks
from peerage.registration import Registration, registered_or, withdraw_all
from peerage.registry import OwnRecords, Registry, open_registry

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.typedefs import LooseHeaders
    from yarl import URL

    from peerage.auth.authorization import Authorization
    from peerage.client import Client

__all__ = ["DEFAULT_REGISTRY", "Discovery"]

#: The registry if neither the argument nor ``PEERAGE_REGISTRY`` names one: this machine, without a server.
DEFAULT_REGISTRY: Final = "embedded:"


class Discovery:
    """Advertises this service, finds others, and calls them by name.

    ::

        async with Discovery(service_id="shop") as discovery:
            await discovery.advertise(port=8080)
            async with discovery.session() as session:
                async with session.get("http://orders.service_id.asab/v1/orders") as response:
                    print(await response.json())

    Entering doesn't wait: a service must start while the registry is down. Leaving withdraws what was
    advertised and closes everything but the sessions, which the caller closes. Before and after, every method
    raises RegistryClosedError.

    Args:
        registry: URL of the registry, or a :class:`peerage.Registry`, which the caller closes. By default
            ``PEERAGE_REGISTRY``, else ``embedded:``.
        service_id: name of the service; by default ``SERVICE_ID`` of the environment, and likewise:
        instance_id: name of this process, unique in the cluster.
        node_id: name of the machine.
        site_id: name of the data centre.
        identity: everything about this process; by default the environment is read at each advertisement.
        ready_timeout: seconds that :meth:`locate` and others wait for the first snapshot of the registry.
        authorization: ``"shared"``: internal tokens are ASAB's, with one key for the cluster; ``"instance"``:
            each instance has its own key, published in its record. All services must use the same.
        allowed_networks: only instances in these networks are called, ``"10.0.0.0/8, 127.0.0.0/8"``; None: in
            any.

    Raises:
        ConfigurationError: the registry's URL can't work.
        MissingExtraError: its backend needs a package that isn't installed.
    """

    def __init__(
        self,
        registry: str | Registry | None = None,
        *,
        service_id: str | None = None,
        instance_id: str | None = None,
        node_id: str | None = None,
        site_id: str | None = None,
        identity: Identity | None = None,
        ready_timeout: float = READY_TIMEOUT,
        authorization: str = "shared",
        allowed_networks: str | Sequence[str] | None = None,
    ) -> None:
        if registry is None:
            registry = os.environ.get("PEERAGE_REGISTRY") or DEFAULT_REGISTRY
        self._owned = isinstance(registry, str)
        self.registry: Registry = open_registry(registry) if isinstance(registry, str) else registry
        self.membership = Membership(
            self.registry,
            Directory(host_key=host_key(), networks=read_networks(allowed_networks)),
            ready_timeout=ready_timeout,
        )
        self.key_root = ""
        """The path below which the cluster's key is, where several clusters share the servers."""
        ids = {"service_id": service_id, "instance_id": instance_id, "node_id": node_id, "site_id": site_id}
        self._ids: dict[str, Any] = {key: value for key, value in ids.items() if value is not None}
        self._identity = identity
        self._registrations: set[Registration] = set()
        self._changes: set[Changes] = set()
        self._spelling = KeySpelling(self.directory)
        self._client: Client | None = None
        self._mode = authorization
        self._auth: Authorization | None = None
        self._withheld: set[str] = set()
        self._started = False
        self._closing: asyncio.Future[None] | None = None

    # Open and close

    async def __aenter__(self) -> Self:
        self.start()
        return self

    def start(self) -> None:
        """Open it where there is no ``async with``; :meth:`aclose` must be called in the end.

        Needs the running event loop, and doesn't wait.

        Raises:
            RegistryClosedError: it was opened before.
        """
        if self._started or self._closing is not None:
            raise RegistryClosedError("A Discovery is opened once: make another one.")
        self._started = True
        self.membership.start()

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Withdraw what was advertised and close everything, within about a second; may be called twice.

        If it is cancelled, closing goes on; call it again to wait for the rest.
        """
        if self._closing is None:
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    async def _close(self) -> None:
        for changes in tuple(self._changes):
            changes.close()
        await self.membership.aclose()
        if self._auth is not None:
            await self._auth.aclose()
        ends = [self.registry.aclose()] if self._owned else [withdraw_all(self._registrations)]
        if self._client is not None:
            ends.append(self._client.aclose())
        errors = await asyncio.gather(*ends, return_exceptions=True)
        for registration in tuple(self._registrations):
            registration.ended()
        for error in errors:
            if isinstance(error, BaseException):
                raise error

    def _check_open(self) -> None:
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
        """Seconds since the directory was last certain: 0 in touch, ``inf`` before the first snapshot."""
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

    # Be found

    def identity(self) -> Identity:
        """Return who this process is: as given, else as the environment says now."""
        return replace(self._identity or read_identity(), **self._ids)

    def own_ids(self) -> set[tuple[str, str]]:
        """Return the ``(key, value)`` pairs, folded, by which this process is called."""
        if self._identity is None:
            ids = {key: os.environ.get(key.upper()) for key in BUILTIN_KEYS}
        else:
            ids = {key: getattr(self._identity, key) for key in BUILTIN_KEYS}
        own = {(key, fold_value(value)) for key, value in (ids | self._ids).items() if value}
        return own.union(*(registration.ids for registration in self._registrations))

    def own_records(self) -> OwnRecords:
        """Return the names that this process's records in the registry have or had."""
        return self.registry.own_records

    async def advertise(
        self, advert: Advert | None = None, /, **fields: Unpack[AdvertFields]
    ) -> Registration:
        """Advertise this process until it ends, withdraws or closes this Discovery.

        ::

            registration = await discovery.advertise(port=8080, ids={"shard": [1, 2]})

        Returns once others can find it, or at once while the registry is out of reach: it is registered as
        soon as that is back.

        Args:
            advert: what to advertise; nothing by default.
            fields: of :class:`peerage.Advert`, which win over *advert*.

        Raises:
            RecordError: something of it can't be advertised.
            RegistryDeniedError: the registry won't take it; trying again won't help.
        """
        registration = self.register(advert, **fields)
        try:
            await registered_or(registration, self.membership.wait_stale())
        except BaseException:
            await registration.withdraw()
            raise
        return registration

    def register(self, advert: Advert | None = None, /, **fields: Unpack[AdvertFields]) -> Registration:
        """Begin to advertise, and return at once; the arguments are those of :meth:`advertise`.

        A registry that refuses is logged, and asked again with its next connection.

        Raises:
            RecordError: something of it can't be advertised.
            RegistryDeniedError: the record is too large.
        """
        self._check_open()
        advert = (advert or Advert()).changed(**fields)
        registration = Registration(
            self.registry,
            replace(advert, identity=advert.identity or self.identity()),
            auth_key=None if self._mode == "shared" else self.auth.record_key,
            on_withdraw=self._registrations.discard,
        )
        self._registrations.add(registration)
        return registration

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
        # Some services call this for each request, so nothing is awaited that needn't be.
        if not self.membership.ready or self._closing is not None:
            await self.ready()
        wanted = _fold(criteria, ids)
        found = set(self.directory.urls(wanted))
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

    # Call and be called

    def session(
        self,
        base_url: "str | URL | None" = None,
        auth: "aiohttp.BasicAuth | str | None" = None,
        headers: "LooseHeaders | None" = None,
        *,
        resources: Mapping[str, Sequence[str]] | None = None,
        **kwargs: Any,
    ) -> "aiohttp.ClientSession":
        """Return an :class:`aiohttp.ClientSession` that knows the hosts ``<value>.<key>.asab``.

        Each request to such a host goes to one of its live instances, and to another if a connection can't be
        made; everything else works as in aiohttp. All sessions share one pool of connections, so a session
        per request is cheap. Close it, or use it in ``async with``.

        Args:
            base_url: in front of relative URLs, ``http://orders.service_id.asab/v1/``.
            auth: ``"internal"``: requests to ``.asab`` hosts, no others, carry an internal token, a
                superuser's unless *resources* say less, if they have no Authorization. Else as in aiohttp.
            headers: sent with each request.
            resources: what an instance's own internal tokens allow: ``{"*": ["orders:read"]}``.
            kwargs: go to aiohttp.

        Raises:
            ConfigurationError: *auth* is another text, or *resources* are missing or not wanted.
            MissingExtraError: ``"internal"`` without the package that signs.
        """
        self._check_open()
        if auth != "internal" and (isinstance(auth, str) or resources is not None):
            raise ConfigurationError(
                "The only text that 'auth' can be is 'internal', and 'resources' need it: to send a token of "
                "your own write headers={'Authorization': 'Bearer …'}."
            )
        from peerage.client import Authorize, Client  # noqa: PLC0415 - loads aiohttp

        if self._client is None:
            self._client = Client(self.membership)
        if auth == "internal":
            kwargs["authorize"] = Authorize(self.auth.header(resources), self._withheld)
        elif auth is not None:
            kwargs["auth"] = auth
        return self._client.session(base_url, headers=headers, **kwargs)

    @property
    def auth(self) -> "Authorization":
        """What verifies the tokens of callers: ``discovery.auth.verifier(keys_url)``.

        Raises:
            MissingExtraError: the package that verifies them isn't installed.
        """
        if self._auth is None:
            from peerage.auth.authorization import Authorization  # noqa: PLC0415 - loads cryptography

            self._auth = Authorization(self, self._mode)
        return self._auth


def _fold(criteria: Mapping[str, object] | None, ids: Mapping[str, object]) -> Criteria:
    if criteria is not None and not isinstance(criteria, Mapping):
        raise TypeError(f"Name the key of the id: write service_id={criteria!r}, or another key.")
    # Not one dictionary of both: criteria that contradict each other match no instance.
    return fold_criteria(ids) if criteria is None else fold_criteria(criteria) + fold_criteria(ids)
