"""Servers that tell nothing to the application: it is advertised from start() on."""

import signal

from tests.backends.programs import program
from tests.web.programs import environ

from peerage import Discovery
from peerage.testing import eventually

_SERVER = """
import logging, sys
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server
from peerage.integrations.wsgi import discovered

logging.basicConfig(level="INFO")

def app(environ, start_response):
    start_response("200 OK", [("Content-Type", "text/plain")])
    found = environ["peerage.discovery"].instances(service_id="worker")
    return [each.instance_id.encode() for each in found]

application = discovered(app, lame_duck=0.1)
with make_server("127.0.0.1", 0, application) as server:
    application.start()
    server.serve_forever()
"""


async def test_it_drains_before_the_default_of_sigterm(tmp_path):
    """The process ends as it would without peerage, but later."""
    variables = environ(tmp_path, "worker-0")
    async with (
        program(_SERVER, **variables) as server,
        Discovery(variables["PEERAGE_REGISTRY"]) as discovery,
        discovery.session() as session,
    ):
        await eventually(discovery.directory.find, "the instance")

        async def finds_itself():
            async with session.get("http://worker.service_id.asab/") as response:
                return await response.text() == "worker-0"

        await eventually(finds_itself)
        server.terminate()
        await eventually(lambda: not discovery.directory.find(), "its end")
        assert (await server.end())[0] == -signal.SIGTERM, server.log
    assert "drains" in server.log
