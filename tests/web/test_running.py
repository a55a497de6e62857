"""A server that is found stops at a signal, without a failed call."""

import asyncio
import signal
import socket
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
import trustme
from tests.web.programs import (
    APPLICATION,
    DRAINING,
    GUNICORN_CONFIGURATION,
    PROGRAMS,
    RUN_APP,
    environ,
    serving,
)

from peerage import ConfigurationError, Discovery
from peerage.calling.misdirected import DIALLED, dialled_header
from peerage.testing import eventually
from peerage.web import drain_on_signals


@asynccontextmanager
async def finding(folder):
    """A caller in the same registry; yields the Discovery and how to ask for the one instance's state."""

    def states():
        found = discovery.directory.find((("service_id", "worker"),))
        return [instance.state for instance in found]

    async with Discovery(environ(folder, "")["PEERAGE_REGISTRY"]) as discovery:
        yield discovery, states


async def finish(folder, program, number=signal.SIGTERM):
    """Stop a server while it receives an upload and talks over a WebSocket; return what it logged."""
    async with (
        serving(program, folder) as server,
        finding(folder) as (discovery, states),
        discovery.session("http://worker.service_id.asab") as session,
    ):
        await eventually(lambda: states() == [None])

        async def body():
            yield b"before, "
            assert await server.line() == "receiving"
            server.signal(number)
            await eventually(lambda: states() == ["draining"])
            await eventually(lambda: states() == [])
            yield b"after"

        async with session.ws_connect("/chat") as chat:
            await chat.send_str("hello")
            assert await chat.receive_str() == "hello"
            async with session.post("/upload", data=body()) as response:
                assert await response.text() == "before, after"
                assert response.headers["Connection"] == "close"
            message = await chat.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1001)
        assert await server.end() == (0, "the chat is over\n"), server.log
    return server.log


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("program", PROGRAMS)
async def test_what_is_under_way_is_finished(tmp_path, program, number):
    """An upload is received whole though it lasts longer than the drain; a WebSocket is closed with 1001."""
    assert await finish(tmp_path, PROGRAMS[program], number) == ""


@pytest.mark.long
async def test_what_is_under_way_is_finished_by_gunicorn(tmp_path):
    """Likewise."""
    pytest.importorskip("gunicorn")
    await finish(tmp_path, GUNICORN_CONFIGURATION)


async def test_what_never_ends_does_not_keep_it_running(tmp_path):
    """An upload that isn't continued, and a WebSocket whose client doesn't answer the close."""
    program = RUN_APP.replace("lame_duck=LAME_DUCK", "lame_duck=0, timeout=0.1")
    chat = (
        "GET /chat HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        f"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {'A' * 22}==\r\n\r\n"
    )
    upload = "POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\nExpect: 100-continue\r\n\r\nmi"
    async with (
        serving(program, tmp_path) as server,
        finding(tmp_path) as (discovery, states),
        AsyncExitStack() as stack,
    ):
        await eventually(lambda: states() == [None])
        (url,) = await discovery.locate(service_id="worker")
        for request, answer in ((chat, b"HTTP/1.1 101 "), (upload, b"HTTP/1.1 100 ")):
            reader, writer = await asyncio.open_connection("127.0.0.1", int(url.rpartition(":")[2]))
            stack.callback(writer.close)
            writer.write(request.encode())
            assert (await reader.readuntil(b"\r\n\r\n")).startswith(answer)
        server.terminate()
        assert (await server.end())[0] == 0, server.log


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_second_signal_ends_it_without_draining(tmp_path, program):
    """Its record is withdrawn all the same."""
    async with (
        serving(PROGRAMS[program], tmp_path, TEST_LAME_DUCK="1000", TEST_SAME_STOP="0") as server,
        finding(tmp_path) as (_, states),
    ):
        await eventually(lambda: states() == [None])
        server.terminate()
        await eventually(lambda: states() == ["draining"])
        server.terminate()
        await eventually(lambda: states() == [])
        assert (await server.end())[0] == 0, server.log


