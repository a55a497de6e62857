"""Fake peers and the registry of a test: what the fixtures of the plugin give."""

import asyncio
import os
import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import aiohttp
import httpx
import pytest
from aiohttp import web

from peerage import CallOptions, Discovery, NotDiscoveredError, RecordError, UnreachableError
from peerage.testing import begun, eventually, loopthread
from peerage.testing.children import STRICT, run
from peerage.testing.waiting import PATIENCE

ORDERS = "http://orders.service_id.asab/v1/orders?open=1"


@pytest.fixture
async def discovery(registry):
    """The Discovery of the code under test, which knows nothing of the test."""
    async with Discovery(service_id="shop", calls=CallOptions(wait=0)) as discovery:
        await discovery.ready()
        yield discovery


@pytest.fixture
async def session(discovery):
    async with discovery.session() as session:
        yield session


async def get(session, url=ORDERS):
    async with session.get(url) as response:
        return await response.json()


async def test_a_value_answers_each_request(peers, session):
    await peers.add("orders", {"open": 3})
    assert await get(session) == {"open": 3}
    assert await get(session) == {"open": 3}


async def test_a_function_answers_with_a_value(peers, session):
    await peers.add("orders", lambda request: request.path_qs)
    assert await get(session) == "/v1/orders?open=1"


async def test_a_coroutine_function_answers_with_a_response(peers, session):
    async def handle(request):
        return web.json_response(await request.json(), status=201)

    await peers.add("orders", handle)
    async with session.post(ORDERS, json={"tea": 1}) as response:
        assert response.status == 201
        assert await response.json() == {"tea": 1}


async def test_what_was_received_can_be_read_later(peers, session):
    """Also the body of a request that no handler has read."""
    orders = await peers.add("orders")
    async with session.post(ORDERS, json={"tea": 1}, headers={"X-Shop": "7"}) as response:
        assert await response.json() is None
    (request,) = orders.requests
    assert (request.method, request.query["open"], request.headers["X-Shop"]) == ("POST", "1", "7")
    assert await request.json() == {"tea": 1}


async def test_probes_are_answered_and_are_no_requests_of_the_test(peers, session):
    orders = await peers.add("orders", 1)
    async with session.head(orders.url, headers={"User-Agent": "peerage"}) as response:
        assert response.status == 200
    assert not orders.requests


async def test_a_peer_is_known_at_once(peers, session):
    """To a Discovery that was open before the peer was added."""
    with pytest.raises(NotDiscoveredError):
        await get(session)
    await peers.add("orders", 1)
    assert await get(session) == 1


async def test_several_instances_and_their_ids(peers, session):
    await peers.add("orders", "first", ids={"shard": 1})
    await peers.add("orders", "second", ids={"shard": 2}, weight=3)
    assert await get(session, "http://2.shard.asab/") == "second"
    assert sorted(each.weight for each in peers.registry.instances(service_id="orders")) == [1, 3]


def test_a_peer_that_cant_be_advertised_leaves_nothing_open(peers):
    """The port is closed as well."""
    with pytest.raises(RecordError, match="shard"):
        peers.add("orders", ids={"no.shard": 1})
    with pytest.raises(TypeError, match="surname"):
        peers.add("orders", surname="tea")


def test_a_handler_that_blocks_the_peers_is_named_as_a_cause(peers, monkeypatch):
    entered, release = threading.Event(), threading.Event()

    def block(_):
        entered.set()
        return release.wait(20)

    orders = peers.add("orders", block)
    with ThreadPoolExecutor(1) as threads:
        answer = threads.submit(httpx.get, orders.url)
        assert entered.wait(20)
        with monkeypatch.context() as patch:
            patch.setattr(loopthread, "PATIENCE", 0.01)
            with pytest.raises(TimeoutError, match="look for a handler"):
                orders.hang()
        release.set()
        assert answer.result().json() is True


async def test_a_killed_peer_refuses(peers, session):
    orders = await peers.add("orders", 1)
    assert await get(session) == 1
    orders.kill()
    assert not peers.registry.instances(service_id="orders")
    with pytest.raises(aiohttp.ClientConnectorError):
        await get(session, orders.url)
    with pytest.raises((NotDiscoveredError, RecordError, UnreachableError)):
        await get(session)


async def test_killing_breaks_connections(peers, session, virtual_clock):
    """At once, also while a handler is at work, which is cancelled: virtual time can't pass meanwhile."""
    cancelled = threading.Event()

    async def handle(_):
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    orders = await peers.add("orders", handle)
    getting = await begun(get(session, orders.url))
    await eventually(lambda: orders.requests)
    orders.kill()
    with pytest.raises(aiohttp.ClientConnectionError):
        await getting
    assert cancelled.is_set()


async def test_the_record_of_a_killed_peer_may_stay(peers, session):
    """Calls are made elsewhere although the record says otherwise."""
    orders = await peers.add("orders", "dead")
    await peers.add("orders", "alive")
    orders.kill(record_stays=True)
    assert len(peers.registry.instances(service_id="orders")) == 2
    assert [await get(session) for _ in range(5)] == ["alive"] * 5
    orders.kill()
    assert len(peers.registry.instances(service_id="orders")) == 1


async def test_a_hanging_peer_accepts_and_answers_later(peers, session):
    orders = await peers.add("orders", 1)
    orders.hang()
    getting = await begun(get(session, orders.url))
    await eventually(lambda: orders.requests)
    assert not getting.done()
    orders.resume()
    assert await getting == 1


async def test_a_peer_fails_until_told_otherwise(peers, session):
    orders = await peers.add("orders", 1)
    orders.fail(503)
    async with session.get(orders.url) as response:
        assert response.status == 503
    orders.fail(None)
    assert await get(session, orders.url) == 1


