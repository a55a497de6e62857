"""How many connections to instances are kept, and when they are closed."""

import asyncio
import resource
from contextlib import contextmanager

import aiohttp
import pytest
from aiohttp import web

from peerage.client import Client, connections
from peerage.client.connections import Connections
from peerage.testing import eventually

ORDERS = "http://orders.service_id.asab/"


def kept_sockets(fleet):
    return [one for one in fleet.client._sockets if one.fileno() != -1]


async def get(session, name=None):
    url = ORDERS if name is None else f"http://{name}.instance_id.asab/"
    async with session.get(url) as response:
        await response.read()


@contextmanager
def descriptors(number):
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


async def test_connections_to_an_instance_that_left_are_closed(fleet):
    first, second = await fleet.serve(), await fleet.serve()
    async with fleet.session() as session:
        await get(session, "orders-1")
        await get(session, "orders-2")
        assert len(kept_sockets(fleet)) == 2
        fleet.directory.remove(first.name)
        await eventually(lambda: len(kept_sockets(fleet)) == 1)
        await get(session)
        assert second.hits == 2
        assert len(kept_sockets(fleet)) == 1


async def test_a_request_under_way_at_an_instance_that_left_is_finished_first(fleet):
    asked, release = asyncio.Event(), asyncio.Event()

    async def take_time(request):
        asked.set()
        await release.wait()
        return web.Response(text="done")

    served = await fleet.serve(take_time)
    async with fleet.session() as session:
        call = asyncio.create_task(session.get(ORDERS))
        await asked.wait()
        fleet.directory.remove(served.name)
        release.set()
        async with await call as response:
            assert await response.text() == "done"
        # aiohttp would keep it for 15 seconds.
        async with asyncio.timeout(10):
            await eventually(lambda: not kept_sockets(fleet))


async def test_idle_connections_to_an_instance_that_left_are_closed_although_a_request_is_under_way(fleet):
    """A process that takes over the port may be there by now, and have the next requests."""
    asked, release = asyncio.Event(), asyncio.Event()

    async def take_time(request):
        if request.method == "POST":
            asked.set()
            await release.wait()
        return web.Response()

    served = await fleet.serve(take_time)
    async with fleet.session() as session:
        await asyncio.gather(get(session), get(session))
        call = asyncio.create_task(session.post(ORDERS))
        await asked.wait()
        assert len(kept_sockets(fleet)) == 2
        fleet.directory.remove(served.name)
        # aiohttp would keep it for 15 seconds.
        async with asyncio.timeout(10):
            await eventually(lambda: len(kept_sockets(fleet)) == 1)
        release.set()
        assert (await call).status == 200


async def test_a_successor_at_the_same_address_is_not_harmed(fleet):
    """A service that restarts on its port: the old record goes after the new one came."""
    served = await fleet.serve()
    async with fleet.session() as session:
        await get(session)
        successor = fleet.advertise(served.port)
        fleet.directory.remove(served.name)
        for _ in range(3):
            async with session.post(ORDERS) as response:
                assert response.status == 200
    assert fleet.client.balancer.stats(successor) is not None


async def test_idle_connections_are_bounded(fleet):
    for _ in range(40):
        await fleet.serve()
    with descriptors(40):
        fleet.client = Client(fleet.membership)
    async with fleet.session() as session:
        for number in range(40):
            await get(session, f"orders-{number + 1}")
        await eventually(lambda: len(kept_sockets(fleet)) <= 10)
        await get(session, "orders-40")


async def test_connections_that_become_idle_together_are_bounded(fleet):
    together = asyncio.Event()
    arrived = 0

    async def answer(request):
        nonlocal arrived
        arrived += 1
        if arrived == 40:
            together.set()
        await together.wait()
        return web.Response(text="done")

    for _ in range(40):
        await fleet.serve(answer)
    with descriptors(40):
        fleet.client = Client(fleet.membership, limit=0)
    async with fleet.session() as session:
        await asyncio.gather(*(get(session, f"orders-{number + 1}") for number in range(40)))
        async with asyncio.timeout(10):
            await eventually(lambda: len(kept_sockets(fleet)) <= 10)


async def test_connections_that_one_instance_closes_cost_no_others(fleet):
    async def close(request):
        return web.Response(text="done", headers={"Connection": "close"})

    for _ in range(8):
        await fleet.serve()
    await fleet.serve(close)
    with descriptors(40):
        fleet.client = Client(fleet.membership)
    async with fleet.session() as session:
        for number in [*range(1, 9), *[9] * 40]:
            await get(session, f"orders-{number}")
        await eventually(lambda: len(kept_sockets(fleet)) == 8)


