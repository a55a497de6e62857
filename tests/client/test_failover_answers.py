"""What follows a time-out, an answer that is a failure, and an answer that breaks off."""

import asyncio
from collections import Counter
from contextlib import suppress

import aiohttp
import pytest
from aiohttp import web

from peerage.calling.retried import RetriedRequest, current_retried

ORDERS = "http://orders.service_id.asab/"


async def say_nothing(reader, writer):
    await reader.read()


@pytest.mark.parametrize("method", ["PUT", "POST"])
async def test_what_changes_something_is_not_retried_after_a_time_out(fleet, method):
    """The instance may carry it out later, and overwrite what was written meanwhile."""
    servers = [await fleet.serve_raw(say_nothing) for _ in range(3)]
    async with fleet.session() as session:
        with pytest.raises(aiohttp.SocketTimeoutError):
            await session.request(method, ORDERS, timeout=aiohttp.ClientTimeout(sock_read=0.05))
    assert sum(one.hits for one in servers) == 1


async def test_the_callers_time_limit_stays_the_callers(fleet):
    server = await fleet.serve_raw(say_nothing)
    async with fleet.session() as session:
        with pytest.raises(TimeoutError) as raised:
            await session.get(ORDERS, timeout=aiohttp.ClientTimeout(total=0.1))
        assert not isinstance(raised.value, aiohttp.ClientError)
        assert server.hits == 1


async def test_the_callers_time_limit_counts_against_the_instance(fleet):
    silent, good = await fleet.serve_raw(say_nothing), await fleet.serve()
    async with fleet.session() as session:
        while not silent.hits:
            with suppress(TimeoutError):
                await session.get(ORDERS, timeout=aiohttp.ClientTimeout(total=0.1))
        trouble = fleet.client.balancer.stats(silent.name).trouble
        assert (trouble.consecutive, trouble.held) == (1, 1)
        hits = good.hits
        for _ in range(20):
            async with session.get(ORDERS) as response:
                await response.read()
    assert (silent.hits, good.hits) == (1, hits + 20)


async def test_a_get_goes_elsewhere_after_a_time_out(fleet):
    silent, good = await fleet.serve_raw(say_nothing), await fleet.serve()
    async with fleet.session() as session:
        for _ in range(10):
            timeout = aiohttp.ClientTimeout(sock_read=0.05)
            async with session.get(ORDERS, timeout=timeout) as response:
                assert (await response.json())["node"] == good.name
    assert silent.hits >= 1


async def unavailable(request):
    raise web.HTTPServiceUnavailable(text="not now", headers={"Retry-After": "7"})


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_an_error_status_is_returned_where_there_is_no_other_instance(fleet, method):
    served = await fleet.serve(unavailable)
    async with fleet.session() as session, session.request(method, ORDERS, json=[1]) as response:
        assert (response.status, await response.text()) == (503, "not now")
    assert served.hits == 1
    assert fleet.outstanding == {}


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
async def test_an_instance_that_is_unavailable_fails_no_request_that_may_be_retried(fleet, method):
    bad, good = await fleet.serve(unavailable), await fleet.serve()
    async with fleet.session() as session:
        for number in range(50):
            async with session.request(method, ORDERS, json=[number]) as response:
                assert response.status == 200
    assert 1 <= bad.hits <= 3
    assert good.hits == 50
    # Retries are marked.
    repeated = sum(each.headers.get("Peerage-Retry") == "1" for each in good.seen)
    assert repeated == bad.hits
    assert not any("Peerage-Retry" in each.headers for each in bad.seen)
    assert fleet.outstanding == {}


async def test_a_post_that_was_answered_is_not_retried(fleet):
    bad, good = await fleet.serve(unavailable), await fleet.serve()
    statuses = Counter()
    async with fleet.session() as session:
        for _ in range(50):
            async with session.post(ORDERS) as response:
                statuses[response.status] += 1
    assert statuses[503] == bad.hits <= 3
    assert statuses[200] == good.hits == 50 - bad.hits


async def test_what_an_overloaded_instance_did_not_process_goes_elsewhere(fleet):
    async def overloaded(request):
        raise web.HTTPServiceUnavailable(headers={"Peerage-Overloaded": request.headers["Peerage-Dialled"]})

    bad, good = await fleet.serve(overloaded), await fleet.serve()
    async with fleet.session() as session:
        for _ in range(20):
            async with session.post(ORDERS, data=b"x") as response:
                assert response.status == 200
    assert bad.hits >= 1
    assert good.hits == 20


