"""Restarts of services under load, without a failed call."""

import asyncio
import signal

import pytest
from tests.restarts import PYTHON, RATE, RESTARTS, restarted, sending
from tests.test_readme import example
from tests.web.programs import GUNICORN_CONFIGURATION, PROGRAMS, environ, serving

from peerage import Discovery
from peerage.testing import eventually
from peerage.testing.zookeeper.server import free_port

URL = "http://worker.service_id.asab/work?takes=0.01"


async def restart(folder, program):
    """Restart the service under load, and return what failed."""

    def start(instance, port):
        return serving(program, folder, instance, python=PYTHON, TEST_PORT=str(port))

    return (await restarted(environ(folder, "")["PEERAGE_REGISTRY"], URL, start)).failed


@pytest.mark.parametrize(
    "program", [pytest.param(name, marks=[] if name == "run_app" else pytest.mark.long) for name in PROGRAMS]
)
async def test_no_call_fails(tmp_path, program):
    """Whatever runs the server; how each of them drains is tested in test_running.py as well."""
    assert await restart(tmp_path, PROGRAMS[program]) == []


@pytest.mark.long
async def test_no_call_fails_under_gunicorn(tmp_path):
    """Its worker for aiohttp handles signals in the event loop, as aiohttp does."""
    pytest.importorskip("gunicorn")
    assert await restart(tmp_path, GUNICORN_CONFIGURATION) == []


@pytest.mark.long
async def test_no_call_fails_while_gunicorn_replaces_its_worker(tmp_path):
    """At SIGHUP: the new worker serves at the port of the old one before that gets SIGTERM."""
    pytest.importorskip("gunicorn")

    def found():
        return {each.name for each in discovery.directory.find((("service_id", "worker"),))}

    async with (
        serving(GUNICORN_CONFIGURATION, tmp_path, "worker-0", TEST_PORT=str(free_port())) as server,
        serving(GUNICORN_CONFIGURATION, tmp_path, "worker-1"),
        Discovery(environ(tmp_path, "")["PEERAGE_REGISTRY"]) as discovery,
        discovery.session() as session,
    ):
        await eventually(lambda: len(found()) == 2)
        async with sending(session, URL) as load:
            for _ in range(RESTARTS):
                await load.some(20)
                before = found()
                server.signal(signal.SIGHUP)
                await eventually(found, "the new worker", wanted=lambda now, before=before: now - before)
            await load.some(20)
    assert load.failed == []


@pytest.mark.long
@pytest.mark.parametrize("worker", ["GunicornWebWorker", "GunicornUVLoopWebWorker"])
async def test_no_new_connection_is_dropped_while_gunicorn_replaces_its_worker(tmp_path, worker):
    """Of callers that don't use peerage, and send their request some time after they have connected."""
    pytest.importorskip("gunicorn")
    if worker == "GunicornUVLoopWebWorker":
        pytest.importorskip("uvloop")
    port, answers = free_port(), []

    async def call():
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        try:
            await asyncio.sleep(0.02)
            writer.write(b"POST /work HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nConnection: close\r\n\r\nx")
            answers.append((await reader.read())[:12].decode())
        except OSError as error:
            answers.append(repr(error))
        finally:
            writer.close()

    async def load():
        async with asyncio.TaskGroup() as calls:
            while True:
                calls.create_task(call())
                await asyncio.sleep(1 / RATE)

    async with serving(GUNICORN_CONFIGURATION, tmp_path, TEST_PORT=str(port), TEST_WORKER=worker) as server:
        await eventually(lambda: "Listening at" in server.log)
        await call()
        loading = asyncio.create_task(load())
        for _ in range(RESTARTS):
            wanted, ended = len(answers) + 20, server.log.count("Worker exiting")
            await eventually(lambda wanted=wanted: len(answers) > wanted, "answers")
            server.signal(signal.SIGHUP)
            await eventually(
                lambda ended=ended: server.log.count("Worker exiting") > ended, "the end of the old worker"
            )
        loading.cancel()
        await asyncio.gather(loading, return_exceptions=True)
    assert set(answers) == {"HTTP/1.1 200"}


@pytest.mark.long
async def test_no_call_of_the_service_in_the_readme_fails(tmp_path):
    """With the time that callers have by default."""

    def start(instance, port):
        program = example("serve.py").replace("port=0", f"port={port}").replace("orders-1", instance)
        return serving(program, tmp_path, instance, python=PYTHON)

    registry = environ(tmp_path, "")["PEERAGE_REGISTRY"]
    load = await restarted(registry, "http://orders.service_id.asab/v1/orders", start)
    assert load.failed == []
