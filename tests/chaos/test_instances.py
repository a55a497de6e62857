"""What callers notice of an instance that is killed, stopped, or answers badly: as little as possible."""

import asyncio
from uuid import uuid4

import aiohttp
import pytest

from peerage.testing import eventually

pytestmark = [pytest.mark.long, pytest.mark.alone]


async def later(seconds: float, action, *arguments) -> None:
    await asyncio.sleep(seconds)
    result = action(*arguments)
    if asyncio.iscoroutine(result):
        await result


async def kill_one_of_three(services, callers, workers):
    """Kill it under that many callers; no call fails that may be processed twice."""
    _, _, third = await services.start(3)
    async with asyncio.TaskGroup() as group:
        group.create_task(callers.work(workers * 3 // 4, 4, "GET", "PUT"))
        key = {"Idempotency-Key": str(uuid4())}
        group.create_task(callers.work(workers // 4, 4, "POST", headers=key))
        group.create_task(later(2, third.kill))
    assert not callers.failed()


async def test_one_of_three_is_killed(services, callers):
    """Of calls that may not be processed twice, those under way there fail: see the next test."""
    await kill_one_of_three(services, callers, 200)


async def test_one_of_three_is_killed_and_requests_may_not_be_retried(services, callers):
    _, _, third = await services.start(3, seconds=0.02)
    async with asyncio.TaskGroup() as group:
        group.create_task(callers.work(60, 4, "POST"))
        group.create_task(later(2, third.kill))
    # Those that were under way.
    assert len(callers.failed()) <= 30


async def fail_at_one_of_four(services, callers, mode):
    """Have the first answer with the status *mode* in 1 ms, and return what it and all of them got then."""
    first, *_ = await services.start(4, seconds=0.01)
    await callers.work(50, 2)
    assert not callers.failed()
    before = [(await services.counts(child)).total() for child in services.children]
    await services.behave(first, mode, 0.001)
    await callers.work(50, 5)
    after = [(await services.counts(child)).total() for child in services.children]
    grown = [late - early for early, late in zip(before, after, strict=True)]
    return grown[0], sum(grown)


@pytest.mark.parametrize("mode", ["503", "429"])
async def test_one_of_four_answers_that_it_can_not(services, callers, mode):
    bad, all_of_them = await fail_at_one_of_four(services, callers, mode)
    # 429 counts in the success rate only, not as a failure in a row.
    assert bad <= (0.01 if mode == "503" else 0.05) * all_of_them
    if mode == "503":
        assert not callers.failed()
        first = services.children[0]
        await services.behave(first, "200", 0.01)
        await callers.work(50, 7)
        before = (await services.counts(first)).total()
        await callers.work(50, 8)
        assert (await services.counts(first)).total() > before + 10


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("bad", [1, 2])
async def test_only_one_is_good_and_slow(services, callers, bad, method):
    children = [*await services.start(bad, "503", 0.001), *await services.start(1, seconds=0.3)]
    # An instance that is the only one known isn't ejected, and one that has failed often is avoided for long.
    await eventually(lambda: len(services.discovery.directory) == len(children))
    await callers.work(50, 6, method)
    made = sum(begin >= 1 for begin, *_ in callers.results)
    assert len(callers.failed(after=1)) <= 0.01 * made
    if method == "POST":
        # No caller's request was used to find out whether they have recovered: the probes are HEAD.
        heads = [await services.counts(child) for child in children[:bad]]
        assert any(each["HEAD"] for each in heads), heads


async def test_one_of_three_is_stopped_and_goes_on(services, callers):
    """No GET fails, and each caller has one slow request at most."""
    _, _, third = await services.start(3)
    timeout = aiohttp.ClientTimeout(total=5)
    async with asyncio.TaskGroup() as group:
        group.create_task(callers.work(50, 9, "GET", timeout=timeout))
        group.create_task(later(1, third.suspend))
        group.create_task(later(7, third.resume))
    assert not callers.failed()
    assert sum(seconds > 1 for *_, seconds in callers.results) <= 50


async def test_long_and_short_requests_beside_a_stopped_instance(services, callers):
    """Without any limit of time."""
    _, second, third = await services.start(3)
    await services.behave(second, "200", 3)
    async with asyncio.TaskGroup() as group:
        group.create_task(callers.work(30, 8, "GET"))
        group.create_task(later(1, third.suspend))
        group.create_task(later(7, third.resume))
    assert not callers.failed()


@pytest.mark.parametrize("mode", ["close", "drop", "reset"])
async def test_one_of_four_breaks_connections(services, callers, mode):
    first, *_ = await services.start(4)
    await callers.work(10, 1, "GET", "POST", pause=0.05)
    await services.behave(first, mode)
    await callers.work(10, 6, "GET", "POST", pause=0.05)
    gets = callers.failed("GET")
    if mode == "reset":
        # Their answers had begun.
        assert len(gets) <= 20
        assert all(isinstance(each, aiohttp.ClientPayloadError) for each in gets)
    else:
        assert not gets
    assert len(callers.failed("POST")) <= 20
    made = sum(begin >= 3 for begin, *_ in callers.results)
    assert len(callers.failed(after=3)) <= 0.02 * made


async def test_all_thirty_refuse(services, callers):
    """Each call costs a few attempts."""
    for child in await services.start(3):
        child.kill()
        await child.wait()
    for port in range(2, 29):
        await services.advertise(port)
    await callers.work(20, 2, "POST", pause=0.05)
    assert len(callers.failed()) == len(callers.results)


async def test_one_of_thirty_is_good_and_the_others_refuse(services, callers):
    for port in range(2, 31):
        await services.advertise(port)
    await services.start(1)
    await callers.work(20, 2, "POST", pause=0.05)
    assert not callers.failed()
