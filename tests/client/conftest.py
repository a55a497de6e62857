"""Servers on loopback, advertised in a directory, and a client over it."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from random import Random
from types import SimpleNamespace

import aiohttp
import httpx
import pytest
from aiohttp import web
from tests.client.httpxclients import LIBRARIES, discovery_of
from tests.support import Clock
from yarl import URL

from peerage.client import Client
from peerage.directory import Directory
from peerage.registry import Record
from peerage.testing import eventually

HOST_KEY = "this-host"
ORDERS = "http://orders.service_id.asab/"


async def get_node(session, url=ORDERS, **kwargs):
    async with session.get(url, **kwargs) as response:
        return (await response.json())["node"]


def hanging(release):
    """Return a look-up that finds 127.0.0.1 once *release* is set."""
    return lambda: release.wait(30) and ["127.0.0.1"]


class Served:
    """One server, and what came in."""

    def __init__(self, node, port):
        self.name = node
        self.port = port
        self.hits = 0
        self.seen = []
        self.stop = None


class Known:
    """A membership without a registry: the test puts records into the directory."""

    def __init__(self):
        self.directory = Directory(host_key=HOST_KEY)
        self.ready = True
        self.on_ready = None
        self.on_suspension = []

    async def wait_ready(self):
        if not self.ready and self.on_ready is not None:
            await self.on_ready()

    def as_of(self):
        return ""


class Fleet:
    """Servers, their records, and the client that calls them."""

    def __init__(self, stack, clock, peers):
        self._peers = peers
        self.membership = Known()
        self.directory = self.membership.directory
        self.clock = clock
        self.lookups = []
        self.getaddrinfo = self._getaddrinfo
        self.addresses = {}
        self.client = Client(
            self.membership,
            rng=Random(1),
            clock=self.clock,
            getaddrinfo=self._look_up,
        )
        self._stack = stack
        self._made = 0

    def _look_up(self, *args, **kwargs):
        return self.getaddrinfo(*args, **kwargs)

    def _getaddrinfo(self, host, _port, *, family, **_):
        self.lookups.append(host)
        if host not in self.addresses:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        found = self.addresses[host]
        addresses = found() if callable(found) else found
        return [
            (family, socket.SOCK_STREAM, 6, "", (one, 0))
            for one in addresses
            if (":" in one) == (family == socket.AF_INET6)
        ]

    @property
    def outstanding(self):
        return self.client.balancer.outstanding

    async def aclose(self):
        """Close the client that is in use now: a test may have replaced the first one."""
        await self.client.aclose()

    def session(self, base_url=None, **kwargs):
        return self.client.session(base_url, **kwargs)

    def advertise(
        self,
        port,
        service="orders",
        *,
        node=None,
        host="here",
        bound="0.0.0.0",
        same_host=True,
        site_id=None,
        **own,
    ):
        """Put a record into the directory; *own* are its fields under ``peerage``."""
        self._made += 1
        node = node or f"App.{self._made:010}"
        record = {
            "host": host,
            "instance_id": f"{service}-{self._made}",
            "service_id": service,
            "site_id": site_id,
            "web": [[bound, port]],
            "peerage": {**({"host_key": HOST_KEY} if same_host else {}), **own},
        }
        self.directory.put(Record(node, json.dumps(record).encode(), self._made))
        return node

    async def serve(self, handler=None, service="orders", *, address="127.0.0.1", ssl=None, **own):
        """Start an aiohttp server and advertise it; it answers with its node and what it was asked."""
        served = Served(None, None)

        async def answer(request):
            served.hits += 1
            served.seen.append(request)
            if handler is not None:
                return await handler(request)
            return web.json_response({"node": served.name, "host": request.host, "path": request.path_qs})

        app = web.Application()
        app.router.add_route("*", "/{tail:.*}", answer)
        # Handlers that wait for something that doesn't come are cancelled with their connection.
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=True)
        await runner.setup()
        self._stack.push_async_callback(runner.cleanup)
        site = web.TCPSite(runner, address, 0, ssl_context=ssl)
        await site.start()
        served.port = runner.addresses[0][1]
        served.name = self.advertise(served.port, service, **own)
        served.stop = runner.cleanup
        return served

    async def serve_raw(self, talk, service="orders", **own):
        """Start a server that handles each connection by ``talk(reader, writer)``; hits are connections."""
        served = Served(None, None)
        tasks = set()

        async def connected(reader, writer):
            served.hits += 1
            tasks.add(asyncio.current_task())
            try:
                await talk(reader, writer)
            except (ConnectionError, asyncio.CancelledError):
                pass
            finally:
                tasks.discard(asyncio.current_task())
                writer.close()

        server = await asyncio.start_server(connected, "127.0.0.1", 0)

        async def stop():
            server.close()
            for task in tuple(tasks):
                task.cancel()
            await eventually(lambda: not tasks)

        self._stack.push_async_callback(stop)
        served.port = server.sockets[0].getsockname()[1]
        served.name = self.advertise(served.port, service, **own)
        served.stop = stop
        return served

    def refuse(self, service="orders", **own):
        """Advertise a bound port, which no other process can take and which refuses every connection."""
        closed = socket.socket()
        closed.bind(("127.0.0.1", 0))
        self._stack.callback(closed.close)
        served = Served(None, closed.getsockname()[1])
        served.name = self.advertise(served.port, service, **own)
        served.socket = closed
        return served

    def fake(self, service="orders", **own):
        """Start a fake peer, which can hang and be killed; it answers with its node."""
        served = Served(None, None)
        served.peer = self._peers.add(service, lambda _: {"node": served.name})
        served.port = URL(served.peer.url).port
        served.name = self.advertise(served.port, service, **own)
        return served


@pytest.fixture
async def fleet(clock, peers) -> AsyncIterator[Fleet]:
    async with AsyncExitStack() as stack:
        fleet = Fleet(stack, clock, peers)
        stack.push_async_callback(fleet.aclose)
        yield fleet
        assert not fleet.outstanding


@pytest.fixture
def full():
    """The port of a server that accepts no connection; the kernel leaves further ones unanswered."""
    with socket.socket() as full, socket.socket() as first, socket.socket() as second:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for one in (first, second):
            one.settimeout(0)
            with suppress(BlockingIOError):
                one.connect(full.getsockname())
        yield full.getsockname()[1]


@pytest.fixture
def connections():
    """Give a trace for a session, and the list of the connections that it has begun to make."""
    made: list[object] = []
    tracing = aiohttp.TraceConfig()

    async def note(*_):
        made.append(1)

    tracing.on_connection_create_start.append(note)
    return tracing, made


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture(params=["httpx", "httpx2"])
def library(request) -> SimpleNamespace:
    """One of the packages, and the transport for it."""
    module, transport = LIBRARIES[request.param]
    return SimpleNamespace(httpx=module, transport=transport)


@pytest.fixture
async def httpx_client(fleet, library) -> AsyncIterator[httpx.AsyncClient]:
    """A client of that package whose requests go to the fleet."""
    transport = library.transport(discovery_of(fleet))
    async with library.httpx.AsyncClient(transport=transport, timeout=None) as client:
        yield client
