"""What may be chosen for calls."""

import asyncio
import time

import pytest
from aiohttp import web

from peerage import CallOptions, ConfigurationError, NotDiscoveredError, UnreachableError, call_options
from peerage.balancing import reported_load
from peerage.client import Client
from peerage.testing import begun

ORDERS = "http://orders.service_id.asab/"


async def ask(session, method="GET"):
    async with session.request(method, ORDERS) as response:
        return response.status


async def unavailable(request):
    raise web.HTTPServiceUnavailable


@pytest.fixture
def clock():
    return time.monotonic


async def test_a_call_waits_for_the_next_instance_of_a_name_that_lost_its_last_one(fleet):
    first = await fleet.serve()
    async with fleet.session() as session:
        await ask(session)
        fleet.directory.remove(first.name)
        waiting = [await begun(ask(session, method)) for method in ("GET", "POST")]
        await asyncio.sleep(0)
        await fleet.serve()
        assert await asyncio.gather(*waiting) == [200, 200]


async def test_it_waits_as_long_as_is_chosen(fleet):
    first = await fleet.serve()
    fleet.directory.remove(first.name)
    async with fleet.session(options=CallOptions(wait=0)) as session:
        with pytest.raises(NotDiscoveredError):
            await ask(session)
        with call_options(wait=0.05), pytest.raises(NotDiscoveredError):
            await ask(session)
        with call_options(wait=5):
            waiting = await begun(ask(session))
        await fleet.serve()
        assert await waiting == 200


async def test_a_name_that_had_no_instance_is_not_waited_for(fleet):
    async with fleet.session(options=CallOptions(wait=3600)) as session:
        with pytest.raises(NotDiscoveredError):
            await ask(session)


async def test_retries_can_be_switched_off_for_a_session_and_for_calls(fleet):
    bad = [await fleet.serve(unavailable) for _ in range(2)]
    async with fleet.session() as session, fleet.session(options=CallOptions(retry=False)) as other:
        await ask(other)
        assert sum(each.hits for each in bad) == 1
        with call_options(retry=False):
            await ask(session)
        assert sum(each.hits for each in bad) == 2
        with call_options(retry=True):
            await ask(other)
        assert sum(each.hits for each in bad) == 4


async def test_failover_can_be_switched_off(fleet):
    refusing, good = fleet.refuse(), await fleet.serve()
    failed = 0
    async with fleet.session() as session:
        for _ in range(20):
            try:
                with call_options(failover=False):
                    await ask(session, "POST")
            except UnreachableError:
                failed += 1
    assert failed == 1
    assert good.hits == 19
    assert refusing.name in fleet.client.balancer.avoided


async def test_what_counts_as_a_failure_can_be_chosen(fleet, clock):
    async def broken(request):
        raise web.HTTPInternalServerError

    bad, good = await fleet.serve(broken), await fleet.serve()
    async with fleet.session(options=CallOptions(failures={500})) as session:
        with call_options(failures=()):
            statuses = [await ask(session) for _ in range(20)]
        assert statuses.count(500) == bad.hits
        assert 8 <= bad.hits <= 12
        trouble = fleet.client.balancer.stats(bad.name).trouble
        assert trouble is None or not trouble.failures.total(clock())
        assert {await ask(session) for _ in range(20)} == {200}
        assert bad.hits <= 14
        assert bad.hits + good.hits > 40
        assert fleet.client.balancer.stats(bad.name).trouble.failures.total(clock()) > 0


@pytest.mark.parametrize("wrong", [200, 600, "refused", None])
def test_what_is_no_failure_is_refused(wrong):
    with pytest.raises(ConfigurationError, match=f"{wrong!r}"):
        CallOptions(failures=[503, wrong])


async def test_the_better_one_of_two_can_be_chosen_for_calls(fleet):
    served = [await fleet.serve() for _ in range(2)]

    def prefer_the_second(one, stats, other, other_stats, now):
        return 1.0 if one.name == served[1].name else -1.0

    async with fleet.session() as session, fleet.session(options=CallOptions(score=prefer_the_second)) as own:
        for _ in range(10):
            await ask(own)
            with call_options(score=prefer_the_second):
                await ask(session)
        assert [each.hits for each in served] == [0, 20]
        for _ in range(40):
            await ask(session)
        assert served[0].hits > 20


def test_a_misspelled_option_is_refused_where_it_is_chosen():
    with pytest.raises(TypeError, match="retries"), call_options(retries=False):
        pass


@pytest.mark.parametrize("chosen_for", ["nothing", "all", "a call"])
async def test_the_load_that_instances_report_is_read_where_they_are_chosen_by_it(fleet, chosen_for):
    async def busy(request):
        return web.Response(headers={"Peerage-Load": "17"})

    served = await fleet.serve(busy)
    client = Client(fleet.membership, score=reported_load if chosen_for == "all" else None)
    async with client.session() as session:
        with call_options(score=reported_load if chosen_for == "a call" else None):
            await ask(session)
    assert client.balancer.stats(served.name).reported == (0 if chosen_for == "nothing" else 17)
    await client.aclose()
