"""A server reports how many requests are under way."""

import asyncio

from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from peerage.calling.answers import reported_requests
from peerage.web import report_load


async def test_each_answer_says_how_many_requests_are_under_way():
    release, arrived = asyncio.Event(), asyncio.Event()

    async def wait(request):
        arrived.set()
        await release.wait()
        return web.Response()

    async def fail(request):
        raise web.HTTPNotFound

    async def answer(request):
        return web.Response()

    app = web.Application(middlewares=[report_load()])
    app.router.add_get("/wait", wait)
    app.router.add_get("/fail", fail)
    app.router.add_get("/", answer)
    async with TestClient(TestServer(app)) as client:
        waiting = asyncio.create_task(client.get("/wait"))
        await arrived.wait()
        for path in ("/", "/fail"):
            async with client.get(path) as response:
                assert reported_requests(response.headers) == 1
        release.set()
        assert reported_requests((await waiting).headers) == 0


def test_a_hostile_number_is_ignored():
    for text in ("", "-1", "1e9", "x", "9" * 10, "\u0662", "1.5"):
        assert reported_requests({"Peerage-Load": text}) is None
    assert reported_requests({}) is None
    assert reported_requests({"Peerage-Load": "17"}) == 17
