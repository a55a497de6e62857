"""A server stops without breaking a request."""

import asyncio
import socket
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web

from peerage.testing import eventually
from peerage.testing.waiting import PATIENCE
from peerage.web import GracefulStop


@asynccontextmanager
async def serving(shutdown_timeout=0.1, /, **handlers):
    """Serve each handler at its name; yields the GracefulStop, the runner and the URL."""
    app = web.Application()
    graceful = GracefulStop(app)
    for name, handler in handlers.items():
        app.router.add_route("*", f"/{name}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=shutdown_timeout)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield graceful, runner, f"http://127.0.0.1:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()


async def stopping(graceful, runner, url):
    """Begin to stop, and return the task once the server takes no more connections."""
    task = asyncio.create_task(graceful.stop(runner))

    async def refused():
        try:
            async with aiohttp.ClientSession() as session, session.get(f"{url}/nothing"):
                return False
        except aiohttp.ClientConnectorError:
            return True

    await eventually(refused)
    return task


@pytest.mark.parametrize("early_response", [False, True])
async def test_an_upload_under_way_is_received_whole(early_response):
    """The server waits for the body, whether or not the handler has begun to answer."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def upload(request):
        response = web.StreamResponse()
        if early_response:
            await response.prepare(request)
        begun.set()
        size = len(await request.read())
        if not early_response:
            await response.prepare(request)
        await response.write(b"%d" % size)
        return response

    async def chunks():
        yield b"x" * 1000
        await go_on.wait()
        yield b"x" * 500_000

    async with (
        serving(upload=upload) as (graceful, runner, url),
        aiohttp.ClientSession() as session,
        asyncio.TaskGroup() as tasks,
    ):

        async def send():
            async with session.post(f"{url}/upload", data=chunks()) as response:
                return await response.text()

        sent = tasks.create_task(send())
        await begun.wait()
        stopped = await stopping(graceful, runner, url)
        assert not stopped.done()
        go_on.set()
        assert await sent == "501000"
        await stopped


async def test_websockets_are_closed_as_going_away():
    """The client reads 1001 and the handler ends; the server doesn't wait for a time limit."""
    closed = asyncio.Event()

    async def chat(request):
        ws = web.WebSocketResponse(timeout=60)
        await ws.prepare(request)
        async for message in ws:
            await ws.send_str(message.data)
        closed.set()
        return ws

    async with (
        serving(chat=chat) as (graceful, runner, url),
        aiohttp.ClientSession() as session,
        session.ws_connect(f"{url}/chat") as ws,
    ):
        await ws.send_str("hello")
        assert await ws.receive_str() == "hello"
        stopped = asyncio.create_task(graceful.stop(runner))
        message = await ws.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        await closed.wait()
        await stopped


async def test_a_response_under_way_is_sent_whole():
    """It is cleanup() that waits for it, as aiohttp does."""
    begun, go_on = asyncio.Event(), asyncio.Event()

    async def download(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"first ")
        begun.set()
        await go_on.wait()
        await response.write(b"last")
        return response

    async with (
        serving(download=download) as (graceful, runner, url),
        aiohttp.ClientSession() as session,
        session.get(f"{url}/download") as response,
    ):
        await begun.wait()
        stopped = await stopping(graceful, runner, url)
        go_on.set()
        assert await response.text() == "first last"
        await stopped


async def test_a_connection_that_is_accepted_while_the_server_stops_listening_is_served():
    """Asyncio drops it if it is half accepted when the listening socket is closed."""

    async def answer(_):
        return web.Response(text="here")

    def half_accepted():
        return any("accept_connection" in each.get_coro().__name__ for each in asyncio.all_tasks())

    async with serving(answer=answer) as (graceful, runner, _):
        with socket.create_connection(runner.addresses[0], PATIENCE) as client:
            client.sendall(b"GET /answer HTTP/1.1\r\nHost: x\r\n\r\n")
            while not half_accepted():  # noqa: ASYNC110 - nothing tells it, and it lasts for one round of the loop
                await asyncio.sleep(0)
            await graceful.stop(runner)
            assert client.recv(100).startswith(b"HTTP/1.1 200")


async def test_connections_that_were_kept_open_are_closed_after_the_next_response():
    """The client makes its next connection to another instance."""

    async def answer(_):
        return web.Response(text="here")

    async with serving(answer=answer) as (graceful, runner, url), aiohttp.ClientSession() as session:
        async with session.get(f"{url}/answer") as response:
            assert "Connection" not in response.headers
        graceful.close_connections()
        async with session.get(f"{url}/answer") as response:
            assert response.headers["Connection"] == "close"
        await graceful.stop(runner)


async def test_a_request_that_takes_too_long_is_given_up():
    """After the time limit the server is cleaned up all the same."""
    begun = asyncio.Event()

    async def hang(_):
        begun.set()
        await asyncio.Event().wait()

    async with serving(hang=hang) as (graceful, runner, url), aiohttp.ClientSession() as session:
        asking = asyncio.create_task(session.get(f"{url}/hang"))
        await begun.wait()
        await graceful.finish(runner, timeout=0)
        await runner.cleanup()
        with pytest.raises(aiohttp.ClientError):
            await asking


@pytest.mark.parametrize("kind", ["request", "response", "WebSocket"])
async def test_what_never_ends_is_broken_off_at_the_limit(caplog, kind):
    """Once: aiohttp waits twice as long as it was told, here for hours. The log names what it was."""
    begun = asyncio.Event()

    async def hang(request):
        if kind != "request":
            response = web.StreamResponse() if kind == "response" else web.WebSocketResponse(timeout=3600)
            await response.prepare(request)
        begun.set()
        await asyncio.Event().wait()

    async with (
        serving(3600, hang=hang) as (graceful, runner, url),
        aiohttp.ClientSession() as session,
        asyncio.timeout(PATIENCE),
    ):
        connect = session.ws_connect if kind == "WebSocket" else session.get
        asking = asyncio.create_task(connect(f"{url}/hang?a=secret"))
        await begun.wait()
        await graceful.stop(runner, 0.05)
        await asyncio.wait([asking])
        if asking.exception() is None:
            await asking.result().close() if kind == "WebSocket" else asking.result().close()
    assert [record.getMessage() for record in caplog.records] == [
        "Requests are broken off because the server stops: GET /hang"
    ]


async def test_cancelled_it_cleans_up():
    """A supervisor that doesn't wait leaves no server behind."""
    begun = asyncio.Event()

    async def hang(_):
        begun.set()
        await asyncio.Event().wait()

    async with serving(hang=hang) as (graceful, runner, url), aiohttp.ClientSession() as session:
        asking = asyncio.create_task(session.get(f"{url}/hang"))
        await begun.wait()
        stopped = await stopping(graceful, runner, url)
        stopped.cancel()
        with pytest.raises(asyncio.CancelledError):
            await stopped
        assert runner.server is None
        with pytest.raises(aiohttp.ClientError):
            await asking