async def test_a_draining_peer_is_called_last(peers, session):
    orders = await peers.add("orders", "draining")
    orders.drain()
    await peers.add("orders", "other")
    assert [await get(session) for _ in range(5)] == ["other"] * 5
    assert await get(session, orders.url) == "draining"


def test_a_test_without_an_event_loop(peers):
    orders = peers.add("orders", {"open": 3})
    assert httpx.get(orders.url).json() == {"open": 3}


def test_a_discovery_in_another_thread(peers):
    """It knows a peer when add() returns."""
    opened, closing = threading.Event(), threading.Event()
    found = []

    async def run():
        async with Discovery() as discovery:
            await discovery.ready()
            opened.set()
            await asyncio.to_thread(closing.wait)
            found.extend(discovery.directory.find())

    thread = threading.Thread(target=asyncio.run, args=[run()])
    thread.start()
    assert opened.wait(20)
    peers.add("orders")
    closing.set()
    thread.join()
    assert [each.service_id for each in found] == ["orders"]


# The registry


async def test_a_lost_registry(registry, peers, discovery, session):
    """What was known stays in use, and what has changed is seen afterwards."""
    orders = await peers.add("orders", 1)
    registry.lose("no network")
    await registry.seen()
    assert discovery.stale == "no network"
    await peers.add("pricing", 2)
    assert await get(session) == 1
    assert not await discovery.locate(service_id="pricing")
    registry.restore()
    await registry.seen()
    assert discovery.stale is None
    assert await discovery.locate(service_id="pricing")
    assert orders.requests


async def test_a_registry_that_is_lost_before_the_service_starts(registry, peers):
    await peers.add("orders", 1)
    registry.lose()
    async with Discovery() as discovery:
        registration = await discovery.advertise()
        assert discovery.stale
        assert registration.name is None
        registry.restore()
        await discovery.ready()
        await registration.registered()
        assert await discovery.locate(service_id="orders")


async def test_an_expired_session(registry, peers, discovery):
    """The records of the code under test come back under other names; those of the peers stay."""
    await peers.add("orders", 1)
    registration = await discovery.advertise(port=1)
    before = {each.service_id: each.name for each in registry.instances()}
    registry.expire()
    await registry.seen()
    after = {each.service_id: each.name for each in registry.instances()}
    assert after["orders"] == before["orders"]
    assert after["shop"] == registration.name != before["shop"]


async def test_faults_concern_no_discovery_that_is_closed(registry, peers):
    """Nor is it up to the garbage collector whether they do."""
    closed = Discovery()
    async with closed:
        await closed.ready()
    async with Discovery() as discovery:
        await discovery.ready()
        registry.lose("no network")
        registry.expire()
        await registry.seen()
        assert discovery.stale == "no network"
        registry.restore()
        await registry.seen()
        assert discovery.stale is None


def test_a_lost_registry_of_another_thread(registry):
    """Faults are simulated in the thread of the Discovery: an Event of asyncio isn't thread-safe."""
    opened, lost, waiting = threading.Event(), threading.Event(), threading.Event()

    async def run():
        async with Discovery(service_id="shop") as discovery:
            registration = await discovery.advertise(port=1)
            opened.set()
            await asyncio.to_thread(lost.wait)
            registration.update(port=2)
            registered = await begun(registration.registered())
            waiting.set()
            await registered
            assert [each.endpoints[0].port for each in registry.instances()] == [2]

    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(asyncio.run, run(), debug=True)
        assert opened.wait(20)
        registry.lose()
        lost.set()
        assert waiting.wait(20)
        registry.restore()
        running.result(20)


def test_each_test_has_its_own(registry, peers):
    assert os.environ["PEERAGE_REGISTRY"] == registry.url
    assert peers.registry is registry
    assert not registry.instances()


@pytest.mark.peerage_registry("embedded")
async def test_child_processes_see_a_registry_with_files(registry, peers):
    """The peer is found and called by a program, which is found by the test."""
    program = """
import asyncio, sys
from peerage import Discovery

async def main():
    async with Discovery(service_id="shop") as discovery, discovery.session() as session:
        await discovery.advertise(port=1)
        async with session.get("http://orders.service_id.asab/") as response:
            print(await response.text())
        sys.stdin.read()

asyncio.run(main())
"""
    orders = await peers.add("orders", 7)
    async with run(*STRICT, "-c", program) as child, Discovery() as discovery:
        assert await child.line() == "7"
        assert await discovery.locate(service_id="shop")
        orders.drain()
        orders.kill()

        async def is_gone():
            return not await discovery.instances(service_id="orders")

        await eventually(is_gone)
        assert await child.end() == (0, "")
    with pytest.raises(TypeError, match="leave out the marker"):
        registry.lose()


def test_connections_that_are_made_at_its_end_are_closed(peers):
    """None is lost between the listening socket and the server."""
    for _ in range(3):
        peer = peers.add("orders", 1)
        host, _, port = peer.url.removeprefix("http://").partition(":")
        made = []
        enough, ended = threading.Event(), threading.Event()

        def connect(address=(host, int(port)), made=made, enough=enough, ended=ended):
            with suppress(ConnectionError):
                while not ended.is_set():
                    made.append(socket.create_connection(address, PATIENCE))
                    if len(made) == 20:
                        enough.set()

        client = threading.Thread(target=connect)
        client.start()
        enough.wait(PATIENCE)
        peer.kill()
        ended.set()
        client.join()
        for each in made:
            with each, suppress(ConnectionError):
                assert each.recv(1) == b""
