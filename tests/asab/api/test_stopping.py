"""The row ``ApiService``, on stop: callers leave before the web container does."""

import asyncio
import json
import time

import pytest
from tests.asab.api.programs import SERVER, SERVICE, on
from tests.asab.load import load
from tests.asab.running import named, running
from tests.backends.zookeeper.support import bare_client

from peerage.testing import eventually
from peerage.testing.waiting import PATIENCE
from peerage.testing.zookeeper import Proxy


async def test_no_request_fails_as_services_are_stopped_under_load(zookeeper):
    """Services of which two, then another, are stopped by SIGTERM; a POST isn't repeated, and needn't be."""
    environ = on(zookeeper)
    async with (
        running(SERVER, environ=named(environ, "worker-0")) as first,
        running(SERVER, environ=named(environ, "worker-1")) as second,
        running(SERVER, environ=named(environ, "worker-2")) as third,
    ):
        servers = [first, second, third]
        for server in servers:
            assert await server.line() == "ready"
        async with load(f"zookeeper://{zookeeper.address}{environ['TEST_PATH']}-ours", 3) as calls:
            await calls.answers_of("worker-0", "worker-1", "worker-2")
            for server in (first, second):
                server.terminate()
            for server in (first, second):
                assert await server.end() == (0, ["True"]), server.log
            async with running(SERVER, environ=named(environ, "worker-3")) as fourth:
                assert await fourth.line() == "ready"
                await calls.answers_of("worker-2", "worker-3")
                third.terminate()
                assert await third.end() == (0, ["True"]), third.log
                await calls.answers_of("worker-3")
                await calls.end()
    assert not calls.failed, (len(calls.failed), calls.failed[:5])
    assert "ERROR" not in "".join(server.log for server in servers)


async def test_draining_withdrawn_finished(zookeeper):
    """In this order: "draining" in the record, no record, the request under way answered, no listener."""
    environ = on(zookeeper)
    program = (
        SERVICE.replace(".LAME_DUCK = 0.01", ".LAME_DUCK = 0.3")
        + """
class Slow(Service):
    def __init__(self):
        super().__init__()
        self.Web.WebApp.router.add_get("/slow", self.slow)
    async def slow(self, request):
        say("asked")
        while self.Api._registration.name is not None or await self.Zk.get_children("run"):
            await asyncio.sleep(0.01)
        say("withdrawn", len(self.Web.WebAppRunner.sites))
        return aiohttp.web.Response(text="done")
    async def main(self):
        await record_of(self)
        say(self.Web.Addresses[0][1])
    async def finalize(self):
        say("finalize", len(self.Web.WebAppRunner.sites))
Slow().run()
"""
    )
    folder = f"{environ['TEST_PATH']}-ours/run"
    seen: list[bytes | None] = []
    async with bare_client(zookeeper.address) as client:
        async with running(program, environ=named(environ, "worker-0")) as one:
            port = int(await one.line())
            (node,) = await asyncio.to_thread(client.get_children, folder)
            client.DataWatch(f"{folder}/{node}", lambda data, _: seen.append(data))
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
            assert await one.line() == "asked"
            one.terminate()
            answer = await reader.read()
            writer.close()
            assert answer.startswith(b"HTTP/1.1 200"), answer
            assert answer.endswith(b"done")
            code, lines = await one.end()
            assert code == 0
            assert lines[0].startswith("withdrawn")
            assert lines[1] == "finalize 0"
            await eventually(lambda: seen[-1] is None, "the end of the record")
        states = [json.loads(data)["peerage"].get("state") for data in seen if data is not None]
        assert states == [None, "draining"]


@pytest.mark.parametrize("when", ["never registered", "a worker"])
async def test_a_service_without_callers_stops_without_waiting(zookeeper, when):
    """Without a web container, or with the registry out of reach, the end comes at once."""
    environ = named(on(zookeeper), "worker-0")
    made = "Service()"
    if when == "never registered":
        environ["TEST_SERVERS"] = "127.0.0.1:1"
    else:
        made = "Worker()"
    program = (
        SERVICE.replace(".LAME_DUCK = 0.01", ".LAME_DUCK = 15")
        + f"""
class Worker(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.zookeeper.Module])
        self.Api = asab.api.ApiService(self)
        self.Api.initialize_zookeeper()
async def program(app):
    await eventually(lambda: app.Api._registration)
    {"" if made == "Service()" else "await app.Api._registration.registered()"}
run(program, {made})
"""
    )
    begun = time.monotonic()
    async with running(program, environ=environ) as one:
        assert (await one.end())[0] == 0, one.log
    assert time.monotonic() - begun < min(15, PATIENCE)


async def test_a_registry_that_does_not_answer_is_not_waited_for(zookeeper):
    """Half open, the connection counts as up for seconds; the record goes with the session anyway."""
    program = (
        SERVICE
        + """
async def program(app):
    await record_of(app)
    say("there")
    await app.Loop.run_in_executor(None, sys.stdin.readline)
run(program, Service())
"""
    )
    async with Proxy(zookeeper.address) as proxy:
        environ = {**named(on(zookeeper), "worker-0"), "TEST_SERVERS": proxy.address}
        async with running(program, environ=environ) as one:
            await one.line()
            proxy.black_hole()
            await one.tell("stop")
            assert (await one.end())[0] == 0, one.log
    assert "Stopping waits for" not in one.log


async def test_withdrawn_also_if_starting_failed(zookeeper):
    """A port in use ends the application; nothing of it stays in the registry."""
    environ = named(on(zookeeper), "worker-0")
    program = (
        SERVICE
        + """
with socket.socket() as taken:
    taken.bind(("0.0.0.0", 0))
    taken.listen()
    asab.Config.set("web", "listen", f"0.0.0.0 {taken.getsockname()[1]}")
    app = Service()
    app.Zk.advertise({"of": "mine"}, "/run/Mine.")
    app.run()
"""
    )
    async with bare_client(zookeeper.address) as client:
        async with running(program, environ=environ) as one:
            assert (await one.end())[0] == 1
        assert "is in use" in one.log
        folder = f"{environ['TEST_PATH']}-ours/run"
        if await asyncio.to_thread(client.exists, folder):
            assert await asyncio.to_thread(client.get_children, folder) == []