@pytest.mark.parametrize(("status", "mark"), [(503, "Peerage-Overloaded"), (421, "Peerage-Misdirected")])
async def test_what_an_instance_hands_on_from_another_one_says_nothing_about_its_own_work(
    fleet, status, mark
):
    """It has processed the request, and hands on all headers of the answer of an instance that it called."""

    async def hand_on(request):
        return web.Response(status=status, headers={mark: "Billing.0000000007 10.0.0.7:8080"})

    served = [await fleet.serve(hand_on) for _ in range(2)]
    async with fleet.session() as session, session.post(ORDERS, data=b"x") as response:
        assert response.status == status
    assert sum(each.hits for each in served) == 1


@pytest.mark.parametrize("status", [429, 503])
async def test_an_instance_is_left_alone_for_as_long_as_it_asks(fleet, status):
    async def refuse(request):
        return web.Response(status=status, headers={"Retry-After": "7"})

    bad, good = await fleet.serve(refuse), await fleet.serve()
    async with fleet.session() as session:
        while not bad.hits:
            async with session.get(ORDERS) as response:
                await response.read()
        fleet.clock.now += 6
        assert fleet.client.balancer.stats(bad.name).trouble.penalty(fleet.clock()) == 5.0
        hits = good.hits
        for _ in range(20):
            async with session.get(ORDERS) as response:
                await response.read()
    assert (bad.hits, good.hits) == (1, hits + 20)


async def test_a_put_that_something_behind_the_instance_may_still_process_is_not_retried(fleet):
    async def timed_out(request):
        raise web.HTTPGatewayTimeout

    servers = [await fleet.serve(timed_out) for _ in range(3)]
    async with fleet.session() as session:
        async with session.put(ORDERS, data=b"x") as response:
            assert response.status == 504
        assert sum(one.hits for one in servers) == 1
        async with session.get(ORDERS) as response:
            assert response.status == 504
        assert sum(one.hits for one in servers) == 4


async def test_the_first_answer_is_released_before_the_request_is_retried(fleet):
    """Otherwise a limited number of connections would be used up. Its body may never end."""

    async def begin(request):
        response = web.StreamResponse(status=503)
        await response.prepare(request)
        await response.write(b"x")
        await asyncio.Event().wait()

    bad = [await fleet.serve(begin) for _ in range(2)]
    good = await fleet.serve()
    connector = aiohttp.TCPConnector(limit=1)
    async with connector, fleet.session(connector=connector, connector_owner=False) as session:
        for _ in range(10):
            async with asyncio.timeout(5), session.get(ORDERS) as response:
                assert (await response.json())["node"] == good.name
    assert all(each.hits for each in bad)


async def test_calls_that_a_server_makes_for_a_retry_are_not_retried(fleet):
    bad = [await fleet.serve(unavailable) for _ in range(3)]
    token = current_retried.set(RetriedRequest())
    try:
        async with fleet.session() as session, session.get(ORDERS) as response:
            assert response.status == 503
    finally:
        current_retried.reset(token)
    assert sum(each.hits for each in bad) == 1
    assert [each.headers["Peerage-Retry"] for one in bad for each in one.seen] == ["1"]


@pytest.mark.parametrize(("method", "hits"), [("GET", 2), ("POST", 1)])
async def test_the_caller_gets_the_last_answer_that_is_not_http(fleet, method, hits):
    async def nonsense(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"220 mail.example.org ESMTP\r\n\r\n")
        await writer.drain()

    servers = [await fleet.serve_raw(nonsense) for _ in range(2)]
    async with fleet.session() as session:
        with pytest.raises(aiohttp.ClientResponseError):
            await session.request(method, ORDERS)
    assert sum(one.hits for one in servers) == hits


async def break_off(reader, writer):
    await reader.readuntil(b"\r\n\r\n")
    writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
    await writer.drain()


async def test_an_instance_that_breaks_answers_off_is_ejected(fleet):
    bad, _ = await fleet.serve_raw(break_off), await fleet.serve()
    async with fleet.session() as session:

        async def ask():
            with suppress(aiohttp.ClientPayloadError):
                async with session.get(ORDERS) as response:
                    await response.read()

        await asyncio.gather(*(ask() for _ in range(30)))
        assert [*fleet.client.balancer.avoided] == [bad.name]
        hits = bad.hits
        await asyncio.gather(*(ask() for _ in range(30)))
    assert bad.hits == hits


async def test_a_caller_that_closes_an_answer_early_says_nothing_about_the_instance(fleet):
    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"x" * 100)
        await asyncio.Event().wait()

    for _ in range(2):
        await fleet.serve(stream)
    async with fleet.session() as session:
        for _ in range(20):
            response = await session.get(ORDERS)
            response.close()
    assert not fleet.client.balancer.avoided
    for instance in fleet.directory.find():
        trouble = fleet.client.balancer.stats(instance.name).trouble
        assert trouble is None or not trouble.failures.total(fleet.clock())
