"""Migration: the programs of examples/ on the original and on us, in one cluster, find and call each other.

So it is while a cluster moves, service by service, and back: each has the same text, but for the import line.
"""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.asab.running import Running, running
from tests.asab.zookeeper.programs import on
from tests.interop.original import original

from peerage import Discovery
from peerage.testing.waiting import PATIENCE, eventually

EXAMPLES = Path(__file__).parents[2] / "examples"
IMPORT = "import peerage.asab as asab\n"

#: What programs for the original import besides; with ours they may.
LOAD = 'load("web", "web.rest", "web.auth", "contextvars", "zookeeper", "api", "api.discovery")\n'

SIDES = pytest.mark.parametrize(("one", "other"), [("ours", "theirs"), ("theirs", "ours")])


@dataclass(frozen=True)
class Cluster:
    """Where both kinds are; *discovery* looks on."""

    servers: str
    path: str
    config: str
    discovery: Discovery

    @asynccontextmanager
    async def run(self, name: str, side: str, service: str = "", number: int = 1) -> AsyncIterator[Running]:
        """Run an example; a *service* is there then, and SIGTERM ends it."""
        text = (EXAMPLES / f"{name}.py").read_text(encoding="utf-8")
        assert IMPORT in text
        environ = {"ASAB_HOSTNAME": "127.0.0.1"}
        if service:
            instance = f"{service}-{number}"
            environ |= {"SERVICE_ID": service, "INSTANCE_ID": instance}
        program = LOAD + text.replace(IMPORT, "")
        async with running(program, "-c", self.config, original=side == "theirs", environ=environ) as one:
            if not service:
                yield one
            else:
                await eventually(lambda: self.discovery.directory.targets("instance_id", instance), instance)
                yield one
                one.terminate()
            assert await one.end() == (0, []), one.log


@pytest.fixture
async def cluster(zookeeper, tmp_path):
    """A path for this test alone, on a real server."""
    environ = on(zookeeper)
    servers, path = environ["TEST_SERVERS"], environ["TEST_PATH"]
    config = tmp_path / "examples.conf"
    config.write_text(f"[zookeeper]\nservers={servers}\npath={path}\n\n[orders]\nitems=tea\n")
    async with Discovery(f"zookeeper://{servers}{path}") as discovery:
        yield Cluster(servers, path, str(config), discovery)


@SIDES
async def test_a_client_of_the_other_kind(cluster, one, other):
    """client.py finds and calls server.py."""
    async with cluster.run("server", one, "orders"), cluster.run("client", other) as client:
        (url,) = await cluster.discovery.locate(service_id="orders")
        assert await client.line() == str({url})
        assert await client.line() == "200 {'items': ['tea'], 'token': False}"


@pytest.mark.long
@SIDES
async def test_a_relay_of_the_other_kind(cluster, one, other):
    """both.py calls server.py on behalf of its caller."""
    async with (
        cluster.run("server", one, "orders"),
        cluster.run("both", other, "shop"),
        cluster.discovery.session("http://shop.service_id.asab") as session,
    ):
        for headers, token in (({}, False), ({"Authorization": "Bearer some-token"}, True)):
            async with session.get("/v1/shop", headers=headers) as response:
                assert response.status == 200
                answer = {"shop": "open", "orders": {"items": ["tea"], "token": token}}
                assert await response.json() == answer


@pytest.mark.long
async def test_a_service_moves_and_back(cluster):
    """One beside the other, the other gone, and the same again: it is called all the while."""
    calls, over = 0, asyncio.Event()

    async def call_on() -> None:
        nonlocal calls
        async with cluster.discovery.session(
            "http://orders.service_id.asab", raise_for_status=True
        ) as session:
            while not over.is_set():
                async with session.get("/v1/orders") as response:
                    await response.read()
                calls += 1

    async def called() -> None:
        before = calls
        await eventually(lambda: calls > before + 20 or calling.done())

    async with AsyncExitStack() as old, AsyncExitStack() as new, AsyncExitStack() as back:
        await old.enter_async_context(cluster.run("server", "theirs", "orders", 1))
        calling = asyncio.ensure_future(call_on())
        try:
            await called()
            await new.enter_async_context(cluster.run("server", "ours", "orders", 2))
            await old.aclose()
            await called()
            await eventually(lambda: len(cluster.discovery.directory.find()) == 1)
            async with cluster.run("client", "theirs") as client:
                assert (await client.line()).count("http://") == 1
                assert (await client.line()).startswith("200 ")
            await back.enter_async_context(cluster.run("server", "theirs", "orders", 1))
            await new.aclose()
            await called()
        finally:
            over.set()
            await asyncio.wait([calling])
        await calling


async def test_custom_ids_of_theirs(cluster):
    """custom_ids.py on the original is found by what it holds, and by what it takes later."""
    async with (
        cluster.run("custom_ids", "theirs", "shards"),
        cluster.discovery.session() as session,
    ):
        for url, method, shards in (
            ("http://1.shard.asab/", "GET", ["1", "2"]),
            ("http://2.shard.asab/3", "PUT", ["1", "2", "3"]),
            ("http://3.shard.asab/", "GET", ["1", "2", "3"]),
        ):
            value = url.removeprefix("http://").partition(".")[0]
            await eventually(lambda value=value: cluster.discovery.directory.targets("shard", value), url)
            async with session.request(method, url) as response:
                assert await response.json() == {"shards": shards}


async def test_custom_ids_of_ours(cluster):
    """custom_ids.py on us is found by the original."""
    async with (
        cluster.run("custom_ids", "ours", "shards"),
        original(cluster.servers, cluster.path.strip("/"), SERVICE_ID="peer") as peer,
    ):
        await eventually(lambda: cluster.discovery.directory.targets("shard", "1"), "shard 1")
        # Its first look may come before it is connected.
        async with asyncio.timeout(PATIENCE):
            while not await peer.tell("locate", {"shard": "1"}):  # noqa: ASYNC110 - another process
                await asyncio.sleep(0.02)
        status, text = await peer.tell("get", "http://1.shard.asab/")
        assert (status, json.loads(text)) == (200, {"shards": ["1", "2"]})


@pytest.mark.long
@SIDES
async def test_authorization_of_the_other_kind(cluster, one, other):
    """authorization.py accepts the tokens that signed_in.py on the other side gets from seacat_auth.py."""
    async with (
        cluster.run("seacat_auth", "ours", "seacat-auth"),
        cluster.run("authorization", one, "notes"),
        cluster.run("signed_in", other) as program,
    ):
        assert (await program.line()).startswith("anonymous: writes 401, reads 401")
        assert [await program.line() for _ in range(2)] == [
            'reader: writes 403, reads 200 {"notes": [], "for": "reader"}',
            'writer: writes 200, reads 200 {"notes": ["milk"], "for": "writer"}',
        ]
