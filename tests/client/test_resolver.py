import asyncio
import socket
import threading
from contextlib import suppress

import aiohttp
import pytest
from tests.client.conftest import get_node, hanging

from peerage.client import DiscoveryResolver, UnreachableError
from peerage.errors import NotDiscoveredError
from peerage.testing import eventually

ORDERS = "http://orders.service_id.asab/"


# Hosts of instances


async def test_a_host_name_is_looked_up_once(fleet):
    fleet.addresses["node-1"] = ["127.0.0.1"]
    served = await fleet.serve(host="node-1", same_host=False)
    async with fleet.session() as session:
        for _ in range(3):
            assert await get_node(session) == served.name
    assert fleet.lookups == ["node-1"]


async def test_an_answer_is_renewed_in_the_background_after_a_while(fleet):
    fleet.addresses["node-1"] = ["127.0.0.1"]
    served = await fleet.serve(host="node-1", same_host=False)
    async with fleet.session() as session:
        assert await get_node(session) == served.name
        fleet.clock.now += 11
        assert await get_node(session) == served.name
        await eventually(lambda: fleet.client.lookup.running == 0)
    assert fleet.lookups == ["node-1", "node-1"]


async def test_the_last_good_address_stays_in_use_while_the_name_service_is_away(fleet):
    fleet.addresses["node-1"] = ["127.0.0.1"]
    served = await fleet.serve(host="node-1", same_host=False)
    async with fleet.session() as session:
        assert await get_node(session) == served.name
        del fleet.addresses["node-1"]
        for _ in range(50):
            fleet.clock.now += 11
            assert await get_node(session) == served.name
            await eventually(lambda: fleet.client.lookup.running == 0)
    assert served.hits == 51
    # Failures are remembered for longer each time they repeat.
    assert len(fleet.lookups) < 30


async def test_a_lone_instance_is_looked_up_again_by_each_call(fleet):
    """A failed look-up is remembered, but not if the call has nowhere else to go."""
    served = await fleet.serve(host="node-1", same_host=False)
    async with fleet.session() as session:
        with pytest.raises(NotDiscoveredError, match="none of their hosts has an address"):
            await session.get(ORDERS)
        fleet.addresses["node-1"] = ["127.0.0.1"]
        assert await get_node(session) == served.name


async def test_the_instance_id_replaces_a_host_that_does_not_resolve(fleet):
    fleet.addresses["orders-1"] = ["127.0.0.1"]
    served = await fleet.serve(host="node-1", same_host=False)
    async with fleet.session() as session:
        for _ in range(3):
            assert await get_node(session) == served.name
        # The failure is remembered.
        assert fleet.lookups == ["node-1", "orders-1"]
        fleet.clock.now += 2
        fleet.addresses["node-1"] = ["127.0.0.1"]
        assert await get_node(session) == served.name
    assert fleet.lookups == ["node-1", "orders-1", "node-1"]


@pytest.mark.parametrize("bound", ["0.0.0.0", "::"])
async def test_only_the_advertised_family_is_connected_to(fleet, bound):
    """Another user of the machine may listen on the same port in the other family."""
    fleet.addresses["node-1"] = ["127.0.0.1" if bound == "::" else "::1"]
    served = await fleet.serve(host="node-1", same_host=False, bound=bound)
    async with fleet.session() as session:
        with pytest.raises(NotDiscoveredError, match="no address of the family"):
            await session.get(ORDERS)
    assert served.hits == 0


async def test_the_advertised_addresses_come_last(fleet, monkeypatch):
    # A routable address of this machine: what may stand in peerage.records.addresses.
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            pytest.skip("this machine has no route")
        address = probe.getsockname()[0]
    if address.startswith("127."):
        pytest.skip("this machine has loopback only")
    served = await fleet.serve(address="0.0.0.0", host="node-1", same_host=False, addresses=[address])
    async with fleet.session() as session:
        assert await get_node(session) == served.name
    assert fleet.lookups == ["node-1", "orders-1"]


async def test_the_same_host_name_and_port_on_two_machines_are_two_addresses(fleet):
    """Containers are called alike; the connection to one mustn't carry requests to the other."""
    fleet.addresses["orders-1"] = ["127.0.0.1"]
    first = await fleet.serve(host="app", same_host=False)
    fleet.addresses["orders-2"] = ["127.0.0.2"]
    fleet.advertise(first.port, host="app", same_host=False)
    async with fleet.session() as session:
        for _ in range(4):
            assert await get_node(session) == first.name
    assert first.hits == 4
    assert "orders-1" in fleet.lookups


async def test_other_instances_are_tried_first(fleet):
    for _ in range(3):
        fleet.advertise(1, host="node-1", same_host=False)
    served = await fleet.serve()
    async with fleet.session() as session:
        for _ in range(5):
            async with session.post(ORDERS) as response:
                assert (await response.json())["node"] == served.name


async def test_one_unresolved_and_one_refused_is_unreachable(fleet):
    fleet.advertise(1, host="node-1", same_host=False)
    fleet.refuse()
    async with fleet.session() as session:
        with pytest.raises(UnreachableError, match=r"node-1"):
            await session.get(ORDERS)