async def test_signals_at_the_same_time_are_one(tmp_path):
    """As of a supervisor that sends it to a whole group, in which another process hands it on."""
    logged = "import logging\nlogging.basicConfig(level=logging.INFO)\n"
    async with (
        serving(logged + RUN_APP, tmp_path, TEST_LAME_DUCK="1000", TEST_SAME_STOP="1000") as server,
        finding(tmp_path) as (discovery, states),
        discovery.session("http://worker.service_id.asab") as session,
    ):
        await eventually(lambda: states() == [None])
        server.terminate()
        await eventually(lambda: states() == ["draining"])
        for number in (signal.SIGTERM, signal.SIGINT):
            server.signal(number)
        # Answered after the signals were handled.
        async with session.get("/work") as response:
            assert response.status == 200
        assert states() == ["draining"]
        await server.reap()
        assert server.log.count(" drains, ") == 1
        assert "without draining" not in server.log


async def test_a_third_signal_breaks_off_what_never_ends(tmp_path):
    """The application is cleaned up all the same, and the log names the request."""
    program = RUN_APP.replace("run_app(app", "app.on_cleanup.append(clean)\nrun_app(app")
    clean = "async def clean(app):\n    print('clean')\n"

    async def refused():
        try:
            _, writer = await asyncio.open_connection("127.0.0.1", port)
        except ConnectionRefusedError:
            return True
        except ConnectionResetError:
            # The listener was closed while the connection was in its queue.
            return False
        writer.close()
        return False

    async with (
        serving(clean + program, tmp_path, TEST_LAME_DUCK="1000", TEST_SAME_STOP="0") as server,
        finding(tmp_path) as (discovery, states),
    ):
        await eventually(lambda: states() == [None])
        (url,) = await discovery.locate(service_id="worker")
        port = int(url.rpartition(":")[2])
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"POST /upload HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nmi")
        assert await server.line() == "receiving"
        server.terminate()
        await eventually(lambda: states() == ["draining"])
        server.terminate()
        await eventually(refused, "the end of the listener")
        server.terminate()
        assert await server.end() == (0, "clean\n"), server.log
        assert await reader.read() == b""
        writer.close()
    assert "Requests are broken off because the server stops: POST /upload" in server.log


@pytest.mark.parametrize(
    ("installed", "code"),
    [
        ("signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(7))", 7),
        ("", -signal.SIGTERM),
    ],
)
async def test_handlers_that_were_not_installed_in_the_event_loop_get_the_signal(tmp_path, installed, code):
    """Those of ``signal.signal()``, and the default one, which ends the process."""
    program = f"""
{DRAINING}
{installed}
async def main():
    runner = web.AppRunner(app)
    await runner.setup()
    await web.SockSite(runner, listening).start()
    await asyncio.Event().wait()
asyncio.run(main())
"""
    async with serving(program, tmp_path) as server, finding(tmp_path) as (_, states):
        await eventually(lambda: states() == [None])
        server.terminate()
        await eventually(lambda: states() == ["draining"])
        assert (await server.end())[0] == code, server.log


async def test_a_server_that_ends_by_itself_while_it_drains_gets_no_signal(tmp_path):
    """The drain is cancelled, and nothing else."""
    program = f"""
{DRAINING}
async def main():
    runner = web.AppRunner(app)
    await runner.setup()
    await asyncio.to_thread(sys.stdin.readline)
    await runner.cleanup()
asyncio.run(main())
"""
    async with (
        serving(program, tmp_path, TEST_LAME_DUCK="1000") as server,
        finding(tmp_path) as (_, states),
    ):
        await eventually(lambda: states() == [None])
        server.terminate()
        await eventually(lambda: states() == ["draining"])
        await server.tell("end")
        assert (await server.end())[0] == 0, server.log


async def test_a_drain_that_fails_does_not_keep_the_server_running(tmp_path):
    """The log says why, and the server gets the signal."""
    program = f"""
{DRAINING}
def fail():
    raise ValueError("wrong")
graceful.close_connections = fail
web.run_app(app, sock=listening, print=None, access_log=None)
"""
    async with serving(program, tmp_path) as server, finding(tmp_path) as (_, states):
        await eventually(lambda: states() == [None])
        server.terminate()
        assert (await server.end())[0] == 0
    assert "Draining failed" in server.log
    assert "ValueError: wrong" in server.log


def test_an_event_loop_that_hides_its_handlers_is_refused(monkeypatch):
    """Nothing is installed: the server would never end."""
    monkeypatch.setattr(asyncio, "get_running_loop", asyncio.AbstractEventLoop)
    with pytest.raises(ConfigurationError, match=r"pass drain_on_signals\(then=…\)"):
        drain_on_signals(None)


