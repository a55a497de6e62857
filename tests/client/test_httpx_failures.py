"""How calls through httpx fail, and with which of its errors."""

import asyncio
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web
from tests.client.httpxclients import LIBRARIES, discovery_of
from tests.client.test_failover import drop
from tests.client.test_outstanding import endless

import peerage
from peerage import PeerageError, call_options
from peerage.integrations.transports.bodies import InMemory, Streamed
from peerage.testing import eventually

ORDERS = "http://orders.service_id.asab/"


@pytest.mark.parametrize("name", LIBRARIES)
async def test_the_discovery_is_closed(name):
    """Before the client, which was used."""
    package, transport = LIBRARIES[name]
    async with peerage.Discovery("memory:closed-before") as discovery:
        client = package.AsyncClient(transport=transport(discovery))
        with pytest.raises(package.ConnectError):
            await client.get(ORDERS)
    with pytest.raises(peerage.RegistryClosedError, match="This Discovery isn't open"):
        await client.get(ORDERS)
    await client.aclose()


async def test_an_unknown_name(httpx_client, library):
    with pytest.raises(library.httpx.ConnectError, match="nothing") as caught:
        await httpx_client.get("http://nothing.service_id.asab/")
    assert isinstance(caught.value, peerage.NotDiscoveredError)
    assert type(caught.value.__cause__) is peerage.NotDiscoveredError
    assert caught.value.request.url == "http://nothing.service_id.asab/"


async def test_a_registry_that_is_not_read_in_time(fleet, httpx_client, library):
    async def fail():
        raise peerage.NotReadyError("not yet")

    fleet.membership.ready, fleet.membership.on_ready = False, fail
    with pytest.raises(library.httpx.ConnectTimeout, match="not yet") as caught:
        await httpx_client.get(ORDERS)
    assert isinstance(caught.value, peerage.NotReadyError)


async def test_a_host_in_asab_that_is_no_name(httpx_client, library):
    with pytest.raises(library.httpx.ConnectError) as caught:
        await httpx_client.get("http://orders.asab/")
    assert isinstance(caught.value, peerage.NotDiscoveredError)


async def test_no_instance_is_reached(fleet, httpx_client, library):
    fleet.refuse()
    fleet.refuse()
    with pytest.raises(library.httpx.HTTPError) as caught:
        await httpx_client.get(ORDERS)
    error = caught.value
    assert isinstance(error, library.httpx.ConnectError)
    assert isinstance(error, peerage.UnreachableError)
    assert isinstance(error, PeerageError)
    assert type(error.__cause__) is peerage.UnreachableError
    assert str(error) == str(error.__cause__)
    assert error.errno == error.__cause__.errno
    assert error.request.url == ORDERS


async def test_no_connection_is_made_in_time(fleet, httpx_client, library, full):
    fleet.advertise(full)
    with pytest.raises(library.httpx.ConnectTimeout) as caught:
        await httpx_client.get(ORDERS, timeout=library.httpx.Timeout(None, connect=0.05))
    assert isinstance(caught.value, peerage.UnreachableError)
    assert isinstance(caught.value, library.httpx.ConnectError)


async def test_no_connection_is_free_in_time(fleet, library):
    await fleet.serve(endless)
    async with aiohttp.TCPConnector(limit=1) as connector:
        discovery = discovery_of(fleet)
        make = discovery.session
        discovery.session = lambda **kwargs: make(connector=connector, connector_owner=False, **kwargs)
        async with library.httpx.AsyncClient(transport=library.transport(discovery)) as client:
            limits = library.httpx.Timeout(None, connect=0.05, pool=0.05)
            async with client.stream("GET", ORDERS, timeout=None):
                with pytest.raises(library.httpx.PoolTimeout):
                    await client.get(ORDERS, timeout=limits)


async def test_no_answer_in_time(fleet, httpx_client, library):
    async def hang(_request):
        await asyncio.Event().wait()

    await fleet.serve(hang)
    with pytest.raises(library.httpx.ReadTimeout):
        await httpx_client.get(ORDERS, timeout=library.httpx.Timeout(None, read=0.05))


async def test_the_body_does_not_come_in_time(fleet, httpx_client, library):
    await fleet.serve(endless)
    with pytest.raises(library.httpx.ReadTimeout) as caught:
        await httpx_client.get(ORDERS, timeout=library.httpx.Timeout(None, read=0.05))
    assert caught.value.request.url == ORDERS
    assert not fleet.outstanding


@pytest.mark.parametrize("streamed", [False, True])
async def test_the_body_is_not_taken_in_time(fleet, httpx_client, library, streamed):
    async def read_nothing(reader, _writer):
        await reader.readuntil(b"\r\n\r\n")
        await asyncio.Event().wait()

    async def parts():
        while True:
            yield b"x" * 1_000_000

    await fleet.serve_raw(read_nothing)
    body = parts() if streamed else b"x" * 30_000_000
    with pytest.raises(library.httpx.WriteTimeout):
        await httpx_client.post(ORDERS, content=body, timeout=library.httpx.Timeout(None, write=0.1))


