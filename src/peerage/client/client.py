"""Sessions that call services by name."""

import asyncio
import errno
import random
import resource
import socket
import time
import weakref
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

import aiohttp
from yarl import URL

from peerage.balancing import Balancer
from peerage.client.authorize import Authorize
from peerage.client.hosts import UNRESOLVED_SECONDS, Hosts, for_instance
from peerage.client.middleware import BalancingMiddleware
from peerage.client.recent import Recent
from peerage.client.resolver import SharedResolver
from peerage.client.route import Router
from peerage.directory import Directory, DirectoryEvent
from peerage.errors import RegistryClosedError

__all__ = ["Client"]

#: Seconds for which an instance that let nobody connect comes last.
REFUSED_SECONDS: Final = 1.0

#: Connections of the shared connector at most, if the process may open that many descriptors twice.
_MOST_CONNECTIONS: Final = 4096

#: Seconds that connections have for closing.
_CLOSING_SECONDS: Final = 0.5


class Client:
    """Makes sessions that share connections, and the knowledge how busy each instance is.

    Touches no event loop before the first session, and belongs to that session's loop from then on.

    Args:
        directory: who is there.
        ready: waits until *directory* has had its first snapshot; raises NotReadyError if it takes too long.
        is_ready: whether it has.
        rng: source of randomness.
        limit: connections at the same time, 0 for any number; requests beyond it wait. By default half of the
            descriptors the process may open, at most 4096. aiohttp's own default of 100 starves a service
            with more concurrent requests than that, seconds long, while its peers are idle.
        clock: monotonic time in seconds.
        getaddrinfo: looks up the hosts of instances, like ``socket.getaddrinfo``; called in threads.
    """

    def __init__(
        self,
        directory: Directory,
        *,
        ready: Callable[[], Awaitable[object]],
        is_ready: Callable[[], bool],
        rng: random.Random | None = None,
        limit: int | None = None,
        clock: Callable[[], float] = time.monotonic,
        getaddrinfo: Callable[..., list[tuple[Any, ...]]] = socket.getaddrinfo,
    ) -> None:
        rng = random.Random() if rng is None else rng  # noqa: S311 - spreads load, keeps no secret
        self.directory = directory
        """Who is there."""
        self.balancer = Balancer(rng)
        """How busy each of them is."""
        self._rng = rng
        self._ready = ready
        self._limit = _default_limit() if limit is None else limit
        refused = Recent(REFUSED_SECONDS, clock)
        unresolved = Recent(UNRESOLVED_SECONDS, clock)
        self._hosts = Hosts(unresolved, getaddrinfo=getaddrinfo, clock=clock)
        self._balancing = BalancingMiddleware(
            Router(directory, self.balancer, refused=refused, unresolved=unresolved),
            self.balancer,
            is_ready=is_ready,
            ready=ready,
            refused=refused,
            hosts=self._hosts,
        )
        self._connector: aiohttp.TCPConnector | None = None
        self._sockets: weakref.WeakSet[socket.socket] = weakref.WeakSet()
        self._resolver: SharedResolver | None = None
        self._unsubscribe: Callable[[], None] | None = None
        self._closed = False

    async def ready(self) -> None:
        """Return when the directory has had its first snapshot.

        Raises:
            NotReadyError: none arrived in time.
        """
        await self._ready()

    def session(
        self,
        base_url: str | URL | None = None,
        *,
        headers: Any = None,
        authorize: aiohttp.ClientMiddlewareType | None = None,
        **kwargs: Any,
    ) -> aiohttp.ClientSession:
        """Return a session to which ``http://<value>.<key>.asab`` is any live instance; the caller closes it.

        It is a plain ``aiohttp.ClientSession``, and cheap: connections are shared between all of them.

        Args:
            base_url: what relative URLs are joined to; may be a ``.asab`` one.
            headers: sent with each request.
            authorize: a middleware that authorizes requests; it stands inside those of *middlewares*, so each
                repeat that they make is authorized anew.
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
        own = (self._balancing,) if authorize is None else (authorize, self._balancing)
        kwargs["middlewares"] = (*(kwargs.get("middlewares") or ()), *own)
        return aiohttp.ClientSession(base_url, headers=headers, **kwargs)

    async def aclose(self) -> None:
        """Close all connections, open sessions' included, within a second; may be called twice."""
        self._closed = True
        if self._unsubscribe is not None:
            self._unsubscribe()
            self._unsubscribe = None
        connector, self._connector = self._connector, None
        if connector is not None:
            try:
                await asyncio.wait_for(connector.close(), _CLOSING_SECONDS)
            except TimeoutError:
                self._break_connections()

    def _break_connections(self) -> None:
        """Have connections closed that wait to send the rest to a peer that doesn't read."""
        for one in self._sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _shared_connector(self) -> aiohttp.TCPConnector:
        connector = self._connector
        if connector is None:
            self._resolver = SharedResolver(self, hosts=self._hosts, rng=self._rng)
            connector = self._connector = aiohttp.TCPConnector(
                limit=self._limit, resolver=self._resolver, socket_factory=self._make_socket
            )
            self._unsubscribe = self.directory.subscribe(self._forget_answers)
        return connector

    def _make_socket(self, address: aiohttp.AddrInfoType) -> socket.socket:
        family, kind, protocol, _, target = address
        # What the connector remembers may have been looked up for somebody outside, by the same name.
        if for_instance.get() and (reason := self.directory.networks.why_not(target[0])) is not None:
            raise OSError(errno.EACCES, f"{target[0]} {reason}")
        made = socket.socket(family, kind, protocol)
        self._sockets.add(made)
        return made

    def _forget_answers(self, _: DirectoryEvent) -> None:
        """Have logical names resolved anew: who answered to one may just have left."""
        if self._connector is not None and self._resolver is not None:
            for host, port in self._resolver.forget():
                self._connector.clear_dns_cache(host, port)


def _default_limit() -> int:
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else min(_MOST_CONNECTIONS, max(1, soft // 2))
