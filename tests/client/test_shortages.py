"""A shortage of connections or descriptors in this process says nothing about an instance."""

import asyncio

import aiohttp
import pytest
from aiohttp import web

from peerage.client import UnreachableError

ORDERS = "http://orders.service_id.asab/"


@pytest.mark.parametrize("limits", [{"limit": 1}, {"limit": 0, "limit_per_host": 1}], ids=["all", "host"])
async def test_waiting_for_a_free_connection_does_not_count_against_the_instance(fleet, limits):
    """The instance is healthy and got no request: all connections of the caller are in use."""
    asked, release = asyncio.Event(), asyncio.Event()

    async def take_time(request):
        asked.set()
        await release.wait()
        return web.Response(text="done")

    served = await fleet.serve(take_time)
    impatient = aiohttp.ClientTimeout(connect=0.1)
    async with aiohttp.TCPConnector(**limits) as connector, fleet.session(connector=connector) as session:
        first = asyncio.create_task(session.get(ORDERS))
        await asked.wait()
        for method in ("GET", "POST"):
            with pytest.raises(aiohttp.ConnectionTimeoutError) as raised:
                await session.request(method, ORDERS, timeout=impatient)
            assert not isinstance(raised.value, UnreachableError)
        assert served.name not in fleet.client.balancer.avoided
        release.set()
        async with await first as response:
            assert await response.text() == "done"
        # With a connection free it goes through.
        async with session.post(ORDERS) as response:
            assert response.status == 200
    assert served.hits == 2


async def test_too_many_open_files_does_not_count_against_the_instance(fleet, monkeypatch):
    tried = []

    def exhausted(address):
        tried.append(address)
        raise OSError(24, "Too many open files")

    connector = aiohttp.TCPConnector(socket_factory=exhausted)
    for _ in range(3):
        await fleet.serve()
    async with fleet.session(connector=connector) as session:
        with pytest.raises(aiohttp.ClientConnectorError, match="Too many open files"):
            await session.get(ORDERS)
    # Once more, after idle connections were closed.
    assert len(tried) == 2
