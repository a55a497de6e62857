"""Wherever a record points to: some places are never called."""

import asyncio
import socket

import aiohttp
import pytest
from aiohttp import web

from peerage import Discovery, NotDiscoveredError
from peerage.client import DiscoveryResolver
from peerage.errors import ConfigurationError
from peerage.records.identity import read_identity
from peerage.records.networks import read_networks

ORDERS = "http://orders.service_id.asab/"


@pytest.fixture
def dialled(monkeypatch):
    """The addresses that a connection was begun to."""
    found = []
    connect = asyncio.SelectorEventLoop.sock_connect

    async def sock_connect(self, sock, address):
        found.append(address[0])
        if not address[0].startswith("127."):
            raise OSError("this test makes no connections")
        await connect(self, sock, address)

    monkeypatch.setattr(asyncio.SelectorEventLoop, "sock_connect", sock_connect)
    return found


@pytest.mark.parametrize("address", ["169.254.169.254", "fd00:ec2::254", "fe80::1"])
async def test_a_host_that_resolves_there_is_not_called(fleet, dialled, address):
    fleet.addresses["innocent"] = [address]
    fleet.advertise(80, host="innocent", same_host=False, bound="::" if ":" in address else "0.0.0.0")
    async with fleet.session() as session:
        with pytest.raises(NotDiscoveredError, match="never called"):
            await session.get(ORDERS)
    assert not dialled


@pytest.mark.parametrize(
    "host",
    [
        "0xa9fea9fe",
        "0xa9.254.0xa9.0xfe",
        "2852039166",
        "169.254.43518",
        "0251.0376.0251.0376",
        "169。254。169。254",
        "①⑥⑨.254.169.254",
        "fe80。1",
    ],
)
async def test_another_spelling_leads_nowhere_either(fleet, dialled, host):
    fleet.getaddrinfo = socket.getaddrinfo
    fleet.advertise(80, host=host, same_host=False)
    async with fleet.session() as session:
        with pytest.raises(NotDiscoveredError):
            await session.get(ORDERS)
    assert not dialled


@pytest.mark.parametrize("host", ["10.1", "2852039166", "①②⑦.0.0.1"])
async def test_an_invalid_host_does_not_affect_other_instances(fleet, host):
    served = await fleet.serve()
    for _ in range(3):
        fleet.advertise(80, host=host, same_host=False)
    async with fleet.session() as session:
        for _ in range(20):
            async with session.get(ORDERS) as response:
                assert response.status == 200
    assert served.hits == 20


async def test_one_of_several_addresses_is_left_out(fleet, dialled):
    fleet.addresses["node-1"] = ["169.254.169.254", "127.0.0.1"]
    served = await fleet.serve(host="node-1", same_host=False)
    async with fleet.session() as session, session.get(ORDERS) as response:
        assert response.status == 200
    assert served.hits == 1
    assert dialled == ["127.0.0.1"]


async def test_a_connection_that_the_program_made_is_not_reused(fleet):
    """The program may call any address; a record that leads there gets neither connection nor token."""

    async def tell(request):
        host, port = request.transport.get_extra_info("peername")[:2]
        return web.json_response([host, port])

    served = await fleet.serve(tell, host="metadata.internal", same_host=False)
    fleet.addresses["metadata.internal"] = ["127.0.0.1"]
    fleet.directory.networks = read_networks("10.0.0.0/8")
    async with fleet.session() as session:
        async with session.get(f"http://127.0.0.1:{served.port}/own") as response:
            own = await response.json()
        with pytest.raises(NotDiscoveredError, match="allowed_networks"):
            await session.get(ORDERS)
        fleet.directory.networks = read_networks("127.0.0.0/8")
        async with session.get(ORDERS) as response:
            assert await response.json() != own


async def test_a_connector_with_our_resolver_goes_nowhere_either(fleet, dialled):
    fleet.addresses["innocent"] = ["169.254.169.254"]
    fleet.advertise(80, host="innocent", same_host=False)
    resolver = DiscoveryResolver(fleet.client, lookup=fleet.client.lookup)
    with pytest.raises(NotDiscoveredError, match="never called"):
        await resolver.resolve("orders.service_id.asab")
    connector = aiohttp.TCPConnector(resolver=resolver)
    async with fleet.session(connector=connector) as session:
        with pytest.raises(NotDiscoveredError):
            await session.get(ORDERS)
    assert not dialled


async def test_allowed_networks_limit_where_requests_go(fleet, dialled):
    served = await fleet.serve(host="node-1", same_host=False)
    fleet.addresses["node-1"] = ["127.0.0.1"]
    fleet.directory.networks = read_networks("10.0.0.0/8")
    async with fleet.session() as session:
        with pytest.raises(NotDiscoveredError, match="allowed_networks"):
            await session.get(ORDERS)
        assert not dialled
        fleet.directory.networks = read_networks("127.0.0.0/8")
        fleet.clock.now += 2
        async with session.get(ORDERS) as response:
            assert response.status == 200
        # A URL that the program wrote itself is its own affair.
        fleet.directory.networks = read_networks("10.0.0.0/8")
        async with session.get(f"http://127.0.0.1:{served.port}/") as response:
            assert response.status == 200


async def test_a_discovery_takes_the_allowed_networks(tmp_path):
    with pytest.raises(ConfigurationError, match=r"10\.0\.0\.1/8"):
        Discovery(f"memory:{tmp_path.name}", allowed_networks="10.0.0.1/8")
    identity = read_identity({"SERVICE_ID": "orders", "ASAB_HOSTNAME": "127.0.0.1"})
    async with Discovery(
        f"memory:{tmp_path.name}", identity=identity, allowed_networks=["10.0.0.0/8"]
    ) as discovery:
        await discovery.advertise(port=80)
        await discovery.ready()
        async with discovery.session() as session:
            with pytest.raises(NotDiscoveredError):
                await session.get(ORDERS)
        assert not await discovery.locate(service_id="orders")
