"""A request that waits for a stalled instance gets a backup: a second attempt elsewhere.

Timers of the event loop begin what is tested, so its clock is that of the client. It is virtual, so requests
take no time, and between two of them a test sleeps.
"""

import asyncio
import json

import aiohttp
import pytest
from aiohttp import web

from peerage import CallOptions, call_options
from peerage.client.backups import Backup
from peerage.testing import eventually

ORDERS = "http://orders.service_id.asab/"


@pytest.fixture
def clock(virtual_clock):
    return virtual_clock.time


async def ask(session, method="GET", **kwargs):
    async with session.request(method, ORDERS, **kwargs) as response:
        return await response.text()


async def later(session, method="GET", **kwargs):
    await asyncio.sleep(0.01)
    return await ask(session, method, **kwargs)


def node(served):
    return json.dumps({"node": served.name})


async def caught_by(fleet, name, session, method="GET", **kwargs):
    """Return a request that waits for an instance which doesn't answer, while others are answered."""
    while True:
        task = asyncio.create_task(ask(session, method, **kwargs))
        await asyncio.wait([task], timeout=0.2)
        if fleet.outstanding.get(name):
            return task
        await task


async def stop(served, session):
    await asyncio.gather(*(ask(session) for _ in range(20)))
    served.peer.hang()


async def test_a_get_is_answered_elsewhere(fleet):
    stopped, other = fleet.fake(), fleet.fake()
    async with fleet.session() as session:
        await stop(stopped, session)
        waiting = await caught_by(fleet, stopped.name, session)
        while not waiting.done():
            # The others are answered meanwhile: the whole service isn't slow.
            assert await later(session) == node(other)
        assert await waiting == node(other)
        assert not waiting.cancelling()
        assert [*fleet.client.balancer.avoided] == [stopped.name]
        stopped.peer.resume()

        async def called_again():
            while True:
                if await later(session) == node(stopped):
                    return

        async with asyncio.timeout(10):
            await called_again()


async def test_so_is_the_only_get_that_is_under_way(fleet, clock):
    """No other request shows that the service isn't slow, so it waits for longer."""
    stopped, other = fleet.fake(), fleet.fake()
    async with fleet.session() as session:
        await stop(stopped, session)
        begin = clock()
        while stopped.name not in fleet.client.balancer.avoided:
            assert await later(session) == node(other)
        assert 3 < clock() - begin < 6


async def test_so_is_a_post_with_a_key_and_its_body(fleet):
    stopped = fleet.fake()

    async def answer(request):
        return web.Response(text=f"{request.headers.get('Peerage-Retry')} {await request.text()}")

    other = await fleet.serve(answer)
    keyed = {"headers": {"Idempotency-Key": "7"}, "json": {"tea": 2}}
    async with fleet.session() as session:
        await stop(stopped, session)
        waiting = await caught_by(fleet, stopped.name, session, "POST", **keyed)
        while not waiting.done():
            assert await later(session, "POST", **keyed) == 'None {"tea": 2}'
        assert await waiting == '1 {"tea": 2}'
        assert other.seen[-1].headers["Idempotency-Key"] == "7"


async def test_what_changes_something_waits(fleet):
    """The stopped instance may process it when it goes on, so that it would be processed twice."""
    stopped, other = fleet.fake(), fleet.fake()
    async with fleet.session() as session:
        await stop(stopped, session)
        waiting = await caught_by(fleet, stopped.name, session, "PUT")
        while stopped.name not in fleet.client.balancer.avoided:
            await later(session, "PUT")
        for _ in range(20):
            assert await ask(session, "PUT") == node(other)
        assert not waiting.done()
        stopped.peer.resume()
        assert await waiting == node(stopped)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_request_that_still_connects_goes_elsewhere_with_any_method(fleet, full, method):
    """Nothing was sent, so it is no retry; there is no time limit for connections."""
    name, other = fleet.advertise(full), await fleet.serve()
    async with fleet.session(timeout=aiohttp.ClientTimeout()) as session:
        waiting = await caught_by(fleet, name, session, method)
        async with asyncio.timeout(20):
            while not waiting.done():
                await later(session)
        assert other.name in await waiting
        assert not waiting.cancelling()
    assert fleet.client.balancer.avoided == {name}
    assert not any("Peerage-Retry" in each.headers for each in other.seen)


async def test_a_request_that_connects_waits_if_it_can_not_go_elsewhere(fleet, full):
    name, other = fleet.advertise(full), await fleet.serve()
    async with fleet.session(timeout=aiohttp.ClientTimeout()) as session:
        waiting = await caught_by(fleet, name, session, "POST")
        fleet.directory.remove(other.name)
        # As after a probe that wasn't answered.
        fleet.client.balancer.probed(name, passed=False)
        fleet.client._backups.check(name)
        await asyncio.wait([waiting], timeout=0.2)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
    assert waiting.cancelled()