async def test_a_hanging_look_up_does_not_delay_other_requests(fleet):
    release = threading.Event()

    def hang():
        release.wait(30)
        return ["127.0.0.1"]

    for number in range(20):
        fleet.addresses[f"slow-{number}"] = hang
        fleet.advertise(1, "slow", host=f"slow-{number}", same_host=False)
    fleet.addresses["node-1"] = ["127.0.0.1"]
    served = await fleet.serve(host="node-1", same_host=False)
    try:
        async with fleet.session() as session:
            slow = [
                asyncio.create_task(session.get(f"http://slow-{number + 1}.instance_id.asab/"))
                for number in range(20)
            ]
            while sum(host.startswith("slow") for host in fleet.lookups) < 20:  # noqa: ASYNC110 - filled by threads
                await asyncio.sleep(0.001)
            assert await get_node(session) == served.name
            assert not any(task.done() for task in slow)
            for task in slow:
                task.cancel()
            await asyncio.wait(slow)
            # Within a second, is the contract; a busy machine gets some more, and a look-up would take 30.
            async with asyncio.timeout(10):
                await fleet.client.aclose()
    finally:
        release.set()


async def test_a_slow_host_is_waited_for_if_there_is_nowhere_else_to_go(fleet):
    release = threading.Event()
    fleet.addresses["slow"] = hanging(release)
    served = await fleet.serve(host="slow", same_host=False)
    try:
        async with fleet.session() as session:
            calls = [asyncio.create_task(get_node(session)) for _ in range(3)]
            # The wait for the host was given up, and the name that replaces it has no address.
            await eventually(lambda: "orders-1" in fleet.lookups)
            release.set()
            assert [await call for call in calls] == [served.name] * 3
            assert await get_node(session) == served.name
    finally:
        release.set()
    assert fleet.lookups.count("slow") == 1


async def test_a_late_answer_is_used_by_the_next_call(fleet):
    release = threading.Event()
    fleet.addresses["slow"] = hanging(release)
    slow = await fleet.serve(host="slow", same_host=False)
    quick = await fleet.serve()
    try:
        async with fleet.session() as session:
            while "slow" not in fleet.lookups:
                assert await get_node(session) == quick.name
            release.set()
            await eventually(lambda: fleet.client.lookup.running == 0)
            fleet.directory.remove(quick.name)
            assert await get_node(session) == slow.name
    finally:
        release.set()
    assert fleet.lookups.count("slow") == 1


async def test_a_custom_connector_waits_for_a_slow_host(fleet):
    release = threading.Event()
    fleet.addresses["slow"] = hanging(release)
    served = await fleet.serve(host="slow", same_host=False)
    resolver = DiscoveryResolver(fleet.client, lookup=fleet.client.lookup)
    try:
        call = asyncio.create_task(resolver.resolve("orders.service_id.asab"))
        await eventually(lambda: "orders-1" in fleet.lookups)
        release.set()
        (answer,) = await call
    finally:
        release.set()
    assert (answer["host"], answer["port"]) == ("127.0.0.1", served.port)


async def test_the_addresses_of_a_host_are_connected_to_side_by_side(fleet):
    """One that doesn't answer costs a moment, not the caller's time limit."""
    served = await fleet.serve(host="node-1", same_host=False)
    fleet.addresses["node-1"] = ["127.0.0.2", "127.0.0.1"]
    with socket.socket() as silent, socket.socket() as first, socket.socket() as second:
        silent.bind(("127.0.0.2", served.port))
        silent.listen(0)
        # A full backlog: further handshakes aren't answered.
        for each in (first, second):
            each.settimeout(0)
            with suppress(BlockingIOError):
                each.connect(silent.getsockname())
        limits = aiohttp.ClientTimeout(total=20, sock_connect=60)
        async with fleet.session(timeout=limits) as session, session.post(ORDERS) as response:
            assert response.status == 200
    assert served.hits == 1


# A connector of the user's own


async def test_the_resolver_serves_a_custom_connector(fleet):
    served = await fleet.serve()
    connector = aiohttp.TCPConnector(resolver=DiscoveryResolver(fleet.client))
    async with aiohttp.ClientSession(connector=connector) as session:
        assert await get_node(session, "http://orders.service_id.asab:1234/x") == served.name
        assert await get_node(session, f"http://localhost:{served.port}/") == served.name
        with pytest.raises(NotDiscoveredError, match="stock"):
            await session.get("http://stock.service_id.asab/")
        with pytest.raises(aiohttp.ClientConnectorDNSError):
            await session.get("http://no-such-host.invalid/")


async def test_its_answers_have_the_form_of_aiohttps_resolver(fleet):
    served = await fleet.serve()
    resolver = DiscoveryResolver(fleet.client)
    assert isinstance(resolver, aiohttp.abc.AbstractResolver)
    (answer,) = await resolver.resolve("orders.service_id.asab")
    assert answer["hostname"] == "orders.service_id.asab"
    assert (answer["host"], answer["port"], answer["family"]) == ("127.0.0.1", served.port, socket.AF_INET)
    with pytest.raises(NotDiscoveredError, match="none of their hosts has an address"):
        await resolver.resolve("orders.service_id.asab", 0, socket.AF_INET6)
    with pytest.raises(NotDiscoveredError, match="no complete name"):
        await resolver.resolve("asab")
    (other, *_) = await resolver.resolve("127.0.0.1", 8080)
    assert (other["host"], other["port"]) == ("127.0.0.1", 8080)
    await resolver.close()


async def test_it_gives_several_instances_for_the_connector_to_try(fleet):
    for _ in range(4):
        fleet.refuse()
    served = await fleet.serve()
    resolver = DiscoveryResolver(fleet.client)
    ports = set()
    for _ in range(50):
        answers = await resolver.resolve("orders.service_id.asab")
        assert len(answers) == 3
        ports |= {answer["port"] for answer in answers}
    assert served.port in ports
    assert len(ports) == 5
