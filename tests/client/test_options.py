"""What may be chosen for calls."""

import asyncio
import time

import pytest
from aiohttp import web

from peerage import CallOptions, NotDiscoveredError, call_options
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


async def test_repetitions_can_be_switched_off_for_a_session_and_for_calls(fleet):
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


def test_a_misspelled_option_is_refused_where_it_is_chosen():
    with pytest.raises(TypeError, match="retries"), call_options(retries=False):
        pass


@pytest.mark.parametrize("score", [None, reported_load])
async def test_the_load_that_instances_report_is_read_where_they_are_chosen_by_it(fleet, score):
    async def busy(request):
        return web.Response(headers={"Peerage-Load": "17"})

    served = await fleet.serve(busy)
    client = Client(fleet.membership, score=score)
    async with client.session() as session:
        await ask(session)
    assert client.balancer.stats(served.name).reported == (0 if score is None else 17)
    await client.aclose()
