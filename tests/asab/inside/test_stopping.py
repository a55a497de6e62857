"""The stop of a service inside the real framework."""

import asyncio
import json
import time

import aiohttp
import pytest
from tests.asab.inside.programs import ORIGINAL, WORKER, guest, named
from tests.asab.inside.reader import Reader
from tests.asab.load import load
from tests.asab.zookeeper.programs import on

from peerage.testing import eventually
from peerage.testing.waiting import PATIENCE


async def test_no_request_fails_under_load(inside, zookeeper):
    """Two services are stopped by SIGTERM, then another; a POST isn't repeated, and needn't be."""
    environ = on(zookeeper)
    async with (
        guest(inside, named(environ, "worker-0"), WORKER) as first,
        guest(inside, named(environ, "worker-1"), WORKER) as second,
        guest(inside, named(environ, "worker-2"), WORKER) as third,
        load(f"zookeeper://{zookeeper.address}{environ['TEST_PATH']}", 3) as calls,
    ):
        await calls.answers_of("worker-0", "worker-1", "worker-2")
        for one in (first, second):
            one.running.terminate()
        for one in (first, second):
            assert (await one.running.end())[0] == 0, one.running.log
        async with guest(inside, named(environ, "worker-3"), WORKER) as fourth:
            await calls.answers_of("worker-2", "worker-3")
            third.running.terminate()
            assert (await third.running.end())[0] == 0, third.running.log
            await calls.answers_of("worker-3")
            await calls.end()
            logs = [one.running.log for one in (first, second, third, fourth)]
    assert not calls.failed, (len(calls.failed), calls.failed[:5])
    assert not [
        line for log in logs for line in log.splitlines() if " ERROR" in line or "still waiting" in line
    ]


async def test_what_is_under_way_is_finished(inside, zookeeper):
    """What arrives of an upload after the listener has closed reaches the handler; a WebSocket gets 1001."""
    program = """
async def upload(request):
    say("begun")
    return aiohttp.web.Response(text=await request.text())
async def chat(request):
    socket = aiohttp.web.WebSocketResponse()
    await socket.prepare(request)
    async for message in socket:
        pass
    return socket
async def closed(app):
    while app.Web.WebAppRunner.sites:
        await asyncio.sleep(0.005)
    say("closed")
app = Guest()
app.Web.WebApp.router.add_post("/upload", upload)
app.Web.WebApp.router.add_get("/chat", chat)
def on_stop(message_type, count):
    app.closing = asyncio.ensure_future(closed(app))
app.PubSub.subscribe("Application.stop!", on_stop)
app.run()
"""

    async with guest(inside, named(on(zookeeper), "my-1"), program) as one:

        async def body():
            yield b"before, "
            assert await one.running.line() == "begun"
            one.running.terminate()
            assert await one.running.line() == "closed"
            yield b"after"

        async with one.session.ws_connect("/chat") as socket:
            async with one.session.post("/upload", data=body()) as response:
                assert (response.status, await response.text()) == (200, "before, after")
            message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        assert await one.running.end() == (0, []), one.running.log


