"""The façade: one object by which a service is found and finds others."""

import asyncio
import os
import secrets
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final, Unpack

from peerage.directory import SUSPECT_SECONDS
from peerage.disk_cache import DiskCache, key_cache_of
from peerage.errors import ConfigurationError, RegistryClosedError
from peerage.finder import Finder
from peerage.membership import READY_TIMEOUT
from peerage.predecessors import Predecessors
from peerage.records.advert import Advert, AdvertFields
from peerage.records.identity import Identity, read_identity
from peerage.records.names import BUILTIN_KEYS, fold_value
from peerage.records.process import has_ended, process_key
from peerage.records.text import shorten
from peerage.registration import LAME_DUCK, Registration, withdraw_all
from peerage.registry import OwnRecords, Registry, Removal
from peerage.waiting import first_of

if TYPE_CHECKING:
    import ssl

    import aiohttp
    from aiohttp.typedefs import LooseHeaders
    from yarl import URL

    from peerage.auth.authorization import Authorization, TokenCounts
    from peerage.balancing import Balancer, CallCounts, Ejection, Place, Score
    from peerage.calling import CallOptions
    from peerage.client import Client
    from peerage.telemetry import Telemetry

#: Seconds that a registry out of reach has for saying that it refuses.
REFUSAL_TIMEOUT: Final = 0.2


