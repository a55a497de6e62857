"""The pooled connections to instances: how many there may be, and when they are closed.

aiohttp limits the connections in use. Idle ones it keeps for 15 seconds, whatever their number and whether or
not the instance is still there, so that a service that calls thousands of instances runs out of descriptors.
"""

import asyncio
import logging
import sys
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Collection, Coroutine, Iterable, Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Any, Final
from weakref import ref

import aiohttp
from aiohttp import hdrs

from peerage.calling.misdirected import DIALLED, dialled_header
from peerage.calling.retry import IDEMPOTENCY_KEY, IDEMPOTENT
from peerage.client.authorize import InternalToken
from peerage.records.addresses import authority
from peerage.records.instance import Instance

if TYPE_CHECKING:
    from aiohttp.abc import ResolveResult
    from aiohttp.client_proto import ResponseHandler
    from aiohttp.client_reqrep import ConnectionKey

log = logging.getLogger("peerage.client")

#: Idle connections to instances, if the process may open enough descriptors.
MOST_IDLE: Final = 512

#: Seconds for which an idle connection can be used for a request that must not be sent twice. Servers close
#: theirs, by default gunicorn after 2 s and uvicorn and hypercorn after 5 s. If such a request is sent at
#: that moment, it fails, because nothing tells its caller that it wasn't processed.
IDLE_SECONDS: Final = 1.5

#: Suspects that the log names, at most.
_LOGGED: Final = 256

#: A literal address and a port.
Address = tuple[str, int]


def call_at_end(response: aiohttp.ClientResponse, finished: Callable[[], object]) -> None:
    """Call *finished* once, when *response* releases its connection.

    That is when its body has been read, when it is closed, released or collected, when its WebSocket closes,
    and at once if it has no body.
    """
    connection = response.connection
    if connection is None:
        finished()
        return
    try:
        add_callback = connection.add_callback
    except AttributeError:
        # It isn't documented. Without it the headers count as the end.
        finished()
    else:
        add_callback(finished)  # type: ignore[arg-type] # the result is ignored there


class Kept:
    """The connections to one address."""

    __slots__ = (
        "address",
        "authority",
        "dialled",
        "doubt",
        "in_use",
        "leaving",
        "name",
        "others",
        "protocols",
    )

    def __init__(self, address: Address) -> None:
        ip, port = self.address = address
        self.authority = authority(ip, port)
        """The address as written in a URL."""
        self.in_use = 0
        self.leaving = False
        self.others: Sequence[str] = ()
        """Other addresses of the same host."""
        self.name = ""
        self.doubt = ""
        """Why another program may have the port: the instance is ``suspect`` or ``unconfirmed``."""
        self.dialled = ""
        """The header for requests of the record *name*."""
        # Weak: a response that is dropped unread must be collected, which ends its request. No WeakSet, which
        # takes five times as long to look through.
        self.protocols: dict[ref[ResponseHandler], None] = {}

    def connected(self) -> Iterator["ResponseHandler"]:
        """Yield the connections that aren't closed."""
        for each in self.protocols:
            protocol = each()
            if protocol is not None and protocol.is_connected():
                yield protocol

    def forget_closed(self) -> int:
        """Forget the connections that are closed, and return how many there were."""
        before = len(self.protocols)
        self.protocols = {ref(each): None for each in self.connected()}
        return before - len(self.protocols)


