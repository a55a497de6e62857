"""The end of a web container: what is under way is finished."""

import asyncio

import aiohttp
from tests.asab.both import both, ours
from tests.asab.running import running
from tests.asab.web.programs import SERVE

from peerage.testing.waiting import PATIENCE, eventually


def test_requests_under_way_are_finished():
    """Before anything is finalized; the connection is closed then, and no new one is taken."""
    outcome = ours(
        SERVE
        + """
class S(asab.Service):
    async def finalize(self, app):
        say("finalize")
app = make({"listen": "127.0.0.1 0"})
S(app, "mine")
async def slow(request):
    app.stop()
    while app.container.WebAppRunner.sites:
        await asyncio.sleep(0.01)
    try:
        async with aiohttp.ClientSession() as another, another.get(request.url):
            say("connected")
    except aiohttp.ClientConnectorError:
        say("no new connections")
    await asyncio.to_thread(lambda: None)
    return aiohttp.web.Response(text="slow")
app.container.WebApp.router.add_get("/", slow)
async def call():
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{app.container.Addresses[0][1]}/") as response:
            say(response.status, response.headers["Connection"], await response.text())
async def main():
    app.client = asyncio.create_task(call())
app.main = main
app.run()
"""
    )
    assert outcome.lines == ["no new connections", "200 close slow", "finalize"], outcome.log


def test_it_listens_until_main_is_over():
    """What main() still does after a stop may be done by requests."""
    outcome = both(
        SERVE
        + """
app = make({"listen": "127.0.0.1 0"})
async def answer(request):
    return aiohttp.web.Response(text="answer")
app.container.WebApp.router.add_get("/", answer)
async def main():
    await until_started(app.container)
    app.stop()
    await asyncio.to_thread(lambda: None)
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{app.container.Addresses[0][1]}/") as response:
            say(await response.text())
app.main = main
app.run()
"""
    )
    assert outcome.lines == ["answer"]


def test_a_request_on_its_way_over_a_kept_connection_is_answered():
    """It was sent before the connection could be closed."""
    outcome = ours(
        SERVE
        + """
app = make({"listen": "127.0.0.1 0"})
async def answer(request):
    return aiohttp.web.Response(text="answer")
app.container.WebApp.router.add_post("/", answer)
async def call():
    url = f"http://127.0.0.1:{app.container.Addresses[0][1]}/"
    async with aiohttp.ClientSession() as session:
        async with session.post(url) as response:
            say(response.headers.get("Connection"))
        app.stop()
        while app.container.WebAppRunner.sites:
            await asyncio.sleep(0)
        async with session.post(url) as response:
            say(response.headers.get("Connection"))
async def main():
    app.client = asyncio.create_task(call())
app.main = main
app.run()
"""
    )
    assert outcome.lines == ["None", "close"], outcome.log


def test_requests_may_wait_for_the_end_of_the_application():
    """Services are finalized beside requests that last longer than the head start."""
    outcome = ours(
        SERVE
        + """
from peerage.asab.web import container
container.HEAD_START = 0.1
app = make({"listen": "127.0.0.1 0"})
async def poll(request):
    say("waiting")
    app.stop()
    await app.PubSub.message("Application.exit!")
    return aiohttp.web.Response(text="the end")
app.container.WebApp.router.add_get("/", poll)
async def call():
    async with aiohttp.ClientSession() as session:
        async with session.get(f"http://127.0.0.1:{app.container.Addresses[0][1]}/") as response:
            say(await response.text())
async def main():
    app.client = asyncio.create_task(call())
async def finalize():
    await app.client
app.main, app.finalize = main, finalize
app.run()
"""
    )
    assert outcome.seen == (0, ["waiting", "the end"]), outcome.log


