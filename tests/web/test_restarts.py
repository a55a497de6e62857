"""Restarts of services under load, without a failed call."""

import pytest
from tests.restarts import restarted
from tests.test_readme import example
from tests.web.programs import PROGRAMS, environ, serving


@pytest.mark.parametrize("program", PROGRAMS)
async def test_no_call_fails(tmp_path, program):
    """Whatever runs the server."""

    def start(number):
        return serving(PROGRAMS[program], tmp_path, f"worker-{number}")

    registry = environ(tmp_path, "")["PEERAGE_REGISTRY"]
    load = await restarted(registry, "http://worker.service_id.asab/work?takes=0.01", start)
    assert load.failed == []


@pytest.mark.long
async def test_no_call_of_the_service_in_the_readme_fails(tmp_path):
    """With the time that callers have by default."""

    def start(number):
        return serving(example("serve.py"), tmp_path, f"orders-{number}")

    registry = environ(tmp_path, "")["PEERAGE_REGISTRY"]
    load = await restarted(registry, "http://orders.service_id.asab/v1/orders", start)
    assert load.failed == []
