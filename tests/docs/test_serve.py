"""The page on `peerage serve`: the API answers as it says, at the paths that it names."""

import json
import re
import shlex

import aiohttp
import pytest
from aiohttp import web
from tests.docs.pages import commands, text_of

from peerage import Discovery
from peerage.serve import View, create_app
from peerage.testing import eventually

PAGE = "docs/serve.md"
ASKED = [(shlex.split(command)[1], answer) for command, answer in commands(PAGE) if command[:5] == "curl "]
BASE = "http://127.0.0.1:8600/"


@pytest.fixture
async def get():
    """Ask a server that shows two instances of orders."""
    async with (
        Discovery("memory:", service_id="orders", instance_id="orders-1") as discovery,
        Discovery(discovery.registry, service_id="orders", instance_id="orders-2") as other,
        View(discovery.membership) as view,
    ):
        for each, port in ((discovery, 41583), (other, 43823)):
            await each.advertise(web=[("127.0.0.1", port)])
        await eventually(lambda: len(discovery.directory) == 2)
        runner = web.AppRunner(create_app(view))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}/") as session:

            async def ask(path):
                async with session.get(path) as response:
                    return await response.json()

            yield ask
        await runner.cleanup()


def shape(value):
    """What is the same in each cluster: names of fields, and types."""
    if isinstance(value, dict):
        return {name: shape(each) for name, each in value.items()}
    if isinstance(value, list):
        return [shape(each) for each in value]
    return type(value)


@pytest.mark.parametrize(("url", "answer"), ASKED)
async def test_an_answer_is_as_shown(get, url, answer):
    found, shown = await get(url.removeprefix(BASE)), json.loads(answer)
    assert shape(found) == shape(shown)
    if "error" in shown:
        assert found == shown


async def test_every_path_is_named(get):
    rows = re.findall(r"^\| (`/.*?) \|", text_of(PAGE), re.MULTILINE)
    named = {path.partition("?")[0] for row in rows for path in re.findall(r"`([^`]+)`", row)}
    assert named == {*(await get("v1/openapi.json"))["paths"], "/v1/prometheus/targets", "/metrics"}
