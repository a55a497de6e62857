import asyncio
import io
import os

import aiohttp
import pytest
from aiohttp import web

from peerage import CallOptions, call_options
from peerage.calling.retry import IDEMPOTENT
from peerage.client import UnreachableError, UnreachableTimeoutError
from peerage.testing import eventually

ORDERS = "http://orders.service_id.asab/"


async def drop(reader, writer):
    """Read a request and close without an answer."""
    await reader.readuntil(b"\r\n\r\n")


def make_multipart(_):
    form = aiohttp.FormData()
    form.add_field("file", b"part", filename="x")
    return form


def open_file(folder):
    path = folder / "body"
    path.write_bytes(b"from a file")
    return path.open("rb")


#: All kinds of bodies that can be sent again: the argument, how it is made, and what arrives.
BODIES = {
    "bytes": ("data", lambda _: b"bytes", b"bytes"),
    "str": ("data", lambda _: "text", b"text"),
    "json": ("json", lambda _: {"a": 1}, b'{"a": 1}'),
    "form": ("data", lambda _: {"a": "1"}, b"a=1"),
    "FormData": ("data", lambda _: aiohttp.FormData({"b": "2"}), b"b=2"),
    "multipart": ("data", make_multipart, b'filename="x"'),
    "BytesIO": ("data", lambda _: io.BytesIO(b"in memory"), b"in memory"),
    "file": ("data", open_file, b"from a file"),
}


def accept_bodies(received):
    async def accept(request):
        received.append(await request.read())
        return web.Response(text="accepted")

    return accept


# Nothing was sent yet


