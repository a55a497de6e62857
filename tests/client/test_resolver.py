import asyncio
import socket
import subprocess
import sys
import threading

import aiohttp
import pytest

from peerage.client import DiscoveryResolver, UnreachableError
from peerage.client.hosts import Hosts
from peerage.client.recent import Recent
from peerage.errors import NotDiscoveredError
from peerage.testing import eventually

ORDERS = "http://orders.service_id.asab/"


async def get_node(session, url=ORDERS, **kwargs):
    async with session.get(url, **kwargs) as response:
        return (await response.json())["node"]


# Hosts of instances


async def test_a_host_name_is_looked_up(fleet):
    fleet.addresses["node-1"] = ["127.0.0.1"]
    served = await fleet.serve(host="node-1", same_host=False)
    async with fleet.session() as session:
        for _ in range(3):
            assert await get_node(session) == served.name
    assert fleet.lookups == ["node-1"]


async def test_the_instance_id_stands_in_for_a_host_that_does_not_resolve(fleet):
    fleet.addresses["orders-1"] = ["127.0.0.1"]
    served = await fleet.serve(host="node-1", same_host=False)
    async with fleet.session() as session:
        for _ in range(3):
            assert await get_node(session) == served.name
        # Neither in the time for which a failure is remembered.
        assert fleet.lookups == ["node-1", "orders-1"]
        fleet.clock.now += 31
        fleet.addresses["node-1"] = ["127.0.0.1"]
        assert await get_node(session) == served.name
    assert fleet.lookups == ["node-1", "orders-1", "node-1"]


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


async def test_same_host_name_and_port_on_two_machines_are_two_places(fleet):
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


async def test_nobodys_host_resolves(fleet):
    fleet.advertise(1, host="node-1", same_host=False)
    fleet.advertise(2, host="node-2", same_host=False)
    async with fleet.session() as session:
        for _ in range(2):
            with pytest.raises(NotDiscoveredError, match=r"no host of theirs resolves.*node-[12]") as raised:
                await session.post(ORDERS)
            assert not isinstance(raised.value, aiohttp.ClientError)
    assert sorted(fleet.lookups) == ["node-1", "node-2", "orders-1", "orders-2"]


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


async def test_a_hanging_look_up_holds_up_nobody(fleet):
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


async def test_a_hanging_look_up_ends_in_an_error_that_says_so(fleet):
    release = threading.Event()
    fleet.addresses["slow"] = lambda: release.wait(30) and ["127.0.0.1"]
    served = await fleet.serve(host="slow", same_host=False)
    fleet.client._hosts._patience = 0.6
    try:
        async with fleet.session() as session:
            for _ in range(2):
                with pytest.raises(NotDiscoveredError, match=r"slow:\d+ \(.*(within 0\.5 s|a moment ago)"):
                    await session.get(ORDERS)
    finally:
        release.set()
    assert fleet.lookups == ["slow", "orders-1"]
    assert served.hits == 0


@pytest.mark.parametrize("name", ["slow", "b\u00fccher.example"])
async def test_a_slow_host_is_waited_for_if_there_is_nowhere_else_to_go(fleet, name):
    release = threading.Event()
    wire = "slow" if name == "slow" else "xn--bcher-kva.example"
    fleet.addresses[wire] = lambda: release.wait(30) and ["127.0.0.1"]
    served = await fleet.serve(host=name, same_host=False)
    unresolved = fleet.client._hosts._unresolved
    try:
        async with fleet.session() as session:
            calls = [asyncio.create_task(get_node(session)) for _ in range(3)]
            # Given up, and so was the name that stands in for it.
            await eventually(lambda: wire in unresolved and "orders-1" in unresolved)
            calls.append(asyncio.create_task(get_node(session)))
            release.set()
            assert [await call for call in calls] == [served.name] * 4
            assert wire not in unresolved
            # What was found late is good for the next calls, too.
            fleet.client._connector.clear_dns_cache()
            assert await get_node(session) == served.name
            await asyncio.create_task(session.post(ORDERS))
    finally:
        release.set()
    assert fleet.lookups.count(wire) == 1


async def test_a_late_answer_is_used_by_the_next_call(fleet):
    release = threading.Event()
    fleet.addresses["slow"] = lambda: release.wait(30) and ["127.0.0.1"]
    slow = await fleet.serve(host="slow", same_host=False)
    quick = await fleet.serve()
    hosts = fleet.client._hosts
    try:
        async with fleet.session() as session:
            while "slow" not in hosts._unresolved:
                assert await get_node(session) == quick.name
            release.set()
            await eventually(lambda: not hosts._running)
            assert "slow" not in hosts._unresolved
            fleet.directory.remove(quick.name)
            assert await get_node(session) == slow.name
            # It isn't good for ever: names move.
            assert fleet.lookups.count("slow") == 1
            fleet.clock.now += 31
            await hosts.resolve("slow", 80, socket.AF_UNSPEC)
            assert fleet.lookups.count("slow") == 2
    finally:
        release.set()


async def test_a_failure_that_comes_late_is_still_one():
    release = threading.Event()

    def fail(*_, **__):
        release.wait(30)
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    unresolved = Recent(30, lambda: 0.0)
    hosts = Hosts(unresolved, getaddrinfo=fail, timeout=0.001)
    try:
        with pytest.raises(OSError, match=r"no address of 'slow' within"):
            await hosts.resolve("slow", 80, socket.AF_UNSPEC)
        waiting = asyncio.create_task(hosts.outwait({"slow"}))
        release.set()
        assert not await waiting
        assert "slow" in unresolved
        assert not await hosts.outwait({"slow", "unheard-of"})
    finally:
        release.set()
        await eventually(lambda: not hosts._running)


