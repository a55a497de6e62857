"""Restarts of services under load, without a failed call."""

import pytest
from tests.restarts import PYTHON, restarted
from tests.test_readme import example
from tests.web.programs import GUNICORN_CONFIGURATION, PROGRAMS, environ, serving

URL = "http://worker.service_id.asab/work?takes=0.01"


async def restart(folder, program):
    """Restart the service under load, and return what failed."""

    def start(instance, port):
        return serving(program, folder, instance, python=PYTHON, TEST_PORT=str(port))

    return (await restarted(environ(folder, "")["PEERAGE_REGISTRY"], URL, start)).failed


@pytest.mark.parametrize("program", PROGRAMS)
async def test_no_call_fails(tmp_path, program):
    """Whatever runs the server."""
    assert await restart(tmp_path, PROGRAMS[program]) == []


@pytest.mark.long
async def test_no_call_fails_under_gunicorn(tmp_path):
    """Its worker for aiohttp handles signals in the event loop, as aiohttp does."""
    pytest.importorskip("gunicorn")
    assert await restart(tmp_path, GUNICORN_CONFIGURATION) == []


@pytest.mark.long
async def test_no_call_of_the_service_in_the_readme_fails(tmp_path):
    """With the time that callers have by default."""

    def start(instance, port):
        program = example("serve.py").replace("port=0", f"port={port}").replace("orders-1", instance)
        return serving(program, tmp_path, instance, python=PYTHON)

    registry = environ(tmp_path, "")["PEERAGE_REGISTRY"]
    load = await restarted(registry, "http://orders.service_id.asab/v1/orders", start)
    assert load.failed == []
