"""Services that are started while ZooKeeper is gone."""

import itertools
import json
import os
from configparser import ConfigParser
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
from aiohttp import web

from peerage import ConfigurationError, Discovery, NotDiscoveredError, open_registry
from peerage.asab.zookeeper.discovery import ContainerDiscovery
from peerage.cli.ls import list_once
from peerage.disk_cache import disk_cache_of, from_environment
from peerage.testing import eventually
from peerage.testing.children import STRICT, run
from peerage.testing.zookeeper import Proxy, ZooKeeperServer
from peerage.testing.zookeeper.server import free_port

numbers = itertools.count()

SERVICE = Path(__file__).with_name("service.py")


@pytest.fixture
async def stack():
    async with AsyncExitStack() as stack:
        yield stack


@pytest.fixture
def server(tmp_path):
    """A server that the test may kill."""
    with ZooKeeperServer(tmp_path / "zookeeper") as server:
        yield server


@pytest.mark.long
async def test_a_service_is_started_while_all_servers_are_dead(server, parent, stack):
    """It starts from disk, is called and calls; once the server is back, all is as before."""
    url = f"zookeeper://{server.address}/asab?session_timeout=3"
    ports = {name: str(free_port()) for name in ("orders", "shop")}

    async def start(name):
        environ = {**os.environ, "PORT": ports[name], "PEERAGE_DISK_CACHE": str(parent)}
        child = await stack.enter_async_context(run(*STRICT, SERVICE, url, name, environ=environ))
        assert await child.line() == "ready"
        return child

    async def answer(child, question):
        await child.tell(question)
        return await child.line()

    orders, shop = [await start(name) for name in ports]
    assert await answer(orders, "shop") == "shop"
    (file,) = await eventually(lambda: list(parent.glob("peerage-*/*.cache")))
    await eventually(lambda: b"shop" in file.read_bytes() and b"orders" in file.read_bytes())
    server.kill()
    for child in (orders, shop):
        child.kill()
        await child.wait()
    orders, shop = [await start(name) for name in ports]
    assert await answer(orders, "shop") == "shop"
    assert await answer(shop, "orders") == "orders"
    assert (await answer(shop, "age")).startswith("True ")
    assert "records are known from the disk cache" in shop.log
    server.start()

    async def is_fresh():
        return await answer(shop, "age") == "False 0.0"

    await eventually(is_fresh)
    assert await answer(shop, "orders") == "orders"
    for child in (orders, shop):
        assert await child.end() == (0, "")


async def served(stack, app_of):
    """Serve what the function answers, and return the port."""
    app = web.Application()
    app.router.add_get("/", app_of)
    runner = web.AppRunner(app)
    await runner.setup()
    stack.push_async_callback(runner.cleanup)
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    return runner.addresses[0][1]


class Cluster:
    """A real server behind a proxy, one service that keeps the tokens it gets, and one that is dead."""

    def __init__(self, stack, proxy, parent):
        self.stack = stack
        self.proxy = proxy
        self.parent = parent
        self.url = f"zookeeper://{proxy.address}/disk-cache-{next(numbers)}"
        self.tokens = []

    async def answer(self, request):
        self.tokens.append(request.headers.get("Authorization"))
        return web.Response()

    async def start(self):
        port = await served(self.stack, self.answer)
        service = await self.discovery(service_id="orders", instance_id="orders-1")
        await service.advertise(port=port)
        await service.advertise(port=free_port(), ids={"shard": [7]})
        (file,) = await eventually(lambda: list(self.parent.glob("peerage-*/*.cache")))
        await eventually(lambda: b"shard" in file.read_bytes())
        await self.proxy.refuse()

    async def discovery(self, **options):
        return await self.stack.enter_async_context(
            Discovery(self.url, disk_cache=self.parent, authorization="instance", **options)
        )


@pytest.fixture
async def cluster(zookeeper, stack, parent):
    proxy = await stack.enter_async_context(Proxy(zookeeper.address))
    cluster = Cluster(stack, proxy, parent)
    await cluster.start()
    return cluster


