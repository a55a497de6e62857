"""How much of a failure reaches the callers, and how many requests reach the services.

The rates are those that two cores carry beside other work; tests/calling/test_fleet.py simulates larger ones.
"""

import asyncio
from collections import Counter
from contextlib import AsyncExitStack
from itertools import count
from pathlib import Path
from uuid import uuid4

import aiohttp
import pytest
from tests.chaos.conftest import ORDERS, Callers, services_in
from tests.chaos.test_instances import later

from peerage import Discovery, call_options
from peerage.testing.children import STRICT, run
from peerage.testing.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.alone]


async def total(services):
    return sum([(await services.counts(child)).total() for child in services.children])


async def test_no_confirmed_value_is_overwritten_by_a_retry(services, callers, tmp_path):
    """A stopped instance that goes on carries out what it was sent; by then another has a newer value."""
    journal = tmp_path / "journal"
    _, _, third = await services.start(3, journal=journal)
    confirmed = set()

    async def write(key, **limits):
        url, timeout = f"{ORDERS}{key}", aiohttp.ClientTimeout(**limits)
        for value in count():
            if callers.now > 6:
                return
            try:
                async with callers.session.put(url, data=f"{value}", timeout=timeout) as response:
                    if response.status == 200:
                        confirmed.add((f"/{key}", value))
            except (aiohttp.ClientError, TimeoutError):
                pass
            await asyncio.sleep(0.1)

    async with asyncio.TaskGroup() as group:
        for key in range(1, 51):
            group.create_task(write(key, sock_read=0.5))
            group.create_task(write(-key, total=2))
        group.create_task(later(1, third.suspend))
        group.create_task(later(4.5, third.resume))

    puts = sum([(await services.counts(child))["PUT"] for child in services.children])
    await eventually(lambda: len(journal.read_text().splitlines()) == puts)
    newest, late = Counter(), []
    for line in journal.read_text().splitlines():
        key, value, repeated = line.split()
        if int(value) < newest[key]:
            late.append((key, int(value), repeated))
        elif (key, int(value)) in confirmed:
            newest[key] = int(value)
    # Those that failed for their callers are carried out late.
    assert late
    assert [each for each in late if each[:2] in confirmed or each[2] == "True"] == []


async def callers_of(stack, registry, number, url=ORDERS):
    """Return *number* callers, each with its own retry budget, as if each were a process."""
    everyone = []
    for _ in range(number):
        discovery = await stack.enter_async_context(Discovery(registry))
        everyone.append(Callers(await stack.enter_async_context(discovery.session()), url))
    return everyone


async def send(everyone, rate, seconds, **kwargs):
    """Let each caller make *rate* calls a second; return how many calls all of them made."""
    before = sum(len(each.results) for each in everyone)
    async with asyncio.TaskGroup() as group:
        for each in everyone:
            group.create_task(each.send(rate, each.now + seconds, "GET", **kwargs))
    return sum(len(each.results) for each in everyone) - before


async def test_a_total_outage_is_not_made_worse():
    """The budgets allow 5 + 4 retries for the 160 requests that each caller makes meanwhile."""

    async def requests_for_a_call(mode, seconds):
        async with services_in(f"memory:{uuid4()}") as services, AsyncExitStack() as stack:
            await services.start(2)
            everyone = await callers_of(stack, services.discovery.registry, 5)
            timeout = aiohttp.ClientTimeout(sock_read=0.5)
            await send(everyone, 20, 2, timeout=timeout)
            before = await total(services)
            for child in services.children:
                await services.behave(child, mode, seconds)
            calls = await send(everyone, 20, 8, timeout=timeout)
            assert all(len(each.failed()) >= 0.9 * calls / 5 for each in everyone)
            return (await total(services) - before) / calls

    outages = ("503", 0.001), ("drop", 0.001), ("200", 3600)
    amplified = await asyncio.gather(*(requests_for_a_call(*each) for each in outages))
    assert max(amplified) <= 1.1, amplified


async def test_an_outage_at_the_end_of_a_chain_is_not_made_worse_by_each_link(tmp_path):
    url = f"embedded://{tmp_path}/registry"
    async with services_in(url) as services, AsyncExitStack() as stack:
        await services.start(2)
        links = []
        for name, following in [("middle", "orders"), ("front", "middle")] * 2:
            command = (*STRICT, Path(__file__).parent / "link.py", url, name, following)
            links.append(await stack.enter_async_context(run(*command)))
            assert await links[-1].line() == "found"
        everyone = await callers_of(stack, services.discovery.registry, 3, "http://front.service_id.asab/")
        await send(everyone, 20, 2)
        assert not [failed for each in everyone for failed in each.failed()]
        before = await total(services)
        for child in services.children:
            await services.behave(child, "503", 0.001)
        calls = await send(everyone, 20, 8)
        assert sum(len(each.failed()) for each in everyone) == calls
        assert await total(services) - before <= 1.3 * calls


async def test_hedging_cuts_off_the_slowest_answers_for_two_percent_more_requests(services, callers):
    for child in await services.start(3):
        await services.behave(child, *("200", *[0.01] * 99, 1.0))
    with call_options(hedge=True):
        await callers.send(150, 3, "GET")
        before, calls = await total(services), len(callers.results)
        await callers.send(150, 10, "GET")
    assert not callers.failed()
    assert await total(services) - before <= 1.021 * (len(callers.results) - calls)
    # One in a hundred without it.
    assert sum(seconds > 0.9 for *_, seconds in callers.results[calls:]) <= 3


async def test_an_instance_that_becomes_slow_fails_hardly_a_request_within_a_limit(services, callers):
    *_, slow = await services.start(5)
    timeout = aiohttp.ClientTimeout(total=1)
    await callers.send(150, 2, "GET", timeout=timeout)
    await services.behave(slow, "200", 2.0)
    await callers.send(150, 8, "GET", timeout=timeout)
    assert len(callers.failed()) <= 0.005 * len(callers.results)


async def test_a_new_instance_that_is_cold_holds_up_few_requests(services):
    await services.start(4)
    async with AsyncExitStack() as stack:
        # Those that are there before the caller aren't new.
        (caller,) = await callers_of(stack, services.discovery.registry, 1)
        await caller.send(100, 1, "GET")
        (cold,) = await services.start(1, seconds=0.3)
        before = len(caller.results)
        await caller.send(100, caller.now + 4, "GET")
        # Its share would be 80 of 400.
        assert 1 <= (await services.counts(cold)).total() <= 0.01 * (len(caller.results) - before) + 2
        await services.behave(cold, "200")
        warm = (await services.counts(cold)).total()
        await caller.send(100, caller.now + 3, "GET")
        assert (await services.counts(cold)).total() - warm > 20


def sockets(child):
    """The number of sockets that a process has open, as the kernel counts them."""
    descriptors = Path(f"/proc/{child.pid}/fd").iterdir()
    return sum(str(each.readlink()).startswith("socket:") for each in descriptors)


async def test_connections_to_an_instance_that_left_are_closed_after_their_last_answer(services, callers):
    leaving, *_ = await services.start(3, seconds=1)
    unconnected = sockets(leaving)
    await asyncio.gather(*(callers.call() for _ in range(60)))
    connected, before = sockets(leaving) - unconnected, await services.counts(leaving)
    async with asyncio.TaskGroup() as group:
        for _ in range(15):
            group.create_task(callers.call())
        await eventually(lambda: services.counts(leaving), wanted=lambda counts: counts > before)
        await services.records[0].withdraw()
    assert connected > 10
    assert not callers.failed()
    async with asyncio.timeout(1):
        await eventually(lambda: sockets(leaving) == unconnected)
