"""An application that advertises itself under each web server."""

import pytest
from tests.integrations.servers import SERVERS, serving
from tests.restarts import restarted
from tests.web.programs import environ

URL = "http://worker.service_id.asab/work?takes=0.01"


async def restart(folder, name):
    """Restart the service under load, and return what failed."""
    server = SERVERS[name]

    def start(instance, port):
        return serving(server, folder, instance, port)

    registry = environ(folder, "")["PEERAGE_REGISTRY"]
    return (await restarted(registry, URL, start, exit_code=server.exit_code)).failed


async def test_no_call_fails_under_uvicorn(tmp_path):
    """While instances are replaced."""
    assert await restart(tmp_path, "uvicorn") == []


@pytest.mark.long
@pytest.mark.parametrize("name", sorted(SERVERS.keys() - {"uvicorn"}))
async def test_no_call_fails(tmp_path, name):
    """Whatever runs the application."""
    assert await restart(tmp_path, name) == []