class Discovery(Finder):
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
        authorization: ``"cluster"``: internal tokens are those of ASAB, with one key for the cluster;
            ``"instance"``: each instance has a key, published in its record. All services must use the same.
        allowed_networks: only instances in these networks are called, ``"10.0.0.0/8, 127.0.0.0/8"``; None: in
            any.
        suspect_seconds: how long an instance stays known, as a suspect, if its record vanishes together with
            many others, or as the last one of a name. It may be alive: it is called if there is no other, and
            dropped when it refuses a connection. 0: not at all.
        disk_cache: where what is known is saved, for a start while the registry is out of reach: a folder;
            True: a default one; False: nowhere. None: as ``PEERAGE_DISK_CACHE`` says, by default True, but
            False if *registry* is an object. ``embedded:`` and ``memory:`` have none.
        disk_cache_tokens: whether internal tokens are sent over plain http to addresses that are known from
            the disk cache only.
        disk_cache_key: whether the private key of internal tokens is saved there as well, so that they are
            sent and accepted after a start without the registry: all processes of this user can read it.
        calls: how calls deal with failures, and which instances they prefer.
        ejection: when instances that fail are ejected, so that they get no requests for a while.
        score: which of two instances gets a request; by default :func:`peerage.balancing.least_outstanding`.
        telemetry: where calls are reported, for example :class:`peerage.telemetry.OpenTelemetry`.

    Raises:
        ConfigurationError: the registry's URL can't work, or a name that no URL can contain.
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
        authorization: str = "cluster",
        allowed_networks: str | Sequence[str] | None = None,
        suspect_seconds: float = SUSPECT_SECONDS,
        disk_cache: bool | str | os.PathLike[str] | DiskCache | None = None,
        disk_cache_tokens: bool = False,
        disk_cache_key: bool = False,
        calls: "CallOptions | None" = None,
        ejection: "Ejection | None" = None,
        score: "Score | None" = None,
        telemetry: "Telemetry | None" = None,
    ) -> None:
        super().__init__(
            registry,
            ready_timeout=ready_timeout,
            allowed_networks=allowed_networks,
            suspect_seconds=suspect_seconds,
            disk_cache=disk_cache,
        )
        self.key_root = ""
        """The path below which the cluster's key is, where several clusters share the servers."""
        ids = {"service_id": service_id, "instance_id": instance_id, "node_id": node_id, "site_id": site_id}
        self._ids: dict[str, Any] = {key: value for key, value in ids.items() if value is not None}
        for key, value in self._ids.items():
            _check_name(key, value)
        self._identity = identity
        self._registrations: dict[Registration, None] = {}
        self._predecessors: Predecessors | None = None
        self._disk_cache_tokens = disk_cache_tokens
        self._disk_cache_key = disk_cache_key
        self._calls = calls
        self._ejection = ejection
        self._score = score
        self._telemetry = telemetry
        self._unobserve: Callable[[], object] | None = None
        self._client: Client | None = None
        self._mode = authorization
        self._auth: Authorization | None = None
        self._logged_hosts: set[str] = set()

    def start(self) -> None:
        """Open it where there is no ``async with``; see :meth:`Finder.start`."""
        super().start()
        if self._telemetry is None:
            return
        from peerage.telemetry import RegistryTelemetry  # noqa: PLC0415 - most programs don't need it

        if isinstance(self._telemetry, RegistryTelemetry):
            self._unobserve = self._telemetry.registry(self.registry.url, lambda: self.age)

    async def _close(self) -> None:
        if self._unobserve is not None:
            self._unobserve()
        if self._auth is not None:
            await self._auth.aclose()
        if self._predecessors is not None:
            await self._predecessors.aclose()
        try:
            await asyncio.gather(*(registration.announce() for registration in self._registrations))
            await super()._close()
        finally:
            for registration in tuple(self._registrations):
                registration.ended()

    def _ends(self) -> list[Coroutine[Any, Any, None]]:
        ends = super()._ends() or [withdraw_all(self._registrations)]
        return ends if self._client is None else [*ends, self._client.aclose()]

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

    def _place(self) -> "Place":
        from peerage.balancing import Place  # noqa: PLC0415 - only what calls others needs it

        ids = dict(sorted(self.own_ids()))
        return Place(ids.get("node_id"), ids.get("site_id"))

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
        soon as that is back. If this Discovery drains meanwhile, it returns as well.

        Args:
            advert: what to advertise; nothing by default.
            fields: of :class:`peerage.Advert`, which win over *advert*.

        Raises:
            RecordError: something of it can't be advertised.
            RegistryDeniedError: the registry refuses it: access, size or path.
        """
        registration = self.register(advert, **fields)
        try:
            await first_of(registration.registered(), self._unreachable())
        except BaseException as error:
            if isinstance(error, RegistryClosedError) and registration.draining:
                return registration
            await registration.withdraw()
            raise
        return registration

    async def _unreachable(self) -> None:
        """Wait until the registry is out of reach, and hasn't refused: it may be called out of reach then."""
        await self.membership.wait_stale()
        await asyncio.sleep(REFUSAL_TIMEOUT)

    def register(self, advert: Advert | None = None, /, **fields: Unpack[AdvertFields]) -> Registration:
        """Begin to advertise, and return at once; the arguments are those of :meth:`advertise`.

        A registry that refuses is logged, and asked again later.

        Raises:
            RecordError: something of it can't be advertised.
            RegistryDeniedError: the record is too large.
        """
        self._check_open()
        advert = (advert or Advert()).changed(**fields)
        if self._predecessors is None and isinstance(self.registry, Removal):
            self._predecessors = Predecessors(self.membership, self.registry, self.own_ids, self._has_ended)
        registration = Registration(
            self.registry,
            replace(advert, identity=advert.identity or self.identity()),
            auth_key=None if self._mode == "cluster" else self.auth.record_key,
            nonce=self._make_nonce(),
            process_key=self._process_key,
            on_withdraw=lambda withdrawn: self._registrations.pop(withdrawn, None),
        )
        self._registrations[registration] = None
        if self._client is not None:
            # Its manifest may say where it runs.
            self._client.context.place = self._place()
        return registration

    @staticmethod
    def _process_key(process_id: int) -> str | None:
        """Return what tells this process from others with its number; None for another number."""
        return process_key(process_id) if process_id == os.getpid() else None

    @staticmethod
    def _has_ended(process_id: object, key: object) -> bool:
        """Tell whether the process of a record of this host has certainly ended."""
        return has_ended(process_id, key)

    @staticmethod
    def _make_nonce() -> str:
        """Return what tells a new record from all others."""
        return secrets.token_hex(8)

    async def drain(self, lame_duck: float = LAME_DUCK) -> None:
        """Drain everything that was advertised, all at the same time, as :meth:`Registration.drain` does.

        Args:
            lame_duck: seconds to wait between publishing that no new requests are wanted and withdrawing.
        """
        await asyncio.gather(*(each.drain(lame_duck) for each in tuple(self._registrations)))

    # Call and be called

    def session(
        self,
        base_url: "str | URL | None" = None,
        auth: "aiohttp.BasicAuth | str | None" = None,
        headers: "LooseHeaders | None" = None,
        *,
        resources: Mapping[str, Sequence[str]] | None = None,
        calls: "CallOptions | None" = None,
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
            calls: how its calls deal with failures, instead of what was given to the Discovery. For single
                calls see :func:`peerage.call_options`.
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
        if self._client is None:
            self._client = self._make_client()
        if auth == "internal":
            from peerage.client import Authorize  # noqa: PLC0415 - loads aiohttp

            # A cluster token is every service's, so a redirect to another name gives nothing away.
            kwargs["authorize"] = Authorize(
                self.auth.header(resources), same_name=self._mode == "instance", logged=self._logged_hosts
            )
        elif auth is not None:
            kwargs["auth"] = auth
        return self._client.session(base_url, headers=headers, options=calls, **kwargs)

    def _make_client(self, **parts: Any) -> "Client":
        """Return what makes the sessions; *parts* of the system that it uses can be replaced."""
        from peerage.client import Client  # noqa: PLC0415 - loads aiohttp

        return Client(
            self.membership,
            options=self._calls,
            ejection=self._ejection,
            score=self._score,
            telemetry=self._telemetry,
            place=self._place(),
            disk_cache_tokens=self._disk_cache_tokens,
            **parts,
        )

    def call_counts(self) -> "CallCounts":
        """Return counters of what happened to all calls so far."""
        from peerage.balancing import Observer  # noqa: PLC0415 - programs that call nothing don't need it

        return Observer().counts() if self._client is None else self._client.journal.counts()

    def token_counts(self) -> "TokenCounts | None":
        """Return counters of what happened to the tokens of callers; None before :attr:`auth` was used."""
        return None if self._auth is None else self._auth.counts()

    @property
    def balancer(self) -> "Balancer | None":
        """What chooses instances for calls, and its figures; None before the first session."""
        return None if self._client is None else self._client.balancer

    @property
    def registrations(self) -> tuple[Registration, ...]:
        """What is advertised."""
        return tuple(self._registrations)

    @property
    def auth(self) -> "Authorization":
        """What verifies the tokens of callers: ``discovery.auth.verifier(keys_url)``.

        Raises:
            MissingExtraError: the package that verifies them isn't installed.
        """
        if self._auth is None:
            from peerage.auth.authorization import Authorization  # noqa: PLC0415 - loads cryptography

            self._auth = Authorization(
                self.membership,
                mode=self._mode,
                identity=self.identity,
                names=self.own_ids,
                fetch=self._fetch_keys,
                key_root=self.key_root,
                key_cache=(
                    key_cache_of(self.registry.url, self._disk_cache_choice) if self._disk_cache_key else None
                ),
            )
        return self._auth

    async def _fetch_keys(self, url: str, *, tls: "ssl.SSLContext | None") -> bytes:
        from peerage.client.fetch import fetch_document  # noqa: PLC0415 - loads aiohttp

        return await fetch_document(self.session, url, tls=tls)


def _check_name(key: str, value: object) -> None:
    if not isinstance(value, str) or not value.isprintable() or any(map(str.isspace, value)):
        raise ConfigurationError(
            f"{key}={shorten(value)} can't be a name: give a text without blanks and control characters, "
            f"which others write in URLs, http://<{key}>.{key}.asab."
        )
