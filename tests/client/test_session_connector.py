"""Connectors of sessions: the shared one, one of the program, and what closing them waits for."""

import asyncio

import aiohttp
import pytest

from peerage.errors import NotDiscoveredError
from peerage.testing import eventually

ORDERS = "http://orders.service_id.asab"


async def get_json(session, url, **kwargs):
    async with session.get(url, **kwargs) as response:
        return await response.json()


async def test_middlewares_of_a_request_replace_ours_and_the_resolver_knows(fleet):
    served = await fleet.serve()
    async with fleet.session() as session:
        answer = await get_json(session, f"{ORDERS}:81/x", middlewares=())
        assert answer == {"node": served.name, "host": "orders.service_id.asab:81", "path": "/x"}
        with pytest.raises(NotDiscoveredError, match="stock"):
            await session.get("http://stock.service_id.asab", middlewares=())


async def test_the_connector_forgets_logical_names_when_the_directory_changes(fleet):
    first = await fleet.serve()
    async with fleet.session(headers={"Connection": "close"}) as session:
        assert (await get_json(session, ORDERS, middlewares=()))["node"] == first.name
        second = await fleet.serve()
        fleet.directory.remove(first.name)
        assert (await get_json(session, ORDERS, middlewares=()))["node"] == second.name


async def test_a_connector_of_the_users_own_is_used_balanced_and_owned(fleet):
    nodes = {(await fleet.serve()).name for _ in range(2)}
    owned, lent = aiohttp.TCPConnector(limit=2), aiohttp.TCPConnector()
    async with fleet.session(connector=owned) as session:
        assert session.connector is owned
        assert {(await get_json(session, ORDERS))["node"] for _ in range(20)} == nodes
    assert owned.closed
    async with fleet.session(connector=lent, connector_owner=False) as session:
        await get_json(session, ORDERS)
    assert not lent.closed
    await lent.close()


async def test_sessions_share_one_connector_that_outlives_them(fleet):
    served = await fleet.serve()
    connectors, peers = set(), set()
    for _ in range(5):
        async with fleet.session(connector_owner=True) as session:
            connectors.add(session.connector)
            await get_json(session, ORDERS)
    peers = {
        request.transport.get_extra_info("peername") if request.transport else None for request in served.seen
    }
    assert len(connectors) == 1
    assert len(peers) == 1
    (connector,) = connectors
    assert not connector.closed
    assert connector.limit >= 256
    await fleet.client.aclose()
    assert connector.closed


async def test_closing_does_not_wait_for_a_peer_that_does_not_read(fleet):
    stuck = asyncio.Event()

    async def read_nothing(reader, writer):
        writer.transport.pause_reading()
        await asyncio.Event().wait()

    async def endless():
        while True:
            yield b"x" * 1_000_000
            stuck.set()

    await fleet.serve_raw(read_nothing)
    session = fleet.session()
    call = asyncio.create_task(session.post(ORDERS, data=endless()))
    await stuck.wait()
    # Within a second, is the contract; a busy machine gets some more, and the peer would never read.
    async with asyncio.timeout(10):
        await fleet.client.aclose()
    await eventually(lambda: all(one.fileno() == -1 for one in fleet.client._sockets))
    call.cancel()
    await asyncio.wait([call])
    await session.close()