async def test_draining_withdrawn_finished(inside, zookeeper):
    """In this order: "draining" in the record, no record, the request under way answered, no listener."""
    environ = on(zookeeper)
    program = """
class Last(asab.Service):
    async def finalize(self, app):
        say("finalize", len(app.Web.WebAppRunner.sites), len(await app.Discovery.locate("original-1")))
async def slow(request):
    app = request.app["app"]
    say("asked")
    while app.Api._registration.name is not None or await app.Zk.get_children("run/none") is None:
        await asyncio.sleep(0.01)
        if app.Api._registration.name is None:
            break
    say("withdrawn")
    return aiohttp.web.Response(text="done")
app = Guest()
Last(app, "last")
app.Web.WebApp.router.add_get("/slow", slow)
app.run()
"""
    seen: list[bytes | None] = []
    async with (
        guest(inside, named(environ, "original-1", ORIGINAL)),
        guest(inside, named(environ, "my-1"), program) as one,
        Reader(zookeeper.address, environ["TEST_PATH"]) as reader,
    ):
        await one.found(instance_id="original-1")
        node, _, _ = await reader.one_of("my-1")
        reader.client.DataWatch(f"{reader.folder}/{node}", lambda data, _: seen.append(data))
        await eventually(lambda: len(seen) == 1, "the record is watched")
        port = one.session._base_url.port
        connection, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"GET /slow HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
        assert await one.running.line() == "asked"
        one.running.terminate()
        answer = await connection.read()
        writer.close()
        assert answer.startswith(b"HTTP/1.1 200"), answer
        assert answer.endswith(b"done")
        code, lines = await one.running.end()
        assert code == 0, one.running.log
        # All services are finalized at the same time; discovery is there until that is over.
        assert sorted(lines) == ["finalize 1 1", "withdrawn"]
        await eventually(lambda: seen[-1] is None, "the end of the record")
        states = [json.loads(data)["peerage"].get("state") for data in seen if data is not None]
        assert states == [None, "draining"]
        with pytest.raises(ConnectionError):
            await asyncio.open_connection("127.0.0.1", port)


async def test_a_stop_before_it_runs(inside, zookeeper):
    """Which the framework ignores: it isn't withdrawn."""
    program = """
async def initialize(self):
    self.stop()
Guest.initialize = initialize
Guest().run()
"""
    environ = on(zookeeper)
    async with (
        guest(inside, named(environ, "my-1"), program) as one,
        Reader(zookeeper.address, environ["TEST_PATH"]) as reader,
    ):
        await reader.one_of("my-1")
        await one.update_discovery({"shard": ["1"]})
        _, record, _ = await reader.one_of("my-1", lambda record, _: "discovery" in record)
        assert "state" not in record["peerage"]
        one.running.terminate()
        assert (await one.running.end())[0] == 0
        assert await reader.records() == []


async def test_the_stop_does_not_wait_for_zookeeper(inside, zookeeper):
    """The end comes within the framework's own patience."""
    environ = {**on(zookeeper), "TEST_SERVERS": "127.0.0.1:1"}
    # The framework's own client is waited for by its own thread, for as long as it takes.
    program = """
async def main(self):
    say(0)
    self.stop()
Guest.main = main
app = Guest()
app.run()
say("over")
sys.stdout.flush()
os._exit(0)
"""
    begun = time.monotonic()
    async with guest(inside, named(environ, "my-1"), program) as one:
        code, lines = await one.running.end()
        assert (code, lines) == (0, ["over"]), one.running.log
    assert time.monotonic() - begun < PATIENCE


async def test_an_exception_out_of_main(inside, zookeeper):
    """After which the framework finalizes nothing: the process ends all the same, with its traceback."""
    program = """
async def main(self):
    say(0)
    await self.Discovery.locate("my-1")
    raise ValueError("wrong")
Guest.main = main
Guest().run()
"""
    async with guest(inside, named(on(zookeeper), "my-1"), program) as one, asyncio.timeout(PATIENCE):
        assert await one.running.wait() == 1
    assert "ValueError: wrong" in one.running.log


async def test_another_version_of_the_framework(inside, zookeeper):
    """A version that stops its containers in another way gives a warning; the service runs and ends."""
    program = """
class Container(asab.web.WebContainer):
    _stop = None
made = asab.web.WebContainer
asab.web.WebContainer = Container
async def finalize(self, app):
    for container in self.Containers.values():
        await made._stop(container, app)
importlib.import_module("asab.web.service").WebService.finalize = finalize
Guest().run()
"""
    async with guest(inside, named(on(zookeeper), "my-1"), program) as one:
        await one.found(instance_id="my-1")
        one.running.terminate()
        assert (await one.running.end())[0] == 0
        assert "stops its web containers in another way than 25.15" in one.running.log
