"""A server with too much to do refuses some requests, marked as not processed, and serves the others."""

import asyncio
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from tests.web import frameworks
from tests.web.frameworks import FRAMEWORKS

from peerage import Discovery
from peerage.testing import begun as begun_call
from peerage.testing import eventually
from peerage.web import Gradient2, limit_concurrency


@asynccontextmanager
async def serving(limit, *, cancelling=False, **handlers):
    """Serve each handler at its name; yields the runner.

    *cancelling*: handlers end when their client has gone.
    """
    app = web.Application(middlewares=[limit_concurrency(limit)])
    for name, handler in handlers.items():
        app.router.add_route("*", f"/{name}", handler)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1, handler_cancellation=cancelling)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner
    finally:
        await runner.cleanup()


def one():
    return Gradient2(least=1, initial=1)


def url_of(runner):
    return f"http://127.0.0.1:{runner.addresses[0][1]}"


class Held:
    """A handler that answers once it may."""

    def __init__(self):
        self.begun, self.go_on = asyncio.Event(), asyncio.Event()

    async def handle(self, _request):
        self.begun.set()
        await self.go_on.wait()
        return web.Response(text="held")


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_what_is_refused_is_marked_as_not_processed(framework, caplog):
    """503, with the mark and a second; it is logged once, and the next request is served."""
    limit, begun, go_on, calls = one(), asyncio.Event(), asyncio.Event(), []

    async def hold(_request):
        begun.set()
        await go_on.wait()
        return "held"

    async def count(request):
        calls.append(request)
        return "counted"

    async with (
        frameworks.serving(framework, {"/hold": hold, "/count": count}, ("limit_concurrency", limit)) as url,
        aiohttp.ClientSession(url) as session,
    ):
        holding = await begun_call(session.get("/hold"))
        await begun.wait()
        for headers, mark in (({}, "1"), ({"Peerage-Dialled": "x 10.0.0.5:1"}, "x 10.0.0.5:1")):
            async with session.post("/count", data=b"x" * 100_000, headers=headers) as response:
                assert response.status == 503
                assert response.headers["Peerage-Overloaded"] == mark
                assert response.headers["Retry-After"] == "1"
                assert "not processed" in await response.text()
        go_on.set()
        (await holding).release()
        assert calls == []
        async with session.post("/count") as response:
            assert response.status == 200
    assert limit.under_way == 0
    assert [each.getMessage() for each in caplog.records if "refused" in each.getMessage()] == [
        "Requests are refused with 503: the limit of 1 requests under way is reached"
    ]


async def test_it_counts_until_the_handler_is_done_however_that_ends():
    """An answer, an HTTP error, an exception, a caller that goes away."""
    limit, held = one(), Held()

    async def wrong(_):
        raise ValueError("wrong")

    async def forbidden(_):
        raise web.HTTPForbidden

    async with (
        serving(limit, cancelling=True, hold=held.handle, wrong=wrong, forbidden=forbidden) as runner,
        aiohttp.ClientSession(url_of(runner)) as session,
    ):
        for path, status in (("/wrong", 500), ("/forbidden", 403), ("/unknown", 404)):
            async with session.get(path) as response:
                assert response.status == status
            assert limit.under_way == 0
        holding = await begun_call(session.get("/hold"))
        await held.begun.wait()
        assert limit.under_way == 1
        holding.cancel()
        await eventually(lambda: limit.under_way == 0)


async def test_websockets_are_not_counted():
    """They last as long as their clients want."""
    limit = one()

    async def chat(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(message.data)
        return socket

    async with (
        serving(limit, chat=chat) as runner,
        aiohttp.ClientSession(url_of(runner)) as session,
        session.ws_connect("/chat") as first,
        session.ws_connect("/chat") as second,
    ):
        for each in (first, second):
            await each.send_str("hello")
            assert await each.receive_str() == "hello"
        assert limit.under_way == 0


async def test_callers_move_a_post_to_another_instance():
    """Though it may not be processed twice: it wasn't processed once."""
    held, free = Held(), Held()
    free.go_on.set()
    async with (
        serving(one(), hold=held.handle) as busy,
        serving(None, hold=free.handle) as idle,
        Discovery("memory:test-overload", service_id="worker") as discovery,
        discovery.session("http://worker.service_id.asab") as session,
        aiohttp.ClientSession(url_of(busy)) as direct,
    ):
        for runner in (busy, idle):
            await discovery.advertise(web=runner.addresses)
        holding = await begun_call(direct.get("/hold"))
        await held.begun.wait()
        for _ in range(20):
            async with session.post("/hold", data=b"body") as response:
                assert (response.status, await response.text()) == (200, "held")
        held.go_on.set()
        (await holding).release()


class Callers:
    """Calls that are begun at a rate, whatever becomes of them, and given up after a second."""

    def __init__(self, session):
        self._session = session
        self._limit = aiohttp.ClientTimeout(total=1.0)

    async def call(self, rate, seconds):
        """Return the share of the calls that were answered in time."""
        loop = asyncio.get_running_loop()
        begin = loop.time()
        async with asyncio.TaskGroup() as tasks:
            calls = []
            for number in range(int(rate * seconds)):
                await asyncio.sleep(begin + number / rate - loop.time())
                calls.append(tasks.create_task(self._one()))
        return sum(call.result() for call in calls) / len(calls)

    async def _one(self):
        try:
            async with self._session.post("/work", timeout=self._limit) as response:
                return response.status == 200
        except TimeoutError:
            return False


@pytest.mark.long
async def test_an_overloaded_server_stays_useful():
    """Four workers of 40 ms serve 100 requests a second; they get 1.5 times that for 20 s.

    Nearly all that it does meanwhile is of use: two thirds of the requests, and fewer on a machine so busy
    that the workers get less done. Ten seconds after the end everything is as before.
    """
    workers, served = asyncio.Semaphore(4), 0

    async def work(_):
        nonlocal served
        async with workers:
            await asyncio.sleep(0.04)
        served += 1
        return web.Response()

    async with (
        serving(Gradient2(), work=work) as runner,
        aiohttp.ClientSession(url_of(runner), connector=aiohttp.TCPConnector(limit=0)) as session,
    ):
        callers = Callers(session)
        await callers.call(70, 5)
        served = 0
        during = await callers.call(150, 20)
        assert during >= 0.9 * served / (150 * 20)
        await callers.call(70, 10)
        assert await callers.call(70, 5) >= 0.95