@pytest.mark.parametrize("method", ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"])
async def test_a_refused_connection_goes_elsewhere_with_every_method(fleet, method):
    for _ in range(4):
        fleet.refuse()
    served = await fleet.serve()
    async with fleet.session() as session:
        for number in range(5):
            fleet.clock.now += 10
            async with session.request(method, ORDERS) as response:
                assert response.status == 200
            assert served.hits == number + 1


@pytest.mark.parametrize("kind", BODIES)
async def test_any_body_goes_elsewhere_after_a_refused_connection(fleet, tmp_path, kind):
    received = []
    for _ in range(5):
        fleet.refuse()
    await fleet.serve(accept_bodies(received))
    argument, make, expected = BODIES[kind]
    async with fleet.session() as session, session.post(ORDERS, **{argument: make(tmp_path)}) as response:
        assert response.status == 200
    assert len(received) == 1
    assert expected in received[0]


@pytest.mark.parametrize("how", [{"expect100": True}, {"compress": "deflate"}, {"chunked": True}])
async def test_a_body_with_its_own_transfer_encoding_goes_elsewhere(fleet, how):
    received = []
    for _ in range(3):
        fleet.refuse()
    dropping = await fleet.serve_raw(drop)
    await fleet.serve(accept_bodies(received))
    async with fleet.session() as session:
        for _ in range(6):
            async with session.put(ORDERS, data=b"body", **how) as response:
                assert response.status == 200
    assert received == [b"body"] * 6
    assert dropping.hits


async def test_a_stream_not_yet_touched_goes_elsewhere(fleet):
    received, started = [], 0

    async def stream():
        nonlocal started
        started += 1
        yield b"streamed"

    for _ in range(5):
        fleet.refuse()
    await fleet.serve(accept_bodies(received))
    async with fleet.session() as session, session.post(ORDERS, data=stream()) as response:
        assert response.status == 200
    assert received == [b"streamed"]
    assert started == 1


async def test_all_refused_ends_in_an_error_that_says_what_to_do(fleet):
    ports = [fleet.refuse().port for _ in range(3)]
    async with fleet.session() as session:
        with pytest.raises(UnreachableError) as raised:
            await session.get(ORDERS)
    message = str(raised.value)
    assert "service_id='orders'" in message
    assert "peerage ls" in message
    assert all(f"127.0.0.1:{port}" in message for port in ports)
    assert isinstance(raised.value, aiohttp.ClientConnectionError)
    assert isinstance(raised.value, aiohttp.ClientConnectorError)
    assert not isinstance(raised.value, TimeoutError)
    assert isinstance(raised.value.__cause__, aiohttp.ClientConnectorError)


async def test_a_single_refused_connection_ends_likewise(fleet):
    fleet.refuse()
    async with fleet.session() as session:
        for method in ("GET", "POST"):
            with pytest.raises(UnreachableError):
                await session.request(method, ORDERS)


async def test_an_instance_that_refused_a_connection_is_tried_last_for_a_second(fleet, connections):
    dead = fleet.refuse()
    served = await fleet.serve()
    tracing, made = connections
    async with fleet.session(trace_configs=[tracing]) as session:

        async def connections_of(requests):
            made.clear()
            for _ in range(requests):
                async with session.get(ORDERS) as response:
                    await response.read()
            return len(made)

        assert await connections_of(20) <= 2
        assert await connections_of(20) == 0
        # A probe in the background tries it, no request does.
        fleet.clock.now += 2
        assert await connections_of(20) == 0
        # It is the only one left, so it gets the request after all.
        fleet.directory.remove(served.name)
        with call_options(wait=0.0), pytest.raises(UnreachableError, match=str(dead.port)):
            await session.get(ORDERS)


async def test_a_connection_that_is_not_made_in_time_goes_elsewhere(fleet, full):
    fleet.advertise(full)
    timeout = aiohttp.ClientTimeout(total=20, sock_connect=0.2)
    async with fleet.session(timeout=timeout) as session:
        with pytest.raises(UnreachableTimeoutError) as raised:
            await session.post(ORDERS)
        assert isinstance(raised.value, TimeoutError)
        served = await fleet.serve()
        for _ in range(4):
            fleet.clock.now += 10
            async with session.post(ORDERS) as response:
                assert response.status == 200
        assert served.hits == 4


async def test_an_instance_to_which_a_caller_gave_up_connecting_is_avoided(fleet, full):
    """The limit of the whole request is often shorter than the one of the connection."""
    name = fleet.advertise(full)
    connecting = asyncio.Event()
    make_socket = fleet.client._make_socket

    def note(address):
        connecting.set()
        return make_socket(address)

    connector = aiohttp.TCPConnector(socket_factory=note)
    # The clock jumps, so this process would be taken for one that was stopped.
    options = CallOptions(detect_stalled=False)
    async with connector, fleet.session(connector=connector, options=options) as session:
        for seconds, avoided in ((0.1, []), (1.0, [name])):
            call = asyncio.create_task(session.post(ORDERS))
            await connecting.wait()
            connecting.clear()
            fleet.clock.now += seconds
            call.cancel()
            await asyncio.wait([call])
            assert call.cancelled()
            assert list(fleet.client.balancer.avoided) == avoided
        served = await fleet.serve()
        for _ in range(4):
            async with session.post(ORDERS) as response:
                assert response.status == 200
    assert served.hits == 4


# Bytes went out


@pytest.mark.parametrize("method", sorted(IDEMPOTENT))
async def test_a_lost_connection_goes_to_two_further_instances_at_most(fleet, method):
    servers = [await fleet.serve_raw(drop) for _ in range(6)]
    async with fleet.session() as session:
        with pytest.raises(UnreachableError) as raised:
            await session.request(method, ORDERS)
    assert isinstance(raised.value.__cause__, aiohttp.ServerDisconnectedError)
    assert sorted(one.hits for one in servers) == [0, 0, 0, 1, 1, 1]


async def test_aiohttp_itself_retries_idempotent_methods():
    assert aiohttp.client.IDEMPOTENT_METHODS == IDEMPOTENT


@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_what_may_not_happen_twice_is_not_retried(fleet, method):
    servers = [await fleet.serve_raw(drop) for _ in range(3)]
    async with fleet.session() as session:
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.request(method, ORDERS)
    assert sum(one.hits for one in servers) == 1


async def test_an_instance_whose_answers_are_not_http_gets_no_more_requests(fleet):
    """Another program has taken its port; that one answers quickly, so it would never look busy."""

    async def answer(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await reader.read()

    other = await fleet.serve_raw(answer)
    served = [await fleet.serve() for _ in range(2)]
    async with fleet.session() as session:
        for _ in range(200):
            fleet.clock.now += 0.02
            async with session.get(ORDERS) as response:
                assert response.status == 200
        assert 0 < other.hits < 20
        for one in served:
            await one.stop()
            fleet.directory.remove(one.name)
        with pytest.raises(aiohttp.ClientResponseError, match="Expected HTTP/"):
            await session.post(ORDERS)


async def test_an_idempotency_key_allows_a_retry(fleet):
    servers = [await fleet.serve_raw(drop) for _ in range(2)]
    received = []
    served = await fleet.serve(accept_bodies(received))
    async with fleet.session() as session:
        for number in range(6):
            headers = {"Idempotency-Key": str(number)}
            async with session.post(ORDERS, data=b"once", headers=headers) as response:
                assert response.status == 200
    assert received == [b"once"] * 6
    assert served.hits == 6
    assert all(one.hits for one in servers)


async def test_a_single_instance_gets_a_second_chance_as_in_aiohttp(fleet):
    served = await fleet.serve_raw(drop)
    async with fleet.session() as session:
        with pytest.raises(UnreachableError):
            await session.get(ORDERS)
        assert served.hits == 2
        with pytest.raises(aiohttp.ServerDisconnectedError):
            await session.post(ORDERS)
        assert served.hits == 3


async def test_a_reset_counts_as_lost(fleet):
    async def reset(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.transport.abort()

    servers = [await fleet.serve_raw(reset) for _ in range(2)]
    served = await fleet.serve()
    async with fleet.session() as session:
        for _ in range(6):
            async with session.get(ORDERS) as response:
                assert response.status == 200
    assert served.hits == 6
    assert all(one.hits for one in servers)


@pytest.mark.parametrize("kind", BODIES)
async def test_bodies_that_can_be_sent_again_are(fleet, tmp_path, kind):
    async def drop_after_body(reader, writer):
        await reader.read(100_000)

    received = []
    served = await fleet.serve(accept_bodies(received))
    dropping = [await fleet.serve_raw(drop_after_body) for _ in range(2)]
    argument, make, expected = BODIES[kind]
    async with fleet.session() as session:
        for _ in range(6):
            async with session.put(ORDERS, **{argument: make(tmp_path)}) as response:
                assert response.status == 200
    assert served.hits == 6
    assert all(expected in body for body in received)
    assert sum(one.hits for one in dropping)


async def test_a_stream_begun_is_never_replayed(fleet):
    async def drop_after_body(reader, writer):
        await reader.readuntil(b"begun")

    begun = 0

    async def stream():
        nonlocal begun
        begun += 1
        yield b"begun"

    servers = [await fleet.serve_raw(drop_after_body) for _ in range(3)]
    async with fleet.session() as session:
        with pytest.raises(aiohttp.ClientConnectionError):
            await session.put(ORDERS, data=stream())
    assert begun == 1
    assert sum(one.hits for one in servers) == 1


async def test_a_file_half_read_is_rewound(fleet):
    big = os.urandom(3_000_000)

    async def drop_midway(reader, writer):
        await reader.readexactly(1_000_000)

    received = []
    await fleet.serve(lambda request: accept_half(request, received))
    for _ in range(2):
        await fleet.serve_raw(drop_midway)

    async def accept_half(request, received):
        size = 0
        async for chunk in request.content.iter_any():
            size += len(chunk)
        received.append(size)
        return web.Response()

    async with fleet.session() as session:
        for _ in range(5):
            async with session.put(ORDERS, data=io.BytesIO(big)) as response:
                assert response.status == 200
    assert received == [len(big)] * 5


# Deaths


async def test_kill_one_of_three_under_load(fleet):
    victim, *_ = [fleet.fake() for _ in range(3)]
    done, goal = 0, 1_000
    killed = False

    async def work(session):
        nonlocal done
        while done < goal:
            async with session.get(ORDERS) as response:
                assert response.status == 200
                await response.read()
            done += 1

    async with fleet.session() as session, asyncio.TaskGroup() as group:
        for _ in range(100):
            group.create_task(work(session))
        await eventually(lambda: done > 500)
        victim.peer.kill()
        killed = True
        goal = done + 3_000
    assert killed
    assert done >= goal
