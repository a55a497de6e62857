"""Deadlines of calls."""

import asyncio
import contextvars
import gc

import aiohttp
import pytest
from aiohttp import web

from peerage import CallOptions, DeadlineExceededError, call_options, deadline
from peerage.calling.deadline import TIMEOUT_MS
from peerage.testing import begun, eventually

ORDERS = "http://orders.service_id.asab/"


@pytest.fixture(autouse=True)
def clock(virtual_clock):
    return virtual_clock.time


async def hang(request):
    await asyncio.Event().wait()


async def hang_in_the_body(request):
    response = web.StreamResponse()
    await response.prepare(request)
    await response.write(b"begun")
    await asyncio.Event().wait()


async def ask(session):
    async with session.get(ORDERS) as response:
        return await response.read()


def sent(served):
    return [request.headers.get(TIMEOUT_MS) for request in served.seen]


async def test_the_time_that_is_left_is_sent_only_with_a_deadline(fleet):
    served = await fleet.serve()
    async with fleet.session() as session:
        await ask(session)
        async with deadline(60):
            await ask(session)
        await ask(session)
    none, left, none_again = sent(served)
    assert none is none_again is None
    assert 59_999 <= int(left) <= 60_000


async def test_it_is_not_sent_to_hosts_outside_of_asab(fleet):
    served = await fleet.serve()
    url = f"http://127.0.0.1:{served.port}/"
    async with fleet.session() as session, deadline(60), session.get(url) as response:
        assert response.status == 200
    assert sent(served) == [None]


async def test_the_deadlines_of_some_callers_do_not_count_against_the_instance(fleet):
    """The answer that the deadline has passed may arrive before it passes here."""

    async def answer(request):
        if TIMEOUT_MS in request.headers:
            return web.Response(status=504, headers={TIMEOUT_MS: "0"})
        return web.Response()

    served = [await fleet.serve(answer) for _ in range(2)]
    async with fleet.session() as session:
        for _ in range(20):
            async with deadline(60), session.get(ORDERS) as response:
                assert response.status == 504
        assert not fleet.client.balancer.avoided
        assert sum(one.hits for one in served) == 20


async def test_each_attempt_sends_what_is_left_then(fleet):
    async def unavailable(request):
        await asyncio.sleep(0.005)
        raise web.HTTPServiceUnavailable

    bad = [await fleet.serve(unavailable) for _ in range(2)]
    async with fleet.session() as session, deadline(60):
        await ask(session)
    first, second = sorted(
        (request for each in bad for request in each.seen),
        key=lambda each: "Peerage-Retry" in each.headers,
    )
    assert int(first.headers[TIMEOUT_MS]) > int(second.headers[TIMEOUT_MS])


async def test_the_request_is_left_as_it_was(fleet):
    """A middleware outside may send it again, when another deadline holds or none."""
    headers = []

    async def outside(request, handler):
        response = await handler(request)
        headers.append(TIMEOUT_MS in request.headers)
        return response

    await fleet.serve()
    async with fleet.session(middlewares=[outside]) as session, deadline(60):
        await ask(session)
    assert headers == [False]


async def test_a_call_is_given_up_and_the_error_says_what_it_waited_for(fleet):
    served = await fleet.serve(hang)
    place = rf"GET of service_id='orders' was waiting for an answer from .*:{served.port}"
    async with fleet.session() as session:
        with pytest.raises(DeadlineExceededError, match=rf"The deadline of 0\.05 s has passed: {place}"):
            async with deadline(0.05):
                await ask(session)
        assert asyncio.current_task().cancelling() == 0
        fleet.directory.remove(served.name)


async def test_no_attempt_is_made_when_the_deadline_has_passed(fleet):
    served = await fleet.serve()

    async with fleet.session() as session:
        async with deadline(0):
            free = asyncio.create_task(ask(session), context=contextvars.Context())
            late = asyncio.create_task(ask(session))
        with pytest.raises(DeadlineExceededError, match="was waiting for an instance to be called"):
            await late
        await free
    assert served.hits == 1


async def test_a_call_in_a_task_that_outlives_the_block_is_given_up(fleet):
    served = await fleet.serve(hang)
    async with fleet.session() as session:
        async with deadline(0.05):
            task = await begun(ask(session))
        with pytest.raises(DeadlineExceededError, match="an answer from"):
            await task
        fleet.directory.remove(served.name)


async def test_the_response_must_be_read_in_time_as_well(fleet):
    await fleet.serve(hang_in_the_body)
    async with fleet.session() as session:
        async with deadline(0.5):
            task = await begun(ask(session))
        with pytest.raises(
            DeadlineExceededError, match=r"the response to GET of orders\.service_id\.asab was being"
        ):
            await task
        with pytest.raises(DeadlineExceededError):
            async with deadline(0.5):
                await ask(session)


async def test_a_response_that_is_dropped_unread_is_closed_at_the_deadline(fleet):
    await fleet.serve(hang_in_the_body)
    async with fleet.session() as session:
        async with deadline(0.5):
            await session.get(ORDERS)
        gc.collect()
        await eventually(lambda: not fleet.outstanding)


async def test_calls_of_a_session_and_single_calls_may_have_one(fleet):
    served = await fleet.serve(hang)
    async with fleet.session(options=CallOptions(deadline=0.05)) as session, fleet.session() as other:
        with pytest.raises(DeadlineExceededError, match=r"0\.05 s"):
            await ask(session)
        with call_options(deadline=0.06), pytest.raises(DeadlineExceededError, match=r"0\.06 s"):
            await ask(other)
        fleet.directory.remove(served.name)


async def test_the_deadline_of_a_call_never_prolongs_that_of_the_block(fleet):
    served = await fleet.serve()
    async with fleet.session(options=CallOptions(deadline=3600)) as session, deadline(60):
        await ask(session)
    assert int(sent(served)[0]) <= 60_000


async def test_a_websocket_stays_open_after_the_deadline_of_its_handshake(fleet):
    async def echo(request):
        websocket = web.WebSocketResponse()
        await websocket.prepare(request)
        async for message in websocket:
            await websocket.send_str(message.data)
        return websocket

    await fleet.serve(echo)
    passed = asyncio.Event()
    session = fleet.session(options=CallOptions(deadline=0.5))
    async with session, session.ws_connect(ORDERS) as websocket:
        asyncio.get_running_loop().call_later(0.51, passed.set)
        await passed.wait()
        await websocket.send_str("still here")
        assert await websocket.receive_str() == "still here"


async def test_waiting_for_the_first_snapshot_ends_as_well(fleet):
    async def never():
        await asyncio.Event().wait()

    fleet.membership.ready, fleet.membership.on_ready = False, never
    async with fleet.session() as session:
        with pytest.raises(DeadlineExceededError, match="the first snapshot of the registry"):
            async with deadline(0.02):
                await ask(session)


async def test_the_cancellation_by_the_caller_is_not_swallowed(fleet):
    served = await fleet.serve(hang)
    async with fleet.session() as session:
        async with deadline(60):
            task = await begun(ask(session))
        await eventually(lambda: served.hits)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        fleet.directory.remove(served.name)


async def test_a_time_limit_of_aiohttps_own_stays_what_it_is(fleet):
    served = await fleet.serve(hang)
    async with fleet.session(timeout=aiohttp.ClientTimeout(total=0.05)) as session, deadline(60):
        with pytest.raises(TimeoutError) as caught:
            await ask(session)
        assert not isinstance(caught.value, DeadlineExceededError)
        fleet.directory.remove(served.name)
