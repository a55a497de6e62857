"""Records that outlived their process, whose port another service has taken."""

import asyncio
import io

import aiohttp
import pytest
from aiohttp import web
from tests.client.test_failover import BODIES, accept_bodies

from peerage.calling.misdirected import DIALLED, MARK, STATUS
from peerage.client import UnreachableError
from peerage.testing import eventually

ORDERS = "http://orders.service_id.asab/"

METHODS = ("GET", "HEAD", "OPTIONS", "PUT", "DELETE", "POST", "PATCH")


def other_service(*, unread=True):
    """A handler of a service that isn't 'orders' and says so."""

    async def handler(request):
        if not unread:
            await request.read()
        return web.Response(status=STATUS, headers={MARK: request.headers[DIALLED]})

    return handler


@pytest.mark.parametrize("method", METHODS)
async def test_it_goes_to_another_instance_with_any_method(fleet, method):
    """Not processed means not processed: POST and PATCH are sent again, too."""
    wrong = [await fleet.serve(other_service()) for _ in range(5)]
    right = await fleet.serve()
    async with fleet.session() as session:
        for _ in range(4):
            async with session.request(method, ORDERS) as response:
                assert response.status == 200
    assert right.hits == 4
    assert sum(each.hits for each in wrong) > 0
    # Each wrong one is asked last for a while.
    assert max(each.hits for each in wrong) == 1


@pytest.mark.parametrize("unread", [True, False])
@pytest.mark.parametrize("kind", BODIES)
async def test_bodies_are_sent_again(fleet, kind, unread, tmp_path):
    """Whole, whether or not the wrong service has read them."""
    argument, make, expected = BODIES[kind]
    received = []
    wrong = await fleet.serve(other_service(unread=unread))
    await fleet.serve(accept_bodies(received))
    async with fleet.session() as session:
        while not wrong.hits:
            async with session.post(ORDERS, **{argument: make(tmp_path)}) as response:
                assert await response.text() == "accepted"
    assert all(expected in each for each in received)


async def test_a_large_body_that_is_refused_unread_is_sent_again(fleet):
    """The first attempt is broken off in the middle of it."""
    received = []

    async def count(request):
        received.append(sum([len(chunk) async for chunk in request.content.iter_any()]))
        return web.Response()

    wrong = await fleet.serve(other_service())
    await fleet.serve(count)
    size = 8 << 20
    async with fleet.session() as session:
        while not wrong.hits:
            async with session.post(ORDERS, data=io.BytesIO(bytes(size))) as response:
                assert response.status == 200
    assert set(received) == {size}


async def test_a_streamed_body_isnt_sent_again(fleet):
    """What is left of it would be half a request: the caller gets an error that says what happened."""
    wrong = await fleet.serve(other_service())
    fleet.refuse()

    async def chunks():
        yield b"one"
        await asyncio.sleep(0)
        yield b"two"

    async with fleet.session() as session:
        with pytest.raises(UnreachableError, match="another service answers there") as caught:
            await session.post(ORDERS, data=chunks())
    assert wrong.hits == 1
    assert isinstance(caught.value.__cause__, aiohttp.ClientResponseError)
    assert caught.value.__cause__.status == 421


async def test_an_answer_that_hangs_is_given_up(fleet):
    """Its headers say all there is to know."""
    closed = []

    async def talk(reader, writer):
        head = await reader.readuntil(b"\r\n\r\n")
        dialled = next(line for line in head.splitlines() if line.startswith(b"Peerage-Dialled: "))
        mark = dialled.replace(b"Dialled", b"Misdirected")
        writer.write(b"HTTP/1.1 421 Misdirected\r\n" + mark + b"\r\nContent-Length: 9\r\n\r\n")
        closed.append(await reader.read())

    await fleet.serve_raw(talk)
    async with fleet.session() as session:
        with pytest.raises(UnreachableError):
            await session.post(ORDERS)
        await eventually(lambda: closed == [b""])


async def test_a_stream_whose_source_hangs_is_given_up(fleet):
    """The answer counts, not the end of the body."""
    await fleet.serve(other_service())
    closed = asyncio.Event()

    async def chunks():
        try:
            yield b"one"
            await asyncio.Event().wait()
        finally:
            closed.set()

    async with fleet.session() as session:
        with pytest.raises(UnreachableError):
            await session.post(ORDERS, data=chunks())
        await asyncio.wait_for(closed.wait(), 20)


async def test_all_instances_refuse_a_misdirected_request(fleet):
    """An error that says so; an answer of another service never reaches the caller."""
    wrong = [await fleet.serve(other_service()) for _ in range(2)]
    async with fleet.session() as session:
        with pytest.raises(UnreachableError) as caught:
            await session.post(ORDERS)
    assert str(caught.value).count("(another service answers there)") == 2
    assert [each.hits for each in wrong] == [1, 1]


async def test_a_421_without_the_mark_is_the_callers(fleet):
    """It may come from a proxy, and the request may have been processed."""

    async def answer(_):
        return web.Response(status=421, text="mine")

    served = await fleet.serve(answer)
    await fleet.serve(answer)
    async with fleet.session() as session, session.post(ORDERS) as response:
        assert (response.status, await response.text()) == (421, "mine")
    assert served.hits <= 1


async def test_a_misdirected_websocket_goes_to_another_instance(fleet):
    """The handshake is a request."""

    async def talk(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("right")
        await socket.close()
        return socket

    wrong = await fleet.serve(other_service())
    await fleet.serve(talk)
    async with fleet.session() as session:
        while not wrong.hits:
            async with session.ws_connect(ORDERS) as socket:
                assert await socket.receive_str() == "right"


async def test_another_address_of_the_instance_is_tried(fleet):
    """The host's name may lead to the wrong host, and an advertised address to the right one."""
    wrong = await fleet.serve(other_service(), address="127.0.0.1")
    fleet.directory.remove(wrong.name)

    async def answer(_):
        return web.Response(text="right")

    app = web.Application()
    app.router.add_post("/", answer)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.2", wrong.port).start()
        fleet.addresses["elsewhere"] = ["127.0.0.1"]
        fleet.addresses["orders-2"] = ["127.0.0.2"]
        fleet.advertise(wrong.port, host="elsewhere", same_host=False)
        async with fleet.session() as session, session.post(ORDERS) as response:
            assert await response.text() == "right"
        assert wrong.hits == 1
    finally:
        await runner.cleanup()
