"""Several servers are one registry, which works as long as most of them do."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager

import pytest
from tests.backends.zookeeper.support import never_empty

from peerage import Discovery
from peerage.records.advert import Advert
from peerage.records.build import build_record
from peerage.records.identity import Identity
from peerage.registry import Registry, open_registry
from peerage.testing import View, eventually
from peerage.testing.harness import closing, registered
from peerage.testing.waiting import PATIENCE
from peerage.testing.zookeeper import Ensemble, Proxy, ZooKeeperServer

pytestmark = pytest.mark.ensemble

_numbers = itertools.count()


@pytest.fixture(scope="module")
def servers(tmp_path_factory) -> Iterator[Ensemble]:
    with Ensemble(tmp_path_factory.mktemp("ensemble")) as ensemble:
        yield ensemble


@pytest.fixture
def ensemble(servers) -> Iterator[Ensemble]:
    """Three servers that serve; those that a test killed are started again afterwards."""
    yield servers
    revive(servers)


@pytest.fixture
def path() -> str:
    return f"/own-{next(_numbers)}?session_timeout=4"


def revive(ensemble: Ensemble) -> None:
    dead = [server for server in ensemble.servers if not server.running]
    for server in dead:
        server.launch()
    for server in dead:
        server.wait()


def record(number: int) -> bytes:
    identity = Identity(host="127.0.0.1", service_id="kept", instance_id=f"kept-{number}")
    return build_record(Advert(identity=identity, port=10_000 + number))


async def server_of(registry: Registry) -> str | None:
    """The server that this participant is connected to; waits for a connection."""
    async with asyncio.timeout(PATIENCE):
        while (health := await registry.inspect()).server is None:
            pass
        return health.server


@asynccontextmanager
async def participants(url: str, count: int = 6) -> AsyncIterator[list[Discovery]]:
    """Participants with a record each, on servers chosen at random; all know all records."""
    discoveries = [Discovery(url) for _ in range(count)]
    try:
        for discovery in discoveries:
            await discovery.__aenter__()
        for number, discovery in enumerate(discoveries):
            await registered(discovery.registry, "Kept", record(number))
        for discovery in discoveries:
            await eventually(lambda each=discovery: len(each.directory.find()) == count)
        yield discoveries
    finally:
        for discovery in discoveries:
            await discovery.aclose()


def nodes_of(discovery: Discovery) -> set[str]:
    return set(discovery.directory.names())


async def check(url: str, discoveries: list[Discovery], nodes: set[str]) -> None:
    """All are in touch again, a new watcher sees the same *nodes*, and all see a new record."""
    for discovery in discoveries:
        await eventually(lambda each=discovery: each.stale is None)
    async with closing(open_registry(url)) as (newcomer,), View(newcomer) as view:
        # A server may lag behind the others for a moment.
        await view.until(lambda: view.ready and set(view.records) == nodes)
        marker = await registered(newcomer, "Marker", record(99))
        for discovery in discoveries:
            await eventually(lambda each=discovery: nodes_of(each) == {*nodes, marker.name})


async def test_three_servers_are_one_registry(ensemble, path):
    """What a participant does on one server is seen on the others."""
    urls = [f"zookeeper://{server.address}{path}" for server in ensemble.servers]
    registries = [open_registry(url) for url in urls]
    async with closing(*registries), View(registries[0]) as one, View(registries[2]) as three:
        owners = [await registered(registry, "Owner", b"0") for registry in registries]
        for view in (one, three):
            await view.until(lambda view=view: set(view.records) == {owner.name for owner in owners})
        owners[1].update(b"1")
        await owners[0].withdraw()
        for view in (one, three):
            await view.until_data([b"0", b"1"])


@pytest.mark.parametrize("victim", ["leader", "follower"])
async def test_a_server_killed(ensemble, path, victim):
    """Leader or not: sessions and nodes survive, and no answer is ever empty."""
    url = f"zookeeper://{ensemble.address}{path}"
    async with participants(url) as discoveries:
        nodes = nodes_of(discoveries[0])
        leader = ensemble.leader()
        assert leader is not None
        if victim == "leader":
            killed = leader
        else:
            # A server with a client, if there is one.
            used = [await server_of(discovery.registry) for discovery in discoveries]
            followers = [server for server in ensemble.servers if server is not leader]
            killed = max(followers, key=lambda server: used.count(server.address))
        async with never_empty("kept", *discoveries):
            killed.kill()
            await check(url, discoveries, nodes)
            assert killed.address not in {await server_of(each.registry) for each in discoveries}


async def test_a_server_dead_from_the_start(ensemble, path):
    """Participants that try it first go on to the next."""
    leader = ensemble.leader()
    follower = next(server for server in ensemble.servers if server is not leader)
    follower.kill()
    url = f"zookeeper://{ensemble.address}{path}"
    async with participants(url) as discoveries:
        await check(url, discoveries, nodes_of(discoveries[0]))


async def test_too_few_servers(ensemble, path):
    """Without a majority, all that was known stays; with it, all is as before."""
    url = f"zookeeper://{ensemble.address}{path}"
    async with participants(url, 3) as discoveries:
        nodes = nodes_of(discoveries[0])
        async with never_empty("kept", *discoveries):
            ensemble.servers[0].kill()
            ensemble.servers[1].kill()
            for discovery in discoveries:
                await eventually(lambda each=discovery: each.stale)
            late = discoveries[0].registry.advertise("Late", record(50))
            ensemble.servers[0].launch()
            await asyncio.to_thread(ensemble.servers[0].wait)
            await late.registered()
            await check(url, discoveries, {*nodes, late.name})


# Hosts that are none


@pytest.fixture
async def hole(ensemble) -> AsyncIterator[Proxy]:
    """A proxy in front of one of the servers."""
    server: ZooKeeperServer = ensemble.servers[0]
    async with Proxy(server.address) as proxy:
        yield proxy


async def test_a_host_that_never_answers(ensemble, path, hole):
    """It accepts connections and sends nothing: all participants find the others."""
    hole.black_hole()
    url = f"zookeeper://{hole.address},{ensemble.servers[1].address}{path}"
    async with participants(url) as discoveries:
        assert {await server_of(each.registry) for each in discoveries} == {ensemble.servers[1].address}
        await check(url, discoveries, nodes_of(discoveries[0]))


async def test_a_host_that_stops_answering(ensemble, path, hole):
    """Its clients go on to the others; in the end each record exists once."""
    url = f"zookeeper://{hole.address},{ensemble.servers[1].address}{path}"
    async with participants(url) as discoveries:
        hole.black_hole()
        for discovery in discoveries:
            connection = discovery.registry.connection
            await eventually(
                lambda here=connection: here.up and here.up.server == ensemble.servers[1].address
            )
        async with closing(open_registry(url)) as (newcomer,), View(newcomer) as view:
            await view.until_data([record(number) for number in range(6)])
            for discovery in discoveries:
                await eventually(lambda each=discovery: nodes_of(each) == set(view.records))


async def test_a_host_whose_name_is_unknown(ensemble, path):
    """The first name of the list can't be resolved, as of a server that is being replaced."""
    url = f"zookeeper://unknown.invalid:2181,{ensemble.servers[1].address}{path}"
    async with participants(url, 3) as discoveries:
        await check(url, discoveries, nodes_of(discoveries[0]))
