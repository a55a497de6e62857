"""Sessions that call services by name."""

import asyncio
import random
import resource
import socket
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

import aiohttp
from yarl import URL

from peerage.balancing import (
    NOWHERE,
    Balancer,
    Ejection,
    Place,
    Score,
    least_outstanding,
    reported_load,
)
from peerage.calling import Addresses, CallContext, CallOptions, Host
from peerage.client.arrivals import Arrivals
from peerage.client.authorize import Authorize
from peerage.client.backups import Backups
from peerage.client.connections import MOST_IDLE, Connections, InstanceConnector
from peerage.client.exchange import Resources
from peerage.client.intime import Timely
from peerage.client.journal import Journal
from peerage.client.lookup import HostLookup, start_thread
from peerage.client.middleware import BalancingMiddleware
from peerage.client.prober import Prober
from peerage.client.resolver import SharedResolver
from peerage.directory import Change, DirectoryEvent
from peerage.errors import RegistryClosedError
from peerage.membership import Membership
from peerage.records.instance import DRAINING
from peerage.telemetry import Telemetry
from peerage.timing import monotonic

#: Connections of the shared connector at most, if the process may open that many descriptors twice.
_MOST_CONNECTIONS: Final = 4096

#: Seconds that connections have for closing.
_CLOSING_SECONDS: Final = 0.5


