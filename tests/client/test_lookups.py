"""Look-ups of the hosts of instances: in threads, bounded, each host once."""

import asyncio
import queue
import socket
import subprocess
import sys
import threading

import pytest
from tests.client.conftest import get_node

from peerage.calling import Addresses, Host, Lookups
from peerage.client import UnreachableError
from peerage.client.lookup import HostLookup
from peerage.testing import eventually

ORDERS = "http://orders.service_id.asab/"


# Look-ups

NODE = Host("node-1", socket.AF_INET)


def found(*addresses):
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (each, 0)) for each in addresses]


def test_a_hanging_look_up_does_not_keep_the_process_from_exiting():
    program = """
import asyncio, threading, time
from peerage.calling import Addresses, Host, Lookups
from peerage.client.lookup import HostLookup

def hang(*_, **__):
    threading.Event().wait()

async def main():
    lookup = HostLookup(Addresses(time.monotonic), getaddrinfo=hang)
    await lookup.wait(Lookups((Host("node-1", 2),), 0.01))
    print(lookup.running)

asyncio.run(main())
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=20, check=True
    )
    assert done.stdout == "1\n"
    assert done.stderr == ""


async def test_one_look_up_serves_all_who_wait(clock):
    calls, release = [], threading.Event()

    def look_up(host, *_, **__):
        calls.append(host)
        release.wait(30)
        return found("10.0.0.1", "10.0.0.1", "10.0.0.2")

    lookup = HostLookup(Addresses(clock), getaddrinfo=look_up)
    waiting = [asyncio.create_task(lookup.wait(Lookups((NODE,), 20.0))) for _ in range(3)]
    await eventually(lambda: calls)
    release.set()
    await asyncio.gather(*waiting)
    assert calls == ["node-1"]
    assert lookup.addresses.entry(NODE).addresses == ("10.0.0.1", "10.0.0.2")


class Hanging:
    """A name service that answers each look-up when it is told to."""

    def __init__(self):
        self.asked = []

    def __call__(self, *_, **__):
        self.asked.append(queue.SimpleQueue())
        answer = self.asked[-1].get(timeout=30)
        if isinstance(answer, Exception):
            raise answer
        return answer


async def test_a_look_up_that_hangs_is_begun_once_more(clock):
    """The first answer counts, and no failure before or after it."""
    hanging = Hanging()
    lookup = HostLookup(Addresses(clock), getaddrinfo=hanging)
    waiting = []
    for number in range(1, 4):
        for _ in range(2):
            waiting.append(asyncio.create_task(lookup.wait(Lookups((NODE,), 20.0))))
            await asyncio.sleep(0)
        await eventually(lambda number=number: len(hanging.asked) == number)
        clock.now += 1
    hanging.asked[0].put(OSError("failed"))
    await eventually(lambda: lookup.running == 2)
    assert not any(each.done() for each in waiting)
    hanging.asked[1].put(found("10.0.0.1"))
    await asyncio.gather(*waiting)
    hanging.asked[2].put(OSError("failed"))
    await eventually(lambda: lookup.running == 0)
    entry = lookup.addresses.entry(NODE)
    assert (entry.addresses, entry.failures, entry.started) == (("10.0.0.1",), 0, None)


async def test_the_look_ups_of_a_host_that_hang_are_bounded(clock):
    """They have failed when the last one has."""
    hanging = Hanging()
    lookup = HostLookup(Addresses(clock), getaddrinfo=hanging)
    for _ in range(10):
        lookup.start([NODE])
        clock.now += 1
    await eventually(lambda: len(hanging.asked) == 5)
    assert lookup.running == 5
    for one in hanging.asked:
        before = lookup.running
        assert not lookup.addresses.entry(NODE).failures
        one.put(OSError("failed"))
        await eventually(lambda before=before: lookup.running < before)
    assert lookup.addresses.entry(NODE).failures == 1


async def test_hanging_look_ups_are_bounded(clock):
    release = threading.Event()
    calls = []

    def hang(host, *_, **__):
        calls.append(host)
        release.wait(30)
        return []

    lookup = HostLookup(Addresses(clock), getaddrinfo=hang)
    try:
        lookup.start(Host(f"node-{number}", socket.AF_INET) for number in range(200))
        assert len(calls) <= lookup.running == 128
        assert "hanging already" in lookup.addresses.entry(Host("node-199", socket.AF_INET)).problem
    finally:
        release.set()
        await eventually(lambda: lookup.running == 0)


async def test_a_look_up_for_which_no_thread_can_be_started_fails_and_is_repeated(clock, monkeypatch):
    lookup = HostLookup(Addresses(clock), getaddrinfo=lambda *_, **__: found("10.0.0.1"))

    def refuse(_thread):
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patch:
        # Nothing else makes the system refuse a thread to this process alone.
        patch.setattr(threading.Thread, "start", refuse)
        await lookup.wait(Lookups((NODE,), 20.0))
    assert "can't start new thread" in lookup.addresses.entry(NODE).problem
    assert not lookup.running
    await lookup.wait(Lookups((NODE,), 20.0))
    assert lookup.addresses.entry(NODE).addresses == ("10.0.0.1",)


async def test_a_look_up_that_raises_anything_has_failed(clock):
    def fail(*_, **__):
        raise ValueError("unexpected")

    lookup = HostLookup(Addresses(clock), getaddrinfo=fail)
    await lookup.wait(Lookups((NODE,), 20.0))
    assert lookup.addresses.entry(NODE).problem == "unexpected"


async def test_the_host_of_a_new_record_is_looked_up_again(fleet):
    """A service that is moved keeps its host name, and begins again with another record."""
    served = await fleet.serve(host="node-1", same_host=False)
    fleet.addresses["node-1"] = ["127.0.0.1"]
    async with fleet.session() as session:
        async with session.get(ORDERS) as response:
            assert response.status == 200
        fleet.addresses["node-1"] = ["127.0.0.2", "127.0.0.1"]
        fleet.directory.remove(served.name)
        fleet.advertise(served.port, host="node-1", same_host=False)
        await eventually(lambda: fleet.lookups == ["node-1", "node-1"])


async def test_an_unreachable_address_is_looked_up_again_before_the_next_call(fleet):
    dead = fleet.refuse(host="node-1", same_host=False)
    fleet.addresses["node-1"] = ["127.0.0.1"]
    async with fleet.session() as session:
        with pytest.raises(UnreachableError, match=str(dead.port)):
            await session.get(ORDERS)
    await eventually(lambda: fleet.lookups == ["node-1", "node-1"])


async def test_a_name_that_can_not_be_encoded_has_no_address(clock):
    def look_up(host, *_, **__):
        host.encode("idna")
        raise AssertionError

    lookup = HostLookup(Addresses(clock), getaddrinfo=look_up)
    host = Host("x" * 64, socket.AF_INET)
    await lookup.wait(Lookups((host,), 20.0))
    assert "label" in lookup.addresses.entry(host).problem


async def test_ipv6_hosts_and_addresses(fleet):
    with socket.socket(socket.AF_INET6) as probe:
        try:
            probe.bind(("::1", 0))
        except OSError:
            pytest.skip("this machine has no IPv6")
    served = await fleet.serve(address="::1", bound="::")
    async with fleet.session() as session:
        assert await get_node(session) == served.name
