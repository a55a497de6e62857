import asyncio
import gc
from types import SimpleNamespace

import aiohttp
import pytest
from aiohttp import web

from peerage.client.connections import call_at_end
from peerage.testing import eventually

ORDERS = "http://orders.service_id.asab/"


async def big(request):
    return web.Response(body=b"x" * 3_000_000)


async def endless(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"begun")
    await asyncio.Event().wait()
    return response


async def test_counted_to_the_end_of_the_stream(fleet):
    served = await fleet.serve(big)
    async with fleet.session() as session:
        response = await session.get(ORDERS)
        assert fleet.outstanding == {served.name: 1}
        await response.content.readexactly(100)
        assert fleet.outstanding == {served.name: 1}
        await response.read()
        assert not fleet.outstanding


@pytest.mark.parametrize("end", ["close", "release"])
async def test_a_response_closed_or_released_early_is_done(fleet, end):
    served = await fleet.serve(endless)
    async with fleet.session() as session:
        response = await session.get(ORDERS)
        assert fleet.outstanding == {served.name: 1}
        getattr(response, end)()
        assert not fleet.outstanding


async def test_a_response_left_early_is_done(fleet):
    await fleet.serve(endless)
    async with fleet.session() as session:
        async with session.get(ORDERS):
            assert fleet.outstanding
        assert not fleet.outstanding


async def test_a_response_without_reference_is_under_way_until_it_is_received(fleet):
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def two_parts(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        arrived.set()
        await go_on.wait()
        return response

    await fleet.serve(two_parts)
    async with fleet.session() as session:
        await session.get(ORDERS)
        gc.collect()
        # aiohttp goes on receiving, so the instance is indeed still busy with it.
        assert fleet.outstanding
        go_on.set()
        await eventually(lambda: not fleet.outstanding)


@pytest.mark.parametrize(("method", "status"), [("GET", 204), ("GET", 304), ("HEAD", 200), ("GET", 200)])
async def test_a_response_without_a_body_is_done(fleet, method, status):
    async def empty(request):
        return web.Response(status=status)

    await fleet.serve(empty)
    async with fleet.session() as session:
        response = await session.request(method, ORDERS)
        assert not fleet.outstanding
        assert response.status == status


async def test_raising_for_a_status_ends_the_request(fleet):
    async def fail(request):
        raise web.HTTPInternalServerError(text="x" * 100_000)

    await fleet.serve(fail)
    async with fleet.session(raise_for_status=True) as session:
        with pytest.raises(aiohttp.ClientResponseError):
            await session.get(ORDERS)
        assert not fleet.outstanding
    async with fleet.session() as session:
        async with session.get(ORDERS) as response:
            with pytest.raises(aiohttp.ClientResponseError):
                response.raise_for_status()
        assert not fleet.outstanding


async def test_a_time_out_in_the_body_ends_the_request(fleet):
    await fleet.serve(endless)
    async with fleet.session() as session:
        async with session.get(ORDERS, timeout=aiohttp.ClientTimeout(sock_read=0.05)) as response:
            with pytest.raises(aiohttp.SocketTimeoutError):
                await response.read()
        assert not fleet.outstanding


async def test_a_web_socket_is_under_way_until_it_is_closed(fleet):
    async def echo(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            if message.data == "bye":
                break
            await socket.send_str(message.data)
        await socket.close()
        return socket

    served = await fleet.serve(echo)
    async with fleet.session() as session:
        async with session.ws_connect(ORDERS) as socket:
            await socket.send_str("one")
            assert await socket.receive_str() == "one"
            assert fleet.outstanding == {served.name: 1}
        assert not fleet.outstanding
        async with session.ws_connect(ORDERS) as socket:
            await socket.send_str("bye")
            assert [message async for message in socket] == []
            assert not fleet.outstanding


async def test_a_refused_web_socket_is_done(fleet):
    await fleet.serve()
    async with fleet.session() as session:
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await session.ws_connect(ORDERS)
        assert not fleet.outstanding


def hanging(stage):
    """Return an event, a handler that sets it and hangs at this stage, and the body to send."""
    arrived = asyncio.Event()

    async def hang(request):
        arrived.set()
        if stage == "in the body":
            return await endless(request)
        await asyncio.Event().wait()
        raise AssertionError

    async def slow():
        yield b"x"
        await asyncio.Event().wait()

    return arrived, hang, slow() if stage == "sending" else b""


@pytest.mark.parametrize("stage", ["before headers", "in the body", "sending"])
async def test_a_cancelled_request_is_done(fleet, stage):
    arrived, hang, body = hanging(stage)
    served = await fleet.serve(hang)
    async with fleet.session() as session:

        async def call():
            async with session.post(ORDERS, data=body) as response:
                await response.read()

        task = asyncio.create_task(call())
        await arrived.wait()
        assert fleet.outstanding == {served.name: 1}
        task.cancel()
        await asyncio.wait([task])
        assert task.cancelled()
        assert not fleet.outstanding


async def test_a_request_cancelled_while_connecting_is_done(fleet):
    connecting = asyncio.Event()
    tracing = aiohttp.TraceConfig()

    async def stop_here(*_):
        connecting.set()
        await asyncio.Event().wait()

    tracing.on_connection_create_start.append(stop_here)
    await fleet.serve()
    async with fleet.session(trace_configs=[tracing]) as session:
        task = asyncio.create_task(session.get(ORDERS))
        await connecting.wait()
        assert fleet.outstanding
        task.cancel()
        await asyncio.wait([task])
        assert not fleet.outstanding


async def test_a_request_whose_middleware_fails_after_the_answer_is_done(fleet):
    async def release_and_fail(request, handler):
        response = await handler(request)
        response.release()
        raise ValueError("mine")

    async def fail(request, handler):
        await handler(request)
        raise ValueError("mine")

    for service, middleware, handler in (("orders", release_and_fail, big), ("stock", fail, None)):
        await fleet.serve(handler, service)
        async with fleet.session(middlewares=[middleware]) as session:
            with pytest.raises(ValueError, match="mine"):
                await session.get(f"http://{service}.service_id.asab/")
            await eventually(lambda: not fleet.outstanding)


async def test_a_request_whose_authorization_fails_is_done(fleet):
    async def deny(request, handler):
        raise PermissionError("no token")

    await fleet.serve()
    async with fleet.session(authorize=deny) as session:
        with pytest.raises(aiohttp.ClientOSError, match="no token"):
            await session.get(ORDERS)
    assert not fleet.outstanding


async def test_a_redirected_request_is_counted_once(fleet):
    async def redirect(request):
        if request.path == "/":
            raise web.HTTPFound("/there", text="x" * 100_000)
        return await big(request)

    await fleet.serve(redirect)
    async with fleet.session() as session:
        async with session.get(ORDERS) as response:
            assert sum(fleet.outstanding.values()) == 1
            await response.read()
        assert not fleet.outstanding


def test_without_the_undocumented_callback_the_headers_are_the_end():
    ended = []
    call_at_end(SimpleNamespace(connection=SimpleNamespace()), lambda: ended.append(1))
    call_at_end(SimpleNamespace(connection=None), lambda: ended.append(2))
    assert ended == [1, 2]
