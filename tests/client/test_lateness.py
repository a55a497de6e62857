"""An instance isn't blamed for the time in which this process was stopped, or got no CPU time."""

import asyncio
import time

import aiohttp
import pytest
from tests.support import Clock

from peerage.client.lateness import Countdown, Lateness, patient_timeout

ORDERS = "http://orders.service_id.asab/"


@pytest.fixture
def clock():
    return time.monotonic


def test_a_request_is_excused_if_this_process_was_late_for_a_quarter_of_its_time():
    clock = Clock()
    lateness, began = Lateness(clock), clock()
    lateness.expect(0.1)
    clock.now += 0.3
    assert lateness.excuses(began), "the timer is overdue"
    lateness.met()
    assert lateness.excuses(began)
    assert not lateness.excuses(clock()), "it began afterwards"
    clock.now += 0.6
    assert not lateness.excuses(began)
    lateness.expect(0.1)
    clock.now += 0.1
    lateness.met()
    assert not lateness.excuses(clock() - 0.1)


def test_of_a_delay_only_the_part_counts_that_was_in_the_time_of_the_request():
    clock = Clock()
    lateness = Lateness(clock)
    lateness.expect(0.1)
    clock.now += 10.1
    lateness.met()
    began = clock() - 0.2
    clock.now += 0.8
    assert not lateness.excuses(began)


async def test_after_a_delay_what_has_arrived_is_read_before_a_countdown_ends():
    ended = asyncio.Event()
    Countdown(0.1, ended.set)
    asyncio.get_running_loop().call_soon(time.sleep, 0.3)
    for _ in range(5):
        await asyncio.sleep(0)
    assert not ended.is_set()
    await ended.wait()


async def test_what_does_not_arrive_is_too_late():
    with pytest.raises(TimeoutError):
        async with patient_timeout(0.05):
            await asyncio.Event().wait()


async def test_connections_for_which_this_process_had_no_time_say_nothing_about_instances(fleet):
    servers = [fleet.fake(), fleet.fake()]
    async with fleet.session(timeout=aiohttp.ClientTimeout(total=0.6)) as session:

        async def ask():
            async with session.get(ORDERS) as response:
                await response.read()

        calls = [asyncio.create_task(ask()) for _ in range(20)]
        asyncio.get_running_loop().call_soon(time.sleep, 1.0)
        results = await asyncio.gather(*calls, return_exceptions=True)
        assert any(isinstance(each, TimeoutError) for each in results)
        assert not fleet.client.balancer.avoided
        assert not any(fleet.client.balancer.stats(each.name).trouble.consecutive for each in servers)
