"""A worker of hypercorn drains before it stops, also if a supervisor tells it to."""

import asyncio
import signal
import sys

import aiohttp
import pytest

from peerage.testing import eventually
from peerage.testing.children import run
from peerage.testing.zookeeper.server import free_port

_SERVICE = """
import asyncio, os
from peerage.integrations.hypercorn_workers import stop_of_supervisor
from peerage.serving.signals import intercept_signals

async def drain():
    os.write(1, b"drain\\n")  # at once, beside another worker
    while not os.path.exists("drained"):
        await asyncio.sleep(0.01)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        await receive()
        intercept_signals(drain, stop_of_supervisor())
        await send({"type": "lifespan.startup.complete"})
        await receive()
        os.write(1, b"over\\n")
        await send({"type": "lifespan.shutdown.complete"})
    else:
        await asyncio.sleep(float(scope["query_string"]))
        await send({"type": "http.response.start", "status": 200})
        await send({"type": "http.response.body", "body": str(os.getpid()).encode()})
"""


@pytest.mark.parametrize(
    ("workers", "worker_class", "group"),
    [("0", "uvloop", False), ("2", "asyncio", False), ("2", "uvloop", True)],
)
async def test_it_drains_and_finishes_the_requests_under_way(tmp_path, workers, worker_class, group):
    """Whether the supervisor gets the signal or all processes; also while the supervisor ends the others."""
    (tmp_path / "service.py").write_text(_SERVICE)
    address = f"127.0.0.1:{free_port()}"
    command = (sys.executable, "-m", "hypercorn", "service:app", "--bind", address)
    options = ("--workers", workers, "--worker-class", worker_class)
    async with (
        run(*command, *options, cwd=tmp_path, own_group=True) as server,
        aiohttp.ClientSession(f"http://{address}") as session,
        asyncio.TaskGroup() as tasks,
    ):

        async def ask(seconds):
            async with session.get(f"/?{seconds}", headers={"Connection": "close"}) as response:
                return await response.text()

        async def all_there():
            try:
                return len({await ask(0) for _ in range(10)}) >= int(workers)
            except aiohttp.ClientConnectorError:
                return False

        await eventually(all_there, "each worker")
        # The other worker ends first.
        slow = tasks.create_task(ask(1.5))
        assert await ask(0)
        (server.signal_group if group else server.signal)(signal.SIGTERM)
        for _ in range(int(workers) or 1):
            assert await server.line() == "drain"
        assert await ask(0)
        (tmp_path / "drained").touch()
        assert await slow
        assert await server.end() == (0, "over\n" * (int(workers) or 1)), server.log