async def test_a_failure_noted_after_the_late_answer_does_not_count():
    """Whoever gave up may say so only when the answer is there already."""
    release = threading.Event()

    def find(*_, **__):
        release.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 0))]

    unresolved = Recent(30, lambda: 0.0)
    hosts = Hosts(unresolved, getaddrinfo=find, timeout=0.001)
    try:
        with pytest.raises(OSError, match=r"no address of 'slow' within"):
            await hosts.resolve("slow", 80, socket.AF_UNSPEC)
    finally:
        release.set()
        await eventually(lambda: not hosts._running)
    hosts.failed("slow")
    assert "slow" not in unresolved
    assert await hosts.outwait({"slow"})
    (found,) = await hosts.resolve("slow", 80, socket.AF_UNSPEC)
    assert found["host"] == "10.0.0.1"


async def test_a_connector_of_ones_own_waits_for_a_slow_host_too(fleet):
    release = threading.Event()
    fleet.addresses["slow"] = lambda: release.wait(30) and ["127.0.0.1"]
    served = await fleet.serve(host="slow", same_host=False)
    unresolved = Recent(30, fleet.clock)
    hosts = Hosts(unresolved, getaddrinfo=fleet._getaddrinfo, timeout=0.001)
    resolver = DiscoveryResolver(fleet.client, hosts=hosts)
    try:
        call = asyncio.create_task(resolver.resolve("orders.service_id.asab"))
        await eventually(lambda: "slow" in unresolved)
        release.set()
        (answer,) = await call
    finally:
        release.set()
    assert (answer["host"], answer["port"]) == ("127.0.0.1", served.port)


def test_a_hanging_look_up_does_not_keep_the_process_from_exiting():
    program = """
import asyncio, threading
from peerage.client.hosts import Hosts
from peerage.client.recent import Recent
import time

def hang(*_, **__):
    threading.Event().wait()

async def main():
    try:
        await Hosts(Recent(30, time.monotonic), getaddrinfo=hang, timeout=0.01).resolve("node-1", 1, 0)
    except OSError as error:
        print(error)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert "no address of 'node-1'" in done.stdout
    assert done.stderr == ""


async def test_one_look_up_serves_all_who_wait():
    calls, release = [], threading.Event()

    def look_up(host, *_, **__):
        calls.append(host)
        release.wait(5)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.1", 0))]

    hosts = Hosts(Recent(30, lambda: 0.0), getaddrinfo=look_up, timeout=5)
    waiting = [asyncio.create_task(hosts.resolve("node-1", port, socket.AF_UNSPEC)) for port in (1, 2, 3)]
    await eventually(lambda: calls)
    release.set()
    assert [(await task)[0]["port"] for task in waiting] == [1, 2, 3]
    assert calls == ["node-1"]


async def test_literal_addresses_need_no_look_up():
    hosts = Hosts(Recent(30, lambda: 0.0), getaddrinfo=None)
    (four,) = await hosts.resolve("10.0.0.1", 80, socket.AF_UNSPEC)
    (six,) = await hosts.resolve("2001:db8::1", 81, socket.AF_INET6)
    assert (four["host"], four["port"], four["family"]) == ("10.0.0.1", 80, socket.AF_INET)
    assert (six["host"], six["port"], six["family"]) == ("2001:db8::1", 81, socket.AF_INET6)
    with pytest.raises(OSError, match="family"):
        await hosts.resolve("10.0.0.1", 80, socket.AF_INET6)


async def test_hanging_look_ups_are_bounded():
    release = threading.Event()
    calls = []

    def hang(host, *_, **__):
        calls.append(host)
        release.wait(30)
        return []

    hosts = Hosts(Recent(30, lambda: 0.0), getaddrinfo=hang, timeout=0.001)
    try:
        for number in range(200):
            with pytest.raises(OSError, match=r"no address|hang already"):
                await hosts.resolve(f"node-{number}", 80, socket.AF_UNSPEC)
        assert len(calls) == 128
    finally:
        release.set()
        await eventually(lambda: not hosts._running)


async def test_a_name_that_can_not_be_encoded_has_no_address():
    def look_up(host, *_, **__):
        host.encode("idna")
        raise AssertionError

    hosts = Hosts(Recent(30, lambda: 0.0), getaddrinfo=look_up)
    with pytest.raises(OSError, match=r"label|idna"):
        await hosts.resolve("x" * 64, 80, socket.AF_UNSPEC)


async def test_ipv6_hosts_and_addresses(fleet):
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    served = await fleet.serve(address="::1", bound="::")
    async with fleet.session() as session:
        assert await get_node(session) == served.name


# A connector of the user's own


async def test_resolver_for_a_connector_of_ones_own(fleet):
    served = await fleet.serve()
    connector = aiohttp.TCPConnector(resolver=DiscoveryResolver(fleet.client))
    async with aiohttp.ClientSession(connector=connector) as session:
        assert await get_node(session, "http://orders.service_id.asab:1234/x") == served.name
        assert await get_node(session, f"http://localhost:{served.port}/") == served.name
        with pytest.raises(NotDiscoveredError, match="stock"):
            await session.get("http://stock.service_id.asab/")
        with pytest.raises(aiohttp.ClientConnectorDNSError):
            await session.get("http://no-such-host.invalid/")


async def test_its_answers_are_aiohttps(fleet):
    served = await fleet.serve()
    resolver = DiscoveryResolver(fleet.client)
    assert isinstance(resolver, aiohttp.abc.AbstractResolver)
    (answer,) = await resolver.resolve("orders.service_id.asab")
    assert answer["hostname"] == "orders.service_id.asab"
    assert (answer["host"], answer["port"], answer["family"]) == ("127.0.0.1", served.port, socket.AF_INET)
    with pytest.raises(NotDiscoveredError, match="no host of theirs resolves"):
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
