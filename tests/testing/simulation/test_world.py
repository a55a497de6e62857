"""Genuine services and callers in a simulated world: what each fault does to them."""

import asyncio
import socket
import threading
import time
from itertools import groupby

import pytest
from tests.testing.simulation.services import calling, errors, serving

from peerage.testing.simulation import DeadlockError, LivelockError, NotSimulatedError, World


@pytest.fixture
def world():
    return World(seed=1)


def run_with_fault(world, fault, *, instances=2, served=0.0, after=10.0, **calls):
    """Let two instances be called for a while, then have a fault, and return the calls."""
    answers = []
    services = [world.host(f"orders-{number}") for number in range(instances)]
    shop = world.host("shop")

    async def happens():
        for each in services:
            each.start(serving(seconds=served))
        await asyncio.sleep(1)
        shop.start(calling(answers, **calls))
        await asyncio.sleep(5)
        before = len(answers)
        fault(services[0])
        await asyncio.sleep(after)
        return answers[:before], answers[before:]

    before, later = world.run(happens())
    assert world.failures == []
    assert errors(before) == []
    assert {name for _, (name, _) in before} == {each.name for each in services}
    return later


def test_a_service_is_found_and_called(world):
    """A genuine aiohttp server is called over the simulated network, by name."""
    later = run_with_fault(world, lambda _: None)
    assert errors(later) == []
    assert len(later) > 90


def test_time_is_virtual(world):
    """Hours pass in no time, and the clocks of the process agree with that of the loop."""

    async def sleep(host):
        began = time.monotonic(), time.time()
        await asyncio.sleep(36000)
        assert time.monotonic() - began[0] == pytest.approx(36000)
        assert time.time() - began[1] == pytest.approx(36000 + 60)
        await asyncio.get_running_loop().getaddrinfo("node", 80)

    async def happens():
        node = world.host("node")
        node.start(sleep)
        await asyncio.sleep(1)
        node.jump(60)
        await asyncio.sleep(36001)
        assert not node.alive

    world.run(happens())
    assert world.failures == []
    assert abs(time.time() - world.wall_clock()) > 10_000_000


def test_a_terminated_service_fails_no_call(world):
    """It drains, withdraws its record, and ends."""
    later = run_with_fault(world, lambda host: host.terminate(), method="POST")
    assert errors(later) == []
    assert {name for when, (name, _) in later if when > 8} == {"orders-1"}
    assert not world.hosts["orders-0"].alive


def test_a_crashed_service_is_left_out(world):
    """The kernel refuses connections, and the registry knows of it at once."""
    later = run_with_fault(world, lambda host: host.crash())
    assert errors(later) == []
    assert {name for when, (name, _) in later} == {"orders-1"}


def test_a_stopped_service_answers_when_it_goes_on(world):
    """Connections to it are made, nothing is answered, and its record stays."""

    def fault(host):
        host.stop()
        world.loop.call_later(3, host.resume)

    later = run_with_fault(world, fault)
    assert errors(later) == []
    assert "orders-0" not in {name for when, (name, _) in later if 7 < when < 9}
    assert "orders-0" in {name for when, (name, _) in later if when > 13}


def test_a_host_without_power_is_silent(world):
    """Nothing tells the caller; the record of a simulated folder vanishes nevertheless."""
    later = run_with_fault(world, lambda host: host.power_off())
    assert errors(later) == []
    assert {name for when, (name, _) in later if when > 8} == {"orders-1"}


@pytest.mark.parametrize("instances", [1, 2])
def test_a_request_does_not_wait_for_a_machine_without_power(world, instances):
    """Its connection is never closed, and the process that runs there afterwards doesn't know the request."""

    def fault(host):
        host.power_off()
        world.loop.call_later(0.1, host.power_on)
        world.loop.call_later(0.2, host.start, serving(seconds=0.3))

    later = run_with_fault(world, fault, instances=instances, served=0.3, together=5, seconds=4.0)
    assert errors(later) == []
    assert ["orders-0", 2] in [answer for _, answer in later]


