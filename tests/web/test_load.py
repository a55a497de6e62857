"""A server reports how many requests are under way."""

import asyncio

import aiohttp
import pytest
from tests.web.frameworks import FRAMEWORKS, RefusedError, serving

from peerage.calling.answers import reported_requests


@pytest.mark.parametrize("framework", FRAMEWORKS)
async def test_each_answer_says_how_many_requests_are_under_way(framework):
    release, arrived = asyncio.Event(), asyncio.Event()

    async def wait(_request):
        arrived.set()
        await release.wait()
        return "waited"

    async def fail(_request):
        raise RefusedError(404)

    async def answer(_request):
        return "answered"

    handlers = {"/wait": wait, "/fail": fail, "/": answer}
    async with (
        serving(framework, handlers, ("report_load",)) as url,
        aiohttp.ClientSession(url) as session,
        asyncio.TaskGroup() as tasks,
    ):
        waiting = tasks.create_task(_reported(session, "/wait"))
        await arrived.wait()
        for path in ("/", "/fail"):
            assert await _reported(session, path) == 1
        release.set()
        assert await waiting == 0


async def _reported(session, path):
    async with session.get(path) as response:
        return reported_requests(response.headers)


def test_a_hostile_number_is_ignored():
    for text in ("", "-1", "1e9", "x", "9" * 10, "\u0662", "1.5"):
        assert reported_requests({"Peerage-Load": text}) is None
    assert reported_requests({}) is None
    assert reported_requests({"Peerage-Load": "17"}) == 17
