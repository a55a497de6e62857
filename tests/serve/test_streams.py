"""The changes over real sockets: limits, slow and dead clients, and the end of the server."""

import asyncio
import json
import logging
import socket
from contextlib import AsyncExitStack, asynccontextmanager
from uuid import uuid4

import pytest
from aiohttp import web

from peerage import Discovery
from peerage.registry import open_registry
from peerage.serve import View, create_app, sending
from peerage.serve.events import Events
from peerage.testing import eventually

GET = b"GET /v1/changes HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Streams:
    """A server whose clients are bare sockets."""

    def __init__(self, stack, view, runner):
        self._stack, self.view, self.runner = stack, view, runner
        self._writers = []
        self.port = runner.addresses[0][1]

    async def connect(self, request=GET, **options):
        """Send a request; return what reads the answer, and what writes."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port, **options)
        self._stack.callback(writer.transport.abort)
        self._writers.append(writer)  # collected early, it would warn that it wasn't closed
        writer.write(request)
        return reader, writer

    async def stall(self, request=GET):
        """Send a request and read one byte of the answer."""
        client = socket.socket()
        self._stack.callback(client.close)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.setblocking(False)  # noqa: FBT003 - as the socket module has it
        loop = asyncio.get_running_loop()
        await loop.sock_connect(client, ("127.0.0.1", self.port))
        await loop.sock_sendall(client, request)
        await loop.sock_recv(client, 1)
        return client


@asynccontextmanager
async def serving(make, *, rows=1, size=10):
    """Serve the application that *make* returns for a view of *rows* records with *size* bytes each."""
    registry = open_registry(f"memory:{uuid4().hex}")
    for number in range(rows):
        fields = {"service_id": "a", "instance_id": f"a-{number}", "version": "v" * size}
        registry.advertise("A", json.dumps(fields).encode())
    async with AsyncExitStack() as stack:
        stack.push_async_callback(registry.aclose)
        discovery = await stack.enter_async_context(Discovery(registry))
        view = await stack.enter_async_context(View(discovery.membership))
        await eventually(lambda: len(view.rows()) == rows)
        runner = web.AppRunner(make(view), access_log=None, shutdown_timeout=30)
        stack.push_async_callback(runner.cleanup)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield Streams(stack, view, runner)


async def head_of(reader):
    return await reader.readuntil(b"\r\n\r\n")


class Limited:
    """An application that serves the changes to few clients."""

    def __init__(self, most=200):
        self._most = most

    def __call__(self, view):
        self.events = Events(view, most=self._most)
        app = web.Application()
        app.router.add_get("/v1/changes", self.events.handle)
        app.on_shutdown.append(self.events.end)
        return app


async def test_more_clients_than_the_limit_are_refused():
    """The one too many is told when to come again; places of dead clients are free at once."""
    limited = Limited(2)
    async with serving(limited) as streams:
        clients = [await streams.connect() for _ in range(2)]
        for reader, _ in clients:
            assert b" 200 OK\r\n" in await head_of(reader)
        reader, _ = await streams.connect()
        head = await head_of(reader)
        assert b" 503 " in head
        assert b"Retry-After: 5\r\n" in head
        clients[0][1].transport.abort()
        await eventually(lambda: limited.events.clients == 1)
        reader, _ = await streams.connect()
        assert b" 200 OK\r\n" in await head_of(reader)


async def test_a_client_that_takes_nothing_is_cut_off(monkeypatch, caplog):
    """It costs no more memory than a few pieces, and the others go on."""
    monkeypatch.setattr(sending, "PATIENCE", 0.3)
    limited = Limited()
    async with serving(limited, rows=100, size=60_000) as streams:
        with caplog.at_level(logging.INFO):
            await streams.stall()
            await eventually(lambda: limited.events.dropped == 1)
            await eventually(lambda: not limited.events.clients)
        # asyncio says how long a callback took if the machine is busy.
        assert not [record for record in caplog.records if record.name != "asyncio"]
        reader, _ = await streams.connect()
        assert b" 200 OK\r\n" in await head_of(reader)


@pytest.mark.parametrize("path", ["changes", "instances"])
async def test_a_client_that_leaves_amid_an_answer_is_no_error(path, caplog):
    """A page was closed: that isn't logged, and the server goes on."""
    async with serving(create_app, rows=100, size=60_000) as streams:
        client = await streams.stall(GET.replace(b"changes", path.encode()))
        (connection,) = streams.runner.server.connections
        await eventually(connection.transport.get_write_buffer_size)
        client.close()
        await eventually(lambda: not streams.runner.server.connections)
        reader, _ = await streams.connect()
        assert b" 200 OK\r\n" in await head_of(reader)
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_a_list_that_is_not_read_is_cut_off(monkeypatch):
    monkeypatch.setattr(sending, "PATIENCE", 0.3)
    async with serving(create_app, rows=100, size=60_000) as streams:
        await streams.stall(GET.replace(b"changes", b"instances"))
        await eventually(lambda: not streams.runner.server.connections)