def test_an_upload_under_way_is_finished():
    """What arrives of it after the stop, and after services have begun to finalize, reaches the handler."""
    outcome = ours(
        SERVE
        + """
from peerage.asab.web import container
container.HEAD_START = 0
app = make({"listen": "127.0.0.1 0"})
exiting = asab.Subscriber(app.PubSub, "Application.exit!")
async def upload(request):
    app.stop()
    return aiohttp.web.Response(text=await request.text())
app.container.WebApp.router.add_post("/", upload)
async def body():
    yield b"before, "
    await exiting.message()
    yield b"after"
async def call():
    async with aiohttp.ClientSession() as session:
        url = f"http://127.0.0.1:{app.container.Addresses[0][1]}/"
        async with session.post(url, data=body()) as response:
            say(response.status, await response.text())
async def main():
    app.client = asyncio.create_task(call())
async def finalize():
    await app.client
app.main, app.finalize = main, finalize
app.run()
"""
    )
    assert outcome.seen == (0, ["200 before, after"]), outcome.log


def test_websockets_and_streams_dont_hold_up_the_end():
    """They last as long as the service, so only their beginning is waited for."""
    outcome = ours(
        SERVE
        + """
from peerage.asab.web import container
container.HEAD_START = 1000
app = make({"listen": "127.0.0.1 0"})
ends = []
async def talk(request):
    socket = aiohttp.web.WebSocketResponse()
    await socket.prepare(request)
    ends.append(socket.close)
    async for message in socket:
        pass
    say("socket closed")
    return socket
async def stream(request):
    response = aiohttp.web.StreamResponse()
    await response.prepare(request)
    end = asyncio.Event()
    async def finish(): end.set()
    ends.append(finish)
    await end.wait()
    say("stream ended")
    return response
app.container.WebApp.router.add_get("/socket", talk)
app.container.WebApp.router.add_get("/stream", stream)
async def call():
    url = f"http://127.0.0.1:{app.container.Addresses[0][1]}"
    async with aiohttp.ClientSession(url) as session:
        async with session.get("/stream") as response, session.ws_connect("/socket") as socket:
            app.stop()
            await socket.receive()
            await response.read()
async def main():
    app.client = asyncio.create_task(call())
async def finalize():
    for end in ends:
        await end()
    await app.client
app.main, app.finalize = main, finalize
app.run()
"""
    )
    assert sorted(outcome.lines) == ["socket closed", "stream ended"], outcome.log
    assert outcome.code == 0


def test_hooks_of_aiohttp_are_called():
    """on_startup, on_shutdown, on_cleanup of the web application, each once."""
    both(
        SERVE
        + """
app = make({"listen": "127.0.0.1 0"})
for name in ("on_startup", "on_shutdown", "on_cleanup"):
    async def hook(webapp, name=name):
        say(name, webapp["app"] is app)
    getattr(app.container.WebApp, name).append(hook)
async def main():
    await until_started(app.container)
    app.stop()
app.main = main
app.run()
"""
    )


PROGRAM = """
app = make({"listen": "127.0.0.1 0"})
async def answer(request):
    await asyncio.sleep(0.02)
    return aiohttp.web.Response(text=await request.text())
app.container.WebApp.router.add_post("/", answer)
async def main():
    say(app.container.Addresses[0][1])
app.main = main
sys.exit(app.run())
"""


async def test_sigterm_under_load_loses_no_request_over_kept_connections():
    """Each is answered with Connection: close, so that the next request goes to another instance."""
    answered = []

    async def call(session):
        connection = None
        while connection != "close":
            async with session.post("/", data=b"x") as response:
                assert await response.text() == "x"
                connection = response.headers.get("Connection")
                answered.append(connection)

    async with (
        running(SERVE + PROGRAM) as service,
        aiohttp.ClientSession(f"http://127.0.0.1:{await service.line()}") as session,
        asyncio.timeout(PATIENCE),
    ):
        callers = [asyncio.create_task(call(session)) for _ in range(20)]
        await eventually(lambda: len(answered) > 200, "load")
        service.terminate()
        await asyncio.gather(*callers)
        assert await service.end() == (0, [])
    assert answered.count("close") == len(callers)
