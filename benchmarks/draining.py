"""How long callers go on choosing an instance that drains.

As a module it is the service: ``python -m benchmarks.draining URL NAME``. It writes a line when callers have
found it. At each line it drains, writes the seconds until the last request arrived, and advertises again.
"""

import asyncio
import json
import sys
import tempfile
import time
from contextlib import AsyncExitStack
from pathlib import Path
from random import Random
from typing import Final

from aiohttp import web

from benchmarks.driver import ROOT
from benchmarks.report import Row, percentile, spread
from peerage.discovery import Discovery
from peerage.testing.children import Child, run
from peerage.testing.zookeeper import ZooKeeperServer

_SAMPLES = 200
_CALLERS = 8

#: Seconds between two calls of a caller.
_PAUSE = 0.004

#: Seconds after drain() in which requests are waited for.
_LAME_DUCK = 0.15

#: Requests by which callers show that they have found an instance.
_FOUND = 20

_URL: Final = "http://worker.service_id.asab/"


def measure() -> list[Row]:
    """Every row of this part."""
    with tempfile.TemporaryDirectory() as folder:
        latencies = {"embedded": asyncio.run(_last_requests(f"embedded://{folder}/registry"))}
        with ZooKeeperServer(Path(folder) / "zookeeper", options={"tickTime": "2000"}) as server:
            latencies["ZooKeeper"] = asyncio.run(_last_requests(f"zookeeper://{server.address}/drain"))
    return [
        Row(
            f"`drain()` → the last request arrives, {_CALLERS} callers of 2 instances, {name}, p50 / p99 "
            f"of {_SAMPLES}",
            "p99 ≤ 30 ms",
            spread(each, "ms", 1e3),
            percentile(each, 0.99) <= 0.03,
        )
        for name, each in latencies.items()
    ]


async def _last_requests(url: str) -> list[float]:
    """Return the seconds from each call of drain() to the arrival of the last request."""
    rng = Random(1)
    async with AsyncExitStack() as stack:
        discovery = await stack.enter_async_context(Discovery(url))
        session = await stack.enter_async_context(discovery.session())
        servers: list[Child] = []
        for name in ("steady", "draining"):
            command = (sys.executable, "-m", "benchmarks.draining", url, name)
            servers.append(await stack.enter_async_context(run(*command, cwd=ROOT, patience=None)))
            assert await servers[-1].hear() == "advertised"
        await discovery.ready(10)
        calling = True

        async def call() -> None:
            while calling:
                async with session.post(_URL) as response:
                    assert response.status == 200
                    await response.read()
                await asyncio.sleep(_PAUSE)

        latencies = []
        async with asyncio.TaskGroup() as tasks:
            for _ in range(_CALLERS):
                tasks.create_task(call())
            for server in servers:
                assert await server.hear() == "found"
            for _ in range(_SAMPLES):
                await asyncio.sleep(rng.uniform(0, 2 * _PAUSE))
                await servers[1].tell("drain")
                latencies.append(await servers[1].hear())
                assert await servers[1].hear() == "found"
            calling = False
    return latencies


async def _serve(url: str, name: str) -> None:
    arrived = 0
    last = 0.0
    found = asyncio.Event()

    async def work(_: web.Request) -> web.Response:
        nonlocal arrived, last
        arrived, last = arrived + 1, time.monotonic()
        if arrived == _FOUND:
            found.set()
        return web.Response()

    app = web.Application()
    app.router.add_post("/", work)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with Discovery(url, service_id="worker", instance_id=name) as discovery:
        registration = await discovery.advertise(web=runner.addresses)
        _say("advertised")
        while True:
            await found.wait()
            _say("found")
            if not await asyncio.to_thread(sys.stdin.readline):
                break
            begin = time.monotonic()
            await registration.drain(_LAME_DUCK)
            _say(max(0.0, last - begin))
            arrived = 0
            found.clear()
            registration = await discovery.advertise(web=runner.addresses)
    await runner.cleanup()


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    asyncio.run(_serve(*sys.argv[1:]))