@pytest.mark.parametrize("caller_first", [True, False])
async def test_a_caller_that_gives_up_just_when_its_request_goes_elsewhere_is_obeyed(
    fleet, full, caller_first
):
    name, _ = fleet.advertise(full), await fleet.serve()
    async with fleet.session(timeout=aiohttp.ClientTimeout()) as session:
        waiting = await caught_by(fleet, name, session, "POST")
        if caller_first:
            waiting.cancel()
        # As after a probe that wasn't answered.
        fleet.client.balancer.probed(name, passed=False)
        fleet.client._backups.check(name)
        if not caller_first:
            waiting.cancel()
        await asyncio.wait([waiting])
    assert waiting.cancelled()


async def test_a_request_that_only_takes_long_gets_no_backup(fleet):
    finish, arrived = asyncio.Event(), []

    async def slow(request):
        arrived.append(request.method)
        if request.method == "GET":
            await finish.wait()
        return web.Response(text="slow")

    long, other = await fleet.serve(slow), await fleet.serve()
    async with fleet.session() as session:
        waiting = await caught_by(fleet, long.name, session)
        while "HEAD" not in arrived:
            await later(session, "PUT")
        # The probe was answered.
        for _ in range(20):
            await later(session, "PUT")
        assert not waiting.done()
        finish.set()
        assert await waiting == "slow"
    assert arrived.count("GET") == 1
    assert not any("Peerage-Retry" in each.headers for each in other.seen)
    assert not fleet.client.balancer.avoided


async def test_the_detection_of_stalled_instances_can_be_switched_off(fleet, clock):
    stopped, other = fleet.fake(), fleet.fake()
    async with fleet.session(options=CallOptions(detect_stalled=False)) as session:
        await stop(stopped, session)
        waiting = await caught_by(fleet, stopped.name, session)
        begin, others = clock(), []
        while clock() < begin + 2:
            others.append(asyncio.create_task(later(session, "PUT")))
            await asyncio.wait(others[-1:], timeout=0.1)
        counts = fleet.client.balancer.observer.counts()
        assert (counts.probes_passed, counts.probes_failed, counts.backups) == (0, 0, 0)
        assert not waiting.done()
        stopped.peer.resume()
        assert await waiting == node(stopped)
        assert node(other) in await asyncio.gather(*others)


async def test_a_caller_that_gives_up_ends_both_attempts(fleet):
    stopped = fleet.fake()
    hang = asyncio.Event()

    async def answer(request):
        if request.headers.get("Peerage-Retry"):
            hang.set()
            await asyncio.Event().wait()
        return web.Response(text="other")

    await fleet.serve(answer)
    async with fleet.session() as session:
        await stop(stopped, session)
        waiting = await caught_by(fleet, stopped.name, session)
        while not hang.is_set():
            await later(session, "PUT")
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        await eventually(lambda: not fleet.outstanding, "both are given up")


async def test_the_callers_time_limit_ends_both_attempts(fleet):
    stopped = fleet.fake()

    async def answer(request):
        if request.headers.get("Peerage-Retry"):
            await asyncio.Event().wait()
        return web.Response(text="other")

    await fleet.serve(answer)
    async with fleet.session(timeout=aiohttp.ClientTimeout(total=3)) as session:
        await stop(stopped, session)
        waiting = await caught_by(fleet, stopped.name, session)
        while not waiting.done():
            await later(session, "PUT")
        with pytest.raises(TimeoutError):
            await waiting
        assert not waiting.cancelling()
    await eventually(lambda: not fleet.outstanding, "both are given up")


async def test_a_hedged_get_is_answered_by_the_instance_that_is_first(fleet, clock):
    hang, release = False, asyncio.Event()

    async def answer(request):
        if hang and "Peerage-Retry" not in request.headers:
            await release.wait()
        return web.Response(text=request.headers.get("Peerage-Retry", "first"))

    served = [await fleet.serve(answer) for _ in range(2)]
    async with fleet.session(options=CallOptions(hedge=True)) as session:
        assert await ask(session) == "first"
        # As if 200 requests had been answered. On a busy machine, hedges of real ones would use up the share.
        hedging = fleet.client.balancer.service(("service_id", "orders")).hedging
        for _ in range(200):
            hedging.answered(0.005, clock())
        hits = sum(each.hits for each in served)
        hang = True
        assert await asyncio.gather(*(ask(session) for _ in range(2))) == ["1", "1"]
        assert sum(each.hits for each in served) == hits + 4
        # What changes something waits.
        waiting = asyncio.create_task(ask(session, "PUT"))
        await eventually(lambda: sum(each.hits for each in served) == hits + 5, "the request")
        with call_options(hedge=False):
            plain = asyncio.create_task(ask(session))
        await asyncio.wait([waiting, plain], timeout=0.2)
        assert not waiting.done()
        assert not plain.done()
        release.set()
        assert await asyncio.gather(waiting, plain) == ["first", "first"]


@pytest.mark.parametrize("caller_is_first", [True, False])
async def test_an_interruption_hides_no_cancellation_by_the_caller(caller_is_first):
    """Both may come in the same turn of the event loop, and arrive as one."""
    interrupted = []

    async def wait():
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            interrupted.append(backup.take_back())

    task = asyncio.create_task(wait())
    await asyncio.sleep(0)
    backup = Backup(task)
    if caller_is_first:
        task.cancel()
    backup.interrupt()
    if not caller_is_first:
        task.cancel()
    await task
    assert interrupted == [False]
    assert task.cancelling() == 1
