"""Requests to each of thousands of instances by a process that may open 1,024 descriptors.

As a module it is the caller: ``python -m benchmarks.thousands``; it reads the ports of the instances, and
writes what :func:`_measure` returns.
"""

import asyncio
import json
import resource
import statistics
import sys
import time
from collections.abc import Iterable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

import aiohttp

from benchmarks.driver import fixture, running
from benchmarks.records import local
from benchmarks.report import Row
from peerage.discovery import Discovery
from peerage.registry import open_registry

_INSTANCES: Final = 3000
_DESCRIPTORS: Final = 1024
_WORKERS: Final = 50

#: Requests of a block. A plain session keeps a connection for each, so all of them must have a descriptor.
_BLOCK: Final = 250
_ROUNDS: Final = 3


def measure() -> list[Row]:
    """Every row of this part."""
    with fixture("serve", str(_INSTANCES)) as server, running("thousands") as caller:
        measured = caller.ask(*server.hear())
    what = f"a request to each of {_INSTANCES:,} instances, `ulimit -n {_DESCRIPTORS}`"
    failed, idle = (measured[each] for each in ("failed", "idle"))
    plain = statistics.median(measured["fixed"])
    extra = {}
    for name in ("balanced", "named"):
        # The blocks take turns, so that the load of the machine affects both of a pair.
        pairs = zip(measured[name], measured["fixed"], strict=True)
        extra[name] = statistics.median(ours - fixed for ours, fixed in pairs)
    return [
        Row(f"{what}, {_WORKERS} at once: failed", "0", f"{failed}", not failed),
        Row(
            f"{what}, {_WORKERS} at once: connections that are idle afterwards",
            "≤ 512",
            f"{idle}",
            idle <= 512,
            f"a service that has all of them as instances: {measured['idle_of_service']}",
        ),
        Row(
            f"requests to {_INSTANCES:,} instances of one name / to each by its own, over a plain session "
            "that calls the same addresses",
            "≤ 60 µs client CPU",
            " / ".join(f"{each * 1e6:.0f} µs" for each in extra.values()),
            max(extra.values()) <= 60e-6,
            f"a plain session: {plain * 1e6:.0f} µs, connecting and closing included",
        ),
    ]


async def _measure(ports: list[int]) -> dict[str, object]:
    """Call the instance at each of *ports*.

    Returns:
        How many requests failed, how many connections were idle afterwards, and the CPU seconds of a request
        in each block: by the name of all, by the name of each, and with a plain session.
    """
    balanced: list[float] = []
    named: list[float] = []
    fixed: list[float] = []
    async with AsyncExitStack() as stack:
        registry = open_registry("memory:thousands")
        stack.push_async_callback(registry.aclose)
        for port in ports:
            await registry.advertise("App", local("orders", port)).registered()
        discovery = await stack.enter_async_context(Discovery("memory:thousands"))
        session = await stack.enter_async_context(discovery.session())
        await discovery.ready(10)
        before = _sockets()
        service = "http://orders.service_id.asab/"
        names = [f"http://orders-{port}.instance_id.asab/" for port in ports]
        failed = await _get(session, names, _WORKERS)
        idle = _sockets() - before
        failed += await _get(session, [service] * len(ports), _WORKERS)
        idle_of_service = _sockets() - before
        for begin in [*range(0, len(ports), _BLOCK)] * _ROUNDS:
            cpu = time.process_time()
            failed += await _get(session, names[begin : begin + _BLOCK])
            named.append((time.process_time() - cpu) / _BLOCK)
            cpu = time.process_time()
            failed += await _get(session, [service] * _BLOCK)
            balanced.append((time.process_time() - cpu) / _BLOCK)
            addresses = [f"http://127.0.0.1:{port}/" for port in ports[begin : begin + _BLOCK]]
            cpu = time.process_time()
            async with aiohttp.ClientSession() as plain:
                assert not await _get(plain, addresses)
            fixed.append((time.process_time() - cpu) / _BLOCK)
    return {
        "failed": failed,
        "idle": idle,
        "idle_of_service": idle_of_service,
        "balanced": balanced,
        "named": named,
        "fixed": fixed,
    }


async def _get(session: aiohttp.ClientSession, urls: Iterable[str], workers: int = 1) -> int:
    """Request each of *urls*, so many at once; return how many failed."""
    failed = 0
    rest = iter(urls)

    async def work() -> None:
        nonlocal failed
        for url in rest:
            try:
                async with session.get(url) as response:
                    succeeded = response.status == 200 and bool(await response.read())
            except (aiohttp.ClientError, OSError):
                succeeded = False
            failed += not succeeded

    async with asyncio.TaskGroup() as tasks:
        for _ in range(workers):
            tasks.create_task(work())
    return failed


def _sockets() -> int:
    """Return the number of sockets that this process has open."""
    links = (str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink())
    return sum(link.startswith("socket:") for link in links)


if __name__ == "__main__":
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (_DESCRIPTORS, hard))
    print(json.dumps(asyncio.run(_measure(json.loads(sys.stdin.readline())))), flush=True)
