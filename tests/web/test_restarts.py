"""Restarts of services under load, without a failed call."""

import sys

import pytest
from tests.restarts import PYTHON, restarted
from tests.test_readme import example
from tests.web.programs import GUNICORN, GUNICORN_CONFIGURATION, PROGRAMS, environ

from peerage.testing.children import run

URL = "http://worker.service_id.asab/work?takes=0.01"


@pytest.mark.parametrize("program", PROGRAMS)
async def test_no_call_fails(tmp_path, program):
    """Whatever runs the server."""

    def start(instance, port):
        variables = environ(tmp_path, instance, TEST_PORT=str(port))
        return run(*PYTHON, "-c", PROGRAMS[program], environ=variables)

    registry = environ(tmp_path, "")["PEERAGE_REGISTRY"]
    load = await restarted(registry, URL, start)
    assert load.failed == []


@pytest.mark.long
async def test_no_call_fails_under_gunicorn(tmp_path):
    """Its worker for aiohttp handles signals in the event loop, as aiohttp does."""
    pytest.importorskip("gunicorn")
    (tmp_path / "service.py").write_text(GUNICORN)
    (tmp_path / "gunicorn.conf.py").write_text(GUNICORN_CONFIGURATION)

    def start(instance, port):
        command = (sys.executable, "-m", "gunicorn", "service:app")
        return run(*command, environ=environ(tmp_path, instance, TEST_PORT=str(port)), cwd=tmp_path)

    registry = environ(tmp_path, "")["PEERAGE_REGISTRY"]
    load = await restarted(registry, URL, start)
    assert load.failed == []


@pytest.mark.long
async def test_no_call_of_the_service_in_the_readme_fails(tmp_path):
    """With the time that callers have by default."""

    def start(instance, port):
        program = example("serve.py").replace("port=0", f"port={port}").replace("orders-1", instance)
        return run(*PYTHON, "-c", program, environ=environ(tmp_path, instance))

    registry = environ(tmp_path, "")["PEERAGE_REGISTRY"]
    load = await restarted(registry, "http://orders.service_id.asab/v1/orders", start)
    assert load.failed == []