def test_a_partition_ends(world):
    """What was sent meanwhile arrives when the link is mended."""

    def fault(host):
        pairs = [(host.ip, world.hosts["shop"].ip), (world.hosts["shop"].ip, host.ip)]
        for pair in pairs:
            world.network.cut(*pair)
            world.loop.call_later(3, world.network.mend, *pair)

    later = run_with_fault(world, fault, after=20)
    assert errors(later) == []
    assert "orders-0" in {name for when, (name, _) in later if when > 16}


def test_tokens_are_real(world):
    """A service accepts the internal token of another, unless its clock says that it has expired."""
    answers = []
    orders, shop = world.host("orders"), world.host("shop")

    async def happens():
        orders.start(serving(guarded=True))
        await asyncio.sleep(1)
        shop.start(calling(answers, auth="internal", pause=1))
        await asyncio.sleep(10)
        orders.jump(4000)
        await asyncio.sleep(10)
        orders.jump(-4000)
        await asyncio.sleep(10)

    world.run(happens())
    assert world.failures == []
    accepted = [answer == ["orders", 1] for _, answer in answers]
    assert [key for key, _ in groupby(accepted)] == [True, False, True], answers
    (line,) = world.log
    assert line.host == "orders"
    assert line.text.startswith("A request was refused (expired)")


def test_the_only_instance_restarts(world):
    """Calls wait for its next record."""

    def fault(host):
        host.crash()
        world.loop.call_later(1, host.start, serving())

    later = run_with_fault(world, fault, instances=1)
    assert errors(later) == []
    assert later[-1][1] == ["orders-0", 2]


def test_no_code_of_a_dead_process_runs(world):
    """Not even what stands behind ``finally``, until the world has ended."""
    done = []

    async def program(host):
        try:
            await asyncio.sleep(1000)
        finally:
            done.append(world.loop.time())

    async def happens():
        node = world.host("node")
        node.start(program)
        await asyncio.sleep(1)
        node.crash()
        await asyncio.sleep(1)
        assert not done
        node.start(program)
        await asyncio.sleep(2000)
        assert len(done) == 1

    world.run(happens())
    assert len(done) == 2


@pytest.mark.parametrize(
    ("use", "named"),
    [
        (lambda: time.sleep(1), "time.sleep"),
        (lambda: threading.Thread(target=print).start(), "thread"),
        (lambda: socket.socket(socket.AF_INET), "socket"),
        (lambda: socket.getaddrinfo("localhost", 1), "look-up"),
        (lambda: asyncio.get_running_loop().run_in_executor(None, print), "thread"),
    ],
)
def test_what_is_not_simulated_is_an_error_that_names_it(world, use, named):
    """No code reaches the operating system unnoticed."""

    async def happens():
        with pytest.raises(NotSimulatedError, match=named):
            use()

    world.run(happens())
    time.sleep(0)


def test_a_world_in_which_nothing_can_happen_any_more_ends():
    """A wait for ever is an error."""
    with pytest.raises(DeadlockError):
        World().run(asyncio.Event().wait())


def test_a_world_in_which_something_never_pauses_ends(world):
    """A loop that never waits for time to pass is an error as well."""
    world.loop.most_turns = 1

    async def happens():
        while True:  # noqa: ASYNC110 - this is about such loops
            await asyncio.sleep(0)

    with pytest.raises(LivelockError):
        world.run(happens())


def test_an_unhandled_exception_is_a_failure(world):
    """A callback, a task or a program that fails is reported."""

    async def program(host):
        asyncio.get_running_loop().call_soon(lambda: 1 / 0)
        await asyncio.sleep(0)
        raise ValueError("oops")

    async def happens():
        world.host("node").start(program)
        await asyncio.sleep(1)

    world.run(happens())
    assert len(world.failures) == 2
    assert "ZeroDivisionError" in world.failures[0]
    assert "oops" in world.failures[1]


def test_two_runs_of_a_seed_are_the_same():
    """The order and the time of each call, whatever the addresses of objects are; another seed differs."""

    def fault(host):
        host.stop()
        host.world.loop.call_later(1, host.crash)

    runs = [run_with_fault(World(seed), fault, pause=0.05) for seed in (1, 1, 2)]
    assert repr(runs[0]) == repr(runs[1])
    assert repr(runs[0]) != repr(runs[2])