async def test_a_signal_during_startup_ends_it(tmp_path):
    """The startup is cancelled, and what was started is cleaned up."""
    program = f"""
{APPLICATION}
async def endless(app):
    try:
        print("starting", flush=True)
        await asyncio.Event().wait()
    finally:
        print("cancelled", flush=True)
app.on_startup.append(endless)
run_app(app, discovery, port=0)
print("over", flush=True)
"""
    async with serving(program, tmp_path) as server:
        assert await server.line() == "starting"
        server.terminate()
        assert await server.end() == (0, "cancelled\nover\n"), server.log
    assert server.log == ""


@pytest.mark.parametrize("program", PROGRAMS)
async def test_a_signal_while_it_waits_for_the_registry_ends_it(tmp_path, program):
    """One that takes connections and doesn't answer: there is nothing to drain, and the end is no error."""
    told = """
register = Discovery.register
def told(*args, **kwargs):
    print("registering", flush=True)
    return register(*args, **kwargs)
Discovery.register = told
"""
    program = PROGRAMS[program].replace("app = made()", f"app = made(){told}")
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"zookeeper://127.0.0.1:{silent.getsockname()[1]}"
        async with serving(program, tmp_path, PEERAGE_REGISTRY=url, TEST_LAME_DUCK="1000") as server:
            assert await server.line() == "registering"
            server.terminate()
            assert (await server.end())[0] == 0, server.log
    assert "Traceback" not in server.log


async def test_a_startup_that_fails_ends_it_with_the_error(tmp_path):
    program = f"""
{APPLICATION}
async def fail(app):
    raise ValueError("wrong")
app.on_startup.append(fail)
run_app(app, discovery, port=0)
"""
    async with serving(program, tmp_path) as server:
        assert (await server.end())[0] == 1
    assert server.log.endswith("ValueError: wrong\n")


async def test_what_cannot_be_advertised_ends_it_with_the_error(tmp_path):
    program = f"""
{APPLICATION}
run_app(app, discovery, Advert(extra={{"x": print}}), host=["127.0.0.1"], port=0)
"""
    async with serving(program, tmp_path) as server:
        assert (await server.end())[0] == 1
    assert "RecordError" in server.log


async def test_it_advertises_each_address_with_its_scheme(tmp_path):
    """And what else its advert says."""
    authority = trustme.CA()
    authority.issue_cert("127.0.0.1").private_key_and_cert_chain_pem.write_to_path(tmp_path / "pem")
    program = f"""
import ssl
{APPLICATION}
context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
context.load_cert_chain({str(tmp_path / "pem")!r})
advert = Advert(ids={{"shard": 7}})
run_app(app, discovery, advert, host=["127.0.0.1", "127.0.0.2"], port=0, ssl_context=context, lame_duck=0)
"""
    async with serving(program, tmp_path) as server, finding(tmp_path) as (discovery, states):
        await eventually(lambda: states() == [None])
        (instance,) = await discovery.instances({"shard": 7})
        assert len(instance.urls) == 2
        assert all(url.startswith("https://") for url in instance.urls)
        server.terminate()
        assert (await server.end())[0] == 0, server.log


@asynccontextmanager
async def called_at_its_address(tmp_path):
    """Run the service, and give its URL and a session; it must end well when it is terminated."""
    async with (
        serving(RUN_APP, tmp_path, TEST_LAME_DUCK="0") as server,
        finding(tmp_path) as (discovery, states),
        aiohttp.ClientSession() as session,
    ):
        await eventually(lambda: states() == [None])
        (url,) = await discovery.locate(service_id="worker")
        yield url, session
        server.terminate()
        assert (await server.end())[0] == 0, server.log


async def test_it_refuses_requests_for_another_service(tmp_path):
    """As ``refuse_misdirected`` does."""
    async with called_at_its_address(tmp_path) as (url, session):
        port = int(url.rpartition(":")[2])
        headers = {"Host": "other.service_id.asab", DIALLED: dialled_header("Other.1", "127.0.0.1", port)}
        async with session.get(f"{url}/work", headers=headers) as response:
            assert response.status == 421


async def test_the_deadline_of_a_caller_holds(tmp_path):
    """As with ``propagate``."""
    async with called_at_its_address(tmp_path) as (url, session):
        headers = {"Peerage-Timeout-Ms": "20"}
        async with session.post(f"{url}/work?takes=3600", headers=headers) as response:
            assert response.status == 504