async def test_what_waits_for_a_slow_client_is_bounded():
    """A few pieces, not six megabytes."""
    limited = Limited()
    async with serving(limited, rows=100, size=60_000) as streams:
        await streams.stall()
        await eventually(lambda: limited.events.clients)
        (request,) = limited.events._requests.values()
        await eventually(request.transport.get_write_buffer_size)
        assert request.transport.get_write_buffer_size() <= 4 * sending._PIECE


async def test_the_server_ends_although_clients_follow_it():
    """Those that read get the end of the answer, and nothing is waited for of one that doesn't."""
    async with serving(create_app, rows=100, size=60_000) as streams:
        readers = [(await streams.connect(limit=1 << 24))[0] for _ in range(3)]
        for reader in readers:
            await head_of(reader)
            await reader.readuntil(b"event: status\n")
        await streams.stall()
        async with asyncio.timeout(20):  # the server would wait for 30 s
            await streams.runner.cleanup()
        for reader in readers:
            assert (await reader.read()).endswith(b"0\r\n\r\n")


async def test_an_older_version_of_http_gets_the_events_unframed():
    """As from a proxy that speaks HTTP/1.0 to this server."""
    async with serving(create_app) as streams:
        reader, _ = await streams.connect(GET.replace(b"1.1", b"1.0"))
        head = await head_of(reader)
        assert b"chunked" not in head
        assert await reader.readline() == b"retry: 1000\n"
        await reader.readuntil(b"event: status\n")


async def test_a_head_request_ends():
    async with serving(create_app) as streams:
        reader, _ = await streams.connect(GET.replace(b"GET", b"HEAD") * 2)
        for _ in range(2):
            assert b"Content-Type: text/event-stream; charset=utf-8\r\n" in await head_of(reader)


async def test_an_id_can_be_given_in_the_url():
    """To a program that can't send headers; an id of another run of the server gets everything."""
    async with serving(create_app) as streams:
        reader, _ = await streams.connect()
        number = (await reader.readuntil(b"event: reset\n")).split(b"id: ")[1].split(b"\n")[0]
        for wanted, kind in ((number, b"status"), (b"0" * 8 + number[8:], b"reset"), (b"x", b"reset")):
            reader, _ = await streams.connect(GET.replace(b"changes", b"changes?last_event_id=" + wanted))
            await head_of(reader)
            assert (await reader.readuntil(b"event: ") and (await reader.readline())[:-1]) == kind


@pytest.mark.parametrize("ended", ["view", "server"])
async def test_nothing_is_followed_after_the_end(ended):
    limited = Limited()
    async with serving(limited) as streams:
        reader, _ = await streams.connect()
        await reader.readuntil(b"event: status\n")
        if ended == "view":
            streams.view.feed.close()
        else:
            await limited.events.end()
        await reader.readuntil(b"\r\n0\r\n\r\n")
        reader, _ = await streams.connect()
        assert b" 503 " in await head_of(reader)