class Client:
    """Makes sessions that share their connections, and what is known about each instance.

    Touches no event loop before the first session, and belongs to that session's loop from then on.

    Args:
        membership: the instances, and whether they are known.
        rng: source of randomness.
        limit: connections in use at the same time, 0 for any number; requests beyond it wait. By default half
            of the descriptors the process may open, at most 4096. aiohttp's own default of 100 starves a
            service with more concurrent requests than that, for seconds, while its peers are idle.
        options: how calls deal with failures.
        ejection: when instances that fail are ejected.
        place: where this process runs.
        score: which of two instances is the better one; least_outstanding by default.
        telemetry: what attempts are reported to.
        disk_cache_tokens: whether internal tokens are sent without TLS to addresses of the disk cache.
        clock: monotonic time in seconds.
        getaddrinfo: looks up the hosts of instances, like ``socket.getaddrinfo``.
        start_lookup: runs one look-up, which may block, and returns at once; in a thread by default.
        make_socket: makes the socket of a connection, like ``socket.socket``.
    """

    def __init__(
        self,
        membership: Membership,
        *,
        rng: random.Random | None = None,
        limit: int | None = None,
        options: CallOptions | None = None,
        ejection: Ejection | None = None,
        place: Place = NOWHERE,
        score: Score | None = None,
        telemetry: Telemetry | None = None,
        disk_cache_tokens: bool = False,
        clock: Callable[[], float] = monotonic,
        getaddrinfo: Callable[..., list[tuple[Any, ...]]] = socket.getaddrinfo,
        start_lookup: Callable[[Callable[[], None]], None] = start_thread,
        make_socket: Callable[[int, int, int], socket.socket] = socket.socket,
    ) -> None:
        rng = random.Random() if rng is None else rng  # noqa: S311 - spreads load, keeps no secret
        self.membership = membership
        """The instances, and whether they are known."""
        self.journal = Journal(membership.directory.get)
        """Counts and logs what happens to calls."""
        self.balancer = Balancer(
            rng, clock, score=score or least_outstanding, ejection=ejection, observer=self.journal
        )
        """Chooses among them."""
        self.lookup = HostLookup(Addresses(clock), getaddrinfo=getaddrinfo, start=start_lookup)
        """Looks up their hosts."""
        self._rng = rng
        descriptors = _descriptors()
        self._limit = min(_MOST_CONNECTIONS, descriptors // 2) if limit is None else limit
        self._connections = Connections(
            min(MOST_IDLE, descriptors // 4), () if disk_cache_tokens else membership.directory.unconfirmed
        )
        context = CallContext(
            membership.directory, self.balancer, self.lookup.addresses, clock, rng.random, place
        )
        self.context = context
        """What all calls share."""
        self._prober = Prober(context, self.lookup)
        self._backups = Backups(context, self._connections, self._prober.start)
        self._prober.on_failure = self._backups.check
        self._arrivals = Arrivals(context, self.journal)
        self._resources = Resources(
            context,
            self.lookup,
            self._connections,
            self._prober,
            self._backups,
            self._arrivals,
            reads_load=score is reported_load,
            as_of=membership.as_of,
            telemetry=telemetry,
        )
        self._options = CallOptions() if options is None else options
        self._unsubscribe = membership.directory.subscribe(self._changed)
        membership.on_suspension.append(self._connections.close_idle)
        self._connector: aiohttp.TCPConnector | None = None
        self._new_socket = make_socket
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._resolver: SharedResolver | None = None
        self._closed = False

    def session(
        self,
        base_url: str | URL | None = None,
        *,
        headers: Any = None,
        authorize: aiohttp.ClientMiddlewareType | None = None,
        options: CallOptions | None = None,
        **kwargs: Any,
    ) -> aiohttp.ClientSession:
        """Return a session to which ``http://<value>.<key>.asab`` is any live instance; the caller closes it.

        It is a plain ``aiohttp.ClientSession``, and cheap: connections are shared between all of them.

        Args:
            base_url: what relative URLs are joined to; may be a ``.asab`` one.
            headers: sent with each request.
            authorize: a middleware that authorizes requests; it runs inside those of *middlewares*, so each
                retry that they make is authorized anew.
            options: how its calls deal with failures; by default those of the client.
            **kwargs: handed on to ``aiohttp.ClientSession``. ``middlewares`` run outside of ours. A
                ``connector`` of your own is used, and owned as aiohttp says.

        Raises:
            RegistryClosedError: the client was closed.
            RuntimeError: no event loop is running.
        """
        if self._closed:
            raise RegistryClosedError("The Discovery is closed: make the session before, and close it first.")
        if kwargs.get("connector") is None:
            kwargs["connector"] = self._shared_connector()
            kwargs["connector_owner"] = False
        if isinstance(authorize, Authorize):
            kwargs["trace_configs"] = [*(kwargs.get("trace_configs") or ()), authorize.trace]
        options = options or self._options
        balancing = BalancingMiddleware(self.membership, self._resources, options)
        own = (balancing,) if authorize is None else (Timely(options), authorize, balancing)
        kwargs["middlewares"] = (*(kwargs.get("middlewares") or ()), *own)
        return aiohttp.ClientSession(base_url, headers=headers, **kwargs)

    async def aclose(self) -> None:
        """Close all connections, open sessions' included, within a second; may be called twice."""
        if not self._closed:
            self.membership.on_suspension.remove(self._connections.close_idle)
        self._closed = True
        self._unsubscribe()
        self._arrivals.close()
        self._backups.close()
        self.journal.close()
        await self._prober.aclose()
        connector, self._connector = self._connector, None
        if connector is not None:
            try:
                await asyncio.wait_for(connector.close(), _CLOSING_SECONDS)
            except TimeoutError:
                self._break_connections()

    def _break_connections(self) -> None:
        """Break connections that still have data to send to a peer that doesn't read."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _shared_connector(self) -> aiohttp.TCPConnector:
        connector = self._connector
        if connector is None:
            self._resolver = SharedResolver(self, lookup=self.lookup, rng=self._rng)
            connector = self._connector = InstanceConnector(
                self._connections,
                limit=self._limit,
                resolver=self._resolver,
                socket_factory=self._make_socket,
            )
        return connector

    def _make_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, _ = address
        made = self._new_socket(family, kind, protocol)
        self._sockets.add(made)
        return made

    def _changed(self, event: DirectoryEvent) -> None:
        if not isinstance(event, Change):
            return
        self._arrivals.changed(event)
        before, after = event
        if before is not None and (after is None or after.name != before.name):
            self.balancer.forget(before.name, drained=before.state == DRAINING)
            self.journal.forget(before.name)
            self._connections.leave(before.name)
        if after is not None and (before is None or after.name != before.name):
            # A restarted service may have other addresses under the same host name.
            for endpoint in after.endpoints:
                self.lookup.addresses.renew(Host(endpoint.host, endpoint.family))
            if before is None and self.membership.ready:
                # It has just joined, and wasn't there before this process.
                self.balancer.joined(after.name)
        if after is not None and after.suspect and any(map(self.balancer.was_called, after.ids)):
            # A dead one would cost a call that finds no other instance an attempt.
            self._prober.check(after)
        if self._connector is not None and self._resolver is not None:
            self.lookup.start(self.lookup.addresses.take_due())
            # Logical names are resolved anew: an instance that answered to one may just have left.
            for host, port in self._resolver.forget():
                self._connector.clear_dns_cache(host, port)


def _descriptors() -> int:
    """Return how many descriptors this process may open."""
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 4 * _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else max(4, soft)
