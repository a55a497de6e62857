"""Processes that the measurements of a registry are made of: ``python -m benchmarks.workers ROLE URL …``.

Each prints one JSON line when it is ready or done, and ends when its standard input does.
"""

import asyncio
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks.records import data
from peerage.directory import Change
from peerage.discovery import Discovery
from peerage.registry import open_registry

__all__ = ["worker"]


@contextmanager
def worker(role: str, *args: str, environ: dict[str, str]) -> Iterator["subprocess.Popen[str]"]:
    """Start a role; it is ended in the end."""
    process = subprocess.Popen(
        [sys.executable, "-m", __name__, role, *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=environ,
        cwd=Path(__file__).parent.parent,
    )
    try:
        yield process
    finally:
        process.kill()
        process.communicate()


async def _own(url: str, count: str, first: str) -> None:
    """Advertise *count* records and hold them; on a line, advertise a thousand more at once."""
    registry = open_registry(url)
    numbers = iter(range(int(first), 10_000_000))

    async def add(more: int) -> None:
        owners = [registry.advertise("BenchApplication", data(next(numbers))) for _ in range(more)]
        for owner in owners:
            await owner.registered()
        _say("ready")

    await add(int(count))
    while line := await asyncio.to_thread(sys.stdin.readline):
        await add(int(line))
    await registry.aclose()


async def _sync(url: str, count: str) -> None:
    """Read everything once; say how long it took and the longest time the loop didn't answer."""
    gaps: list[float] = []

    async def heartbeat() -> None:
        while True:
            before = time.perf_counter()
            await asyncio.sleep(0.001)
            gaps.append(time.perf_counter() - before - 0.001)

    # Made before: loading modules is a cost of starting, not of reading the registry.
    unopened = Discovery(url)
    beating = asyncio.create_task(heartbeat())
    await asyncio.sleep(0.05)
    gaps.clear()
    begin, cpu = time.perf_counter(), time.process_time()
    async with unopened as discovery:
        await discovery.ready(120)
        await discovery.locate(service_id="orders7")
        wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
        _say({"known": len(discovery.directory) == int(count), "wall": wall, "cpu": cpu, "gap": max(gaps)})
        beating.cancel()


async def _idle(url: str, seconds: str) -> None:
    """Know everything and do nothing; say the share of a core it costs."""
    async with Discovery(url) as discovery:
        await discovery.ready(120)
        await asyncio.sleep(2)
        begin, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(float(seconds))
        _say((time.process_time() - cpu) / (time.perf_counter() - begin))


async def _burst(url: str, more: str) -> None:
    """Say the CPU seconds spent until *more* instances than at first are known."""
    async with Discovery(url) as discovery:
        await discovery.ready(120)
        wanted = len(discovery.directory) + int(more)
        reached = asyncio.Event()

        def count(_: Change) -> None:
            if len(discovery.directory) >= wanted:
                reached.set()

        discovery.directory.subscribe(count)
        _say("ready")
        cpu = time.process_time()
        await reached.wait()
        _say(time.process_time() - cpu)
        await asyncio.to_thread(sys.stdin.readline)


async def _blink(url: str, count: str) -> None:
    """Advertise again and again, each time with the moment it began, which all processes count alike."""
    registry = open_registry(url)
    for _ in range(int(count)):
        owner = registry.advertise("BenchApplication", repr(time.monotonic()).encode())
        await owner.registered()
        # Long enough to be seen: what comes and goes unseen is never told.
        await asyncio.sleep(0.02)
        await owner.withdraw()
    await registry.aclose()
    _say("done")


async def _serve(ports: str) -> None:
    """Answer ``ok`` on so many free loopback ports."""
    from aiohttp import web  # noqa: PLC0415 - the other roles don't need it

    async def ok(_: web.Request) -> web.Response:
        return web.Response(text="ok")

    app = web.Application()
    app.router.add_get("/", ok)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    for _ in range(int(ports)):
        await web.TCPSite(runner, "127.0.0.1", 0).start()
    _say([address[1] for address in runner.addresses])
    await asyncio.to_thread(sys.stdin.readline)
    await runner.cleanup()


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    roles = {"own": _own, "sync": _sync, "idle": _idle, "burst": _burst, "blink": _blink, "serve": _serve}
    asyncio.run(roles[sys.argv[1]](*sys.argv[2:]))