class InstanceConnector(aiohttp.TCPConnector):
    """aiohttp's connector, which reports to *connections* each one that it makes to an instance."""

    def __init__(self, connections: "Connections", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._connections = connections
        connections.pooled, connections.acquired = self._pooled, self._count_acquired

    # No coroutine, which would cost each request.
    def connect(
        self, req: aiohttp.ClientRequest, *args: Any, **kwargs: Any
    ) -> Coroutine[Any, Any, aiohttp.connector.Connection]:
        """Return a connection for *req*, which hasn't been idle for long if *req* must not be sent twice."""
        if req.method not in IDEMPOTENT and DIALLED in req.headers and IDEMPOTENCY_KEY not in req.headers:
            self._close_idle(req.connection_key)
        if self._connections.doubtful and isinstance(req.headers.get(hdrs.AUTHORIZATION), InternalToken):
            self._close_doubtful(req.connection_key)
        return super().connect(req, *args, **kwargs)

    def _close_idle(self, key: "ConnectionKey") -> None:
        """Close the connections with this *key* that were idle for :data:`IDLE_SECONDS`."""
        # It isn't documented. Without it such requests use any connection. The oldest one is the first.
        pool: deque[tuple[ResponseHandler, float]] = getattr(self, "_conns", {}).get(key, deque())
        before = time.monotonic() - IDLE_SECONDS  # noqa: TID251 - by which aiohttp notes the times here
        while pool and pool[0][1] < before:
            protocol, _ = pool.popleft()
            protocol.close()

    def _close_doubtful(self, key: "ConnectionKey") -> None:
        """Close the connections with this *key* over which no internal token may be sent."""
        # It isn't documented either. Without it a token may be sent over such a connection.
        pool: deque[tuple[ResponseHandler, float]] = getattr(self, "_conns", {}).get(key, deque())
        for entry in tuple(pool):
            if ref(entry[0]) in self._connections.doubtful:
                pool.remove(entry)
                entry[0].close()

    # It isn't documented, but all connectors of aiohttp override it. Without it nothing is bounded.
    async def _create_connection(self, req: aiohttp.ClientRequest, *args: Any) -> "ResponseHandler":
        if DIALLED not in req.headers:
            return await super()._create_connection(req, *args)
        self._connections.authorize(req)
        task = asyncio.current_task()
        self._connections.connecting.add(task)
        try:
            protocol = await super()._create_connection(req, *args)
        finally:
            self._connections.connecting.discard(task)
        self._connections.made((req.url.host or "", req.url.port or 0), protocol, secure=req.is_ssl())
        return protocol

    # Likewise. Without it the addresses of a host are tried one after the other.
    async def _resolve_host(self, host: str, port: int, *args: Any, **kwargs: Any) -> list["ResolveResult"]:
        found = await super()._resolve_host(host, port, *args, **kwargs)
        for other in self._connections.others((host, port)):
            found.append({**found[0], "hostname": other, "host": other})
        return found

    def _pooled(self) -> Collection["ResponseHandler"]:
        # It isn't documented either. Without it idle connections to busy instances are kept.
        pools: dict[Any, Any] = getattr(self, "_conns", {})
        return {protocol for pool in pools.values() for protocol, _ in pool}

    def _count_acquired(self) -> int:
        # Nor is this. Without it requests that wait for a free connection count as using one.
        acquired: Collection[Any] | None = getattr(self, "_acquired", None)
        return sys.maxsize if acquired is None else len(acquired)


class Connections:
    """Closes idle connections to instances that left, and those unused for longest if there are too many.

    Args:
        most_idle: how many idle connections there may be.
        unconfirmed: the names of records that are known from the disk cache only.
    """

    def __init__(self, most_idle: int, unconfirmed: Collection[str] = ()) -> None:
        self._most_idle = most_idle
        self._unconfirmed = unconfirmed
        self.doubtful: set[ref[ResponseHandler]] = set()
        """The connections without TLS that were made while another program may have had the port."""
        self.pooled: Callable[[], Collection[ResponseHandler]] = tuple
        """Returns the connections that no request uses; set by the connector."""
        self.acquired: Callable[[], int] = lambda: sys.maxsize
        """Returns how many connections are in use or being made, to any host; set by the connector."""
        self.connecting: set[asyncio.Task[Any] | None] = set()
        """The tasks that make connections to instances at the moment."""
        # In the order of their last use.
        self._kept: OrderedDict[Address, Kept] = OrderedDict()
        self._addresses: dict[str, dict[Address, None]] = {}
        self._count = 0
        self._in_use = 0
        self._logged: set[str] = set()

    def begin(self, name: str, address: Address) -> Kept:
        """Take note of a request to *address* of the instance with this record; :meth:`end` must follow."""
        kept = self._kept.get(address)
        if kept is None or kept.leaving:
            kept = self._kept.setdefault(address, Kept(address))
            kept.leaving = False
        else:
            self._kept.move_to_end(address)
        if kept.name != name:
            kept.name, kept.dialled = name, dialled_header(name, *address)
            self._addresses.setdefault(name, {})[address] = None
        kept.in_use += 1
        self._in_use += 1
        return kept

    def doubt_about(self, instance: Instance) -> str:
        """Return why another program may have the port of *instance*; empty if there is no doubt."""
        if instance.suspect:
            return "suspect"
        return "unconfirmed" if self._unconfirmed and instance.name in self._unconfirmed else ""

    def authorize(self, req: aiohttp.ClientRequest) -> None:
        """Remove the internal token from *req*, which needs a new connection, if another program may read it.

        A connection that was made before the instance was in doubt leads to the same process still, and over
        TLS the server's certificate is verified. For a new connection without TLS there is no proof.
        """
        kept = self._kept.get((req.url.host or "", req.url.port or 0))
        if kept is None or not kept.doubt or req.is_ssl():
            return
        if isinstance(req.headers.get(hdrs.AUTHORIZATION), InternalToken):
            del req.headers[hdrs.AUTHORIZATION]
            # One line for all that are unconfirmed: it may be every instance of the cluster.
            subject = kept.name if kept.doubt == "suspect" else kept.doubt
            if subject not in self._logged and len(self._logged) < _LOGGED:
                self._logged.add(subject)
                log.warning(
                    "No internal token is sent to the %s instance %a over a new connection without TLS: "
                    "another program may have taken its port. Use https between services.",
                    kept.doubt,
                    kept.name,
                )

    def made(self, address: Address, protocol: "ResponseHandler", *, secure: bool) -> None:
        """Take note that a connection was made for a request to *address*, *secure*: over TLS."""
        if (kept := self._kept.get(address)) is None:
            return
        if kept.doubt and not secure:
            self.doubtful.add(ref(protocol, self.doubtful.discard))
        kept.protocols[ref(protocol)] = None
        self._count += 1
        if len(kept.protocols) > kept.in_use:
            # A new one is made when none is idle, so the others are closed.
            self._count -= kept.forget_closed()
        if self._count > self._most_idle and self._idle() > self._most_idle:
            self._bound()

    def others(self, address: Address) -> Sequence[str]:
        """Return other addresses of the host that has *address*."""
        kept = self._kept.get(address)
        return () if kept is None else kept.others

    def end(self, kept: Kept) -> None:
        """Take note that a request over *kept* is over, its response included."""
        kept.in_use -= 1
        self._in_use -= 1
        if kept.leaving and not kept.in_use:
            self._close(kept.address)
        elif self._count > self._most_idle and self._idle() > self._most_idle:
            self._bound()

    def leave(self, name: str) -> None:
        """Close the connections to the instance whose record was removed, after their last response."""
        for address in self._addresses.pop(name, ()):
            if (kept := self._kept.get(address)) is None:
                continue
            kept.leaving, kept.name = True, ""
            if kept.in_use:
                # The next record may have the same address, and requests would be sent over these then.
                self._close_pooled(len(kept.protocols), (kept,))
            else:
                self._close(address)

    def close_idle(self) -> None:
        """Close all connections that no request uses."""
        for address, kept in tuple(self._kept.items()):
            if not kept.in_use:
                self._close(address)
        self._close_pooled(self._count)

    def _idle(self) -> int:
        """Return the number of connections that no request uses.

        Requests under way may still wait for one of the connections that the connector allows.
        """
        return self._count - min(self._in_use, self.acquired()) + len(self.connecting)

    def _bound(self) -> None:
        # Close some more than necessary, so that few of the next requests have to close others.
        most = self._most_idle - self._most_idle // 8
        for address, kept in tuple(self._kept.items()):
            if self._idle() <= most:
                break
            if not kept.in_use:
                self._close(address)
        else:
            # A WebSocket at each address, for example, keeps all of these in use.
            self._count -= sum(kept.forget_closed() for kept in self._kept.values())
            self._close_pooled(self._idle() - most)

    def _close_pooled(self, most: int, of: Iterable[Kept] | None = None) -> None:
        """Close up to *most* connections that no request uses, to addresses at which others are under way."""
        of, pooled = self._kept.values() if of is None else of, self.pooled()
        idle = [(kept, each) for kept in of for each in kept.connected() if each in pooled]
        for kept, protocol in islice(idle, max(most, 0)):
            kept.protocols.pop(ref(protocol), None)
            self._count -= 1
            protocol.close()

    def _close(self, address: Address) -> None:
        kept = self._kept.pop(address)
        self._count -= len(kept.protocols)
        for protocol in kept.connected():
            protocol.close()