async def test_the_connection_is_broken_if_the_body_is_not_taken():
    """Closing it would keep it open, and what is still to be sent, for as long as the server hangs."""
    aborted = []

    class Stuck:
        transport = SimpleNamespace(abort=lambda: aborted.append(True))

        async def write(self, _part):
            await asyncio.Event().wait()

    with pytest.raises(aiohttp.SocketTimeoutError, match=r"within 0\.01 s"):
        await InMemory(b"x", 0.01).write_with_length(Stuck(), None)
    assert aborted


@pytest.mark.parametrize("streamed", [False, True])
async def test_a_long_body_leaves_the_event_loop_to_others(streamed):
    """Also if the receiver takes everything at once."""
    turns = []

    class Taking:
        async def write(self, _part):
            turns.append(others)

    async def parts():
        for _ in range(1000):
            yield b"x" * 10_000

    async def count():
        nonlocal others
        while True:
            others += 1
            await asyncio.sleep(0)

    others = 0
    counting = asyncio.create_task(count())
    body = Streamed(parts(), None, None) if streamed else InMemory(b"x" * 10_000_000, None)
    await body.write_with_length(Taking(), None)
    counting.cancel()
    assert len(set(turns)) > 100


async def test_the_connection_is_closed_without_an_answer(fleet, httpx_client, library):
    await fleet.serve_raw(drop)
    with pytest.raises(library.httpx.RemoteProtocolError):
        await httpx_client.post(ORDERS)


@pytest.mark.parametrize(
    "answer", [b"SSH-2.0-OpenSSH\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf"]
)
async def test_the_answer_is_not_http_or_incomplete(fleet, httpx_client, library, answer):
    async def talk(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    await fleet.serve_raw(talk)
    with pytest.raises(library.httpx.RemoteProtocolError):
        await httpx_client.post(ORDERS)
    assert not fleet.outstanding


async def test_an_error_says_why_there_was_no_other_attempt(fleet, httpx_client, library):
    await fleet.serve_raw(drop)
    with pytest.raises(library.httpx.RemoteProtocolError) as caught:
        await httpx_client.post(ORDERS)
    assert caught.value.__notes__ == caught.value.__cause__.__notes__


async def test_a_deadline_passes_before_the_answer_and_in_the_body(fleet, httpx_client, library):
    async def hang(_request):
        await asyncio.Event().wait()

    await fleet.serve(hang)
    await fleet.serve(endless, "stock")
    for url in (ORDERS, "http://stock.service_id.asab/"):
        with pytest.raises(library.httpx.TimeoutException) as caught, call_options(deadline=0.1):
            await httpx_client.get(url)
        assert isinstance(caught.value, peerage.DeadlineExceededError)
    with pytest.raises(peerage.DeadlineExceededError):
        async with peerage.deadline(0.1):
            await httpx_client.get(ORDERS)


async def test_a_body_that_fails(fleet, httpx_client):
    async def broken(error):
        yield b"x"
        raise error

    await fleet.serve()
    for error in (KeyError("mine"), TimeoutError("mine"), ConnectionResetError("mine")):
        with pytest.raises(type(error), match="mine"):
            await httpx_client.post(ORDERS, content=broken(error))
    await eventually(lambda: not fleet.outstanding)


async def test_what_is_not_http_is_not_sent(fleet, httpx_client, library):
    served = await fleet.serve()

    async def parts():
        yield b"abc"

    for kwargs in (
        {"headers": {"X": "a\r\nY: b"}},
        {"headers": {"X Y": "a"}},
        {"headers": {"X": " a"}},
        {"headers": [("X", b"\xe9")]},
        {"headers": {"Content-Length": "3"}},
        {"headers": {"Content-Length": "3", "Transfer-Encoding": "chunked"}, "content": b"abc"},
        {"headers": {"Transfer-Encoding": "gzip"}, "content": b"abc"},
        {"headers": {"Content-Length": "three"}, "content": b"abc"},
    ):
        with pytest.raises(library.httpx.LocalProtocolError):
            await httpx_client.post(ORDERS, **kwargs)
    with pytest.raises(library.httpx.LocalProtocolError):
        await httpx_client.request("GET /admin", ORDERS)
    assert served.hits == 0
    for length in ("2", "4"):
        with pytest.raises(library.httpx.LocalProtocolError, match="Content-Length"):
            await httpx_client.post(ORDERS, content=parts(), headers={"Content-Length": length})


async def test_what_needs_a_connection_of_its_own_is_refused(fleet, httpx_client, library):
    async def switch(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.receive()
        return socket

    await fleet.serve(switch)
    for url, kwargs in (("ws://orders.service_id.asab/", {}), (ORDERS, {"extensions": {"target": b"*"}})):
        with pytest.raises(library.httpx.UnsupportedProtocol, match="WebSockets"):
            await httpx_client.get(url, **kwargs)
    upgrade = {
        "Connection": "upgrade",
        "Upgrade": "websocket",
        "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version": "13",
    }
    with pytest.raises(library.httpx.UnsupportedProtocol, match="ws_connect"):
        await httpx_client.get(ORDERS, headers=upgrade)
    assert not fleet.outstanding