async def test_requests_that_wait_for_a_connection_dont_count_as_using_one(fleet):
    """With more requests at once than connections are allowed, those answered leave idle ones behind."""
    seen = []

    async def answer(request):
        seen.append(len(kept_sockets(fleet)))
        return web.Response(text="done")

    for _ in range(40):
        await fleet.serve(answer)
    # A process with so few descriptors keeps a quarter of them idle.
    with descriptors(32):
        fleet.client = Client(fleet.membership, limit=4)
    async with fleet.session() as session:
        await asyncio.gather(*(get(session, f"orders-{number + 1}") for number in range(40)))
    assert len(seen) == 40
    assert max(seen) <= 8 + 4


async def test_idle_connections_to_instances_in_use_are_bounded(fleet):
    """A WebSocket or a long poll at each instance keeps none of the other connections to it open."""
    release = asyncio.Event()
    arrived = []

    async def wait(request):
        arrived.append(request)
        if request.path == "/hold":
            await release.wait()
        elif len(arrived) % 9 == 0:
            together.set()
        await together.wait()
        return web.Response(text="done")

    for _ in range(3):
        await fleet.serve(wait)
    with descriptors(16):
        fleet.client = Client(fleet.membership, limit=0)
    async with fleet.session() as session:

        async def call(number, path=""):
            async with session.post(f"http://orders-{number}.instance_id.asab/{path}") as response:
                return await response.text()

        held = []
        for number in (1, 2, 3):
            together = asyncio.Event()
            held.append(asyncio.create_task(call(number, "hold")))
            await eventually(lambda: len(arrived) % 9 == 1)
            await asyncio.gather(*(call(number) for _ in range(8)))
        together = asyncio.Event()
        together.set()
        # The last eight, four that were idle when these were made, and the three in use.
        await eventually(lambda: len(kept_sockets(fleet)) <= 8 + 4 + 3)
        fleet.client._connections.close_idle()
        await eventually(lambda: len(kept_sockets(fleet)) == 3)
        release.set()
        assert await asyncio.gather(*held) == ["done"] * 3


async def test_descriptors_that_run_out_are_taken_from_idle_connections(fleet):
    for _ in range(3):
        await fleet.serve()
    make_socket, refusals = fleet.client._make_socket, []

    def short_of_descriptors(address):
        if len(kept_sockets(fleet)) >= 2 and not refusals:
            refusals.append(address)
            raise OSError(24, "Too many open files")
        return make_socket(address)

    connector = aiohttp.TCPConnector(socket_factory=short_of_descriptors)
    async with connector, fleet.session(connector=connector) as session:
        for number in range(3):
            async with session.post(f"http://orders-{number + 1}.instance_id.asab/") as response:
                assert response.status == 200
    assert len(refusals) == 1


def test_bookkeeping_ends_with_the_last_request():
    connections = Connections(10)
    one = connections.begin("App.1", ("127.0.0.1", 80))
    other = connections.begin("App.1", ("127.0.0.1", 80))
    assert one is other
    connections.leave("App.1")
    connections.end(one)
    connections.end(other)
    connections.close_idle()
    connections.leave("App.1")
    assert not connections._kept
    assert not connections._addresses


@pytest.mark.parametrize(
    ("sent", "seconds", "made"),
    [
        (("POST", {}), 0.0, 2),
        (("POST", {}), 1000.0, 1),
        (("POST", {"Idempotency-Key": "1"}), 0.0, 1),
        (("PUT", {}), 0.0, 1),
        (("GET", {}), 0.0, 1),
    ],
)
async def test_a_request_that_must_not_be_sent_twice_uses_no_connection_that_was_idle_for_long(
    fleet, monkeypatch, sent, seconds, made
):
    """Its server may be about to close it."""
    monkeypatch.setattr(connections, "IDLE_SECONDS", seconds)
    method, headers = sent
    peers = []

    async def note(request):
        peers.append(request.transport.get_extra_info("peername"))
        return web.Response()

    await fleet.serve(note)
    async with fleet.session() as session:
        for _ in range(2):
            async with session.request(method, ORDERS, headers=headers) as response:
                await response.read()
    assert len(set(peers)) == made
