"""What callers through httpx notice of the same faults: as little."""

import pytest
from tests.chaos import test_instances as instances
from tests.chaos.conftest import Callers
from tests.httpxsession import httpx_session
from tests.restarts import PYTHON, restarted
from tests.web.programs import RUN_APP, environ, serving

from peerage import Discovery

pytestmark = [pytest.mark.long, pytest.mark.alone]


@pytest.fixture
async def callers(services):
    async with httpx_session(services.discovery) as session:
        yield Callers(session)


async def test_one_of_three_is_killed(services, callers):
    await instances.kill_one_of_three(services, callers, 200)


async def test_one_of_three_is_killed_and_requests_may_not_be_retried(services, callers):
    await instances.test_one_of_three_is_killed_and_requests_may_not_be_retried(services, callers)


async def test_one_of_four_fails_in_a_millisecond(services, callers):
    bad, all_of_them = await instances.fail_at_one_of_four(services, callers, "503")
    # Those under way until it is ejected, which don't become fewer on a machine that makes fewer calls.
    assert bad <= max(30, 0.01 * all_of_them)
    assert not callers.failed()


async def test_one_of_three_is_stopped_and_goes_on(services, callers):
    await instances.test_one_of_three_is_stopped_and_goes_on(services, callers)


async def test_an_instance_joins(services):
    """It isn't new to the callers once they have warmed it up."""
    await services.start(2)
    async with Discovery(services.discovery.registry) as discovery, httpx_session(discovery) as session:
        callers = Callers(session)
        await callers.send(100, 1, "GET", "POST")
        (joined,) = await services.start(1)
        await callers.send(100, callers.now + 6, "GET", "POST")
        before = [(await services.counts(child)).total() for child in services.children]
        await callers.send(100, callers.now + 2, "GET", "POST")
        after = [(await services.counts(child)).total() for child in services.children]
    assert not callers.failed()
    grown = [late - early for early, late in zip(before, after, strict=True)]
    assert grown[services.children.index(joined)] > 0.2 * sum(grown)


async def test_instances_that_are_restarted_drain(tmp_path):
    def start(instance, port):
        return serving(RUN_APP, tmp_path, instance, python=PYTHON, TEST_PORT=str(port))

    url = "http://worker.service_id.asab/work?takes=0.01"
    registry = environ(tmp_path, "")["PEERAGE_REGISTRY"]
    assert (await restarted(registry, url, start, connect=httpx_session)).failed == []