async def test_calls_of_a_process_that_starts_without_the_registry(cluster, capsys, monkeypatch):
    """It calls what it knows from disk; errors and `peerage ls` say how old that is."""
    caller = await cluster.discovery(instance_id="shop-1")
    session = await cluster.stack.enter_async_context(caller.session())
    async with session.get("http://orders-1.instance_id.asab/") as response:
        assert response.status == 200
    assert caller.stale
    assert 0 <= caller.age < 60
    for name, error in (("7.shard", OSError), ("missing.service_id", NotDiscoveredError)):
        with pytest.raises(error, match=r"has been out of reach for [0-9]+ s"):
            await session.get(f"http://{name}.asab/")
    monkeypatch.setenv("PEERAGE_DISK_CACHE", str(cluster.parent))
    assert await list_once(cluster.url, [], timeout=5, as_array=False) == 0
    shown = capsys.readouterr().out
    assert "ready, unconfirmed" in shown
    assert "unconfirmed: known from the disk cache only" in shown
    assert "Out of touch for " in shown
    await list_once(cluster.url, [], timeout=5, as_array=True)
    assert all(row["unconfirmed"] for row in json.loads(capsys.readouterr().out))
    await cluster.proxy.start()
    await eventually(lambda: caller.stale is None and not caller.directory.unconfirmed)
    assert caller.age == 0
    assert await list_once(cluster.url, [], timeout=5, as_array=False) == 0
    assert "the session time-out" in capsys.readouterr().out


async def test_addresses_from_disk_get_no_token_over_plain_http(cluster, caplog):
    """Over no connection that was made in doubt, even later; once they are confirmed, tokens are sent."""
    caller = await cluster.discovery(instance_id="shop-1")
    plain = await cluster.stack.enter_async_context(caller.session())
    session = await cluster.stack.enter_async_context(
        caller.session(auth="internal", resources={"*": ["orders:read"]})
    )

    async def get(session):
        async with session.get("http://orders.service_id.asab/") as response:
            await response.read()
        return cluster.tokens.pop()

    for one in (plain, session, session):
        assert await get(one) is None
    (line,) = [each for each in caplog.messages if "No internal token" in each]
    assert "unconfirmed" in line
    await cluster.proxy.start()
    await eventually(lambda: not caller.directory.unconfirmed)
    assert (await get(session)).startswith("Bearer ")


async def test_tokens_can_be_allowed(cluster):
    """By an option."""
    caller = await cluster.discovery(instance_id="shop-1", disk_cache_tokens=True)
    async with (
        caller.session(auth="internal", resources={"*": ["orders:read"]}) as session,
        session.get("http://orders.service_id.asab/") as response,
    ):
        assert response.status == 200
    assert cluster.tokens.pop().startswith("Bearer ")


@pytest.mark.parametrize("url", ["memory:disk-cache", "embedded:///tmp/x"])
def test_registries_of_this_machine_have_none(url, parent):
    """There is nothing to gain."""
    assert disk_cache_of(url, str(parent)) is None


@pytest.mark.parametrize("choice", ["relative", "", "/a\0b"])
def test_a_folder_has_an_absolute_path(choice):
    with pytest.raises(ConfigurationError, match="absolute path"):
        disk_cache_of("zookeeper://zk-1/asab", choice)


def test_what_the_environment_says(monkeypatch):
    monkeypatch.delenv("PEERAGE_DISK_CACHE")
    assert from_environment() is True
    assert from_environment({"PEERAGE_DISK_CACHE": "off"}) is False
    assert from_environment({"PEERAGE_DISK_CACHE": "/folder"}) == "/folder"


@pytest.mark.parametrize(
    ("section", "expected"), [("", False), ("disk_cache = off", False), ("disk_cache = /folder", "/folder/")]
)
async def test_a_program_of_asab_configures_it(section, expected):
    """Else the environment decides, which says `off` here."""
    config = ConfigParser()
    config.read_string(f"[discovery]\n{section}\n")
    registry = open_registry("zookeeper://127.0.0.1:1/asab")
    discovery = ContainerDiscovery(registry, config)
    assert not discovery._disk_cache_key
    found = discovery.membership._disk_cache
    assert (found is None) if expected is False else found._file.path.startswith(expected)
    await registry.aclose()
