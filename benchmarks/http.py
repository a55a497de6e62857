"""Calling by name beside calling a fixed URL, on loopback."""

import asyncio
import statistics
import time
from collections.abc import Awaitable, Callable

import aiohttp

from benchmarks.driver import running
from benchmarks.report import Row
from peerage.discovery import Discovery
from peerage.records.identity import Identity, host_key

_BLOCKS = 40
_REQUESTS = 200
_NAME = "http://orders.service_id.asab/"


def measure() -> list[Row]:
    """Every row of this part."""
    with running("workers", "serve", "3") as server:
        return asyncio.run(_measure(server.hear()))


async def _measure(ports: list[int]) -> list[Row]:
    async with Discovery("memory:http", identity=_identity(0)) as discovery:
        others = [Discovery("memory:http", identity=_identity(number)) for number in range(len(ports))]
        for other, port in zip(others, ports, strict=True):
            await other.__aenter__()
            await other.advertise(web=[("127.0.0.1", port)])
        try:
            assert len(await discovery.locate(service_id="orders")) == len(ports)
            return [await _shared(discovery, ports[0])]
        finally:
            for other in others:
                await other.aclose()


def _identity(number: int) -> Identity:
    return Identity(
        host="localhost", service_id="orders", instance_id=f"orders-{number}", host_key=host_key()
    )


async def _get(session: aiohttp.ClientSession, url: str) -> None:
    async with session.get(url) as response:
        await response.read()


async def _shared(discovery: Discovery, port: int) -> Row:
    fixed_url = f"http://127.0.0.1:{port}/"
    async with aiohttp.ClientSession() as plain, discovery.session() as ours:
        fixed, named = await _interleaved(lambda: _get(plain, fixed_url), lambda: _get(ours, _NAME))
    extra = statistics.median(named) - statistics.median(fixed)
    return Row(
        "request by name over a fixed URL, one shared session each, 3 instances",
        "≤ 25 µs client CPU",
        f"{extra * 1e6:.1f} µs",
        extra <= 25e-6,
        f"fixed URL: {statistics.median(fixed) * 1e6:.0f} µs CPU a request",
    )


async def _interleaved(*actions: Callable[[], Awaitable[None]]) -> list[list[float]]:
    """Return CPU seconds of an action, by block, in turn, so the machine's load affects all alike."""
    times: list[list[float]] = [[] for _ in actions]
    for block in range(_BLOCKS + 2):
        for taken, action in zip(times, actions, strict=True):
            begin = time.process_time()
            for _ in range(_REQUESTS):
                await action()
            if block >= 2:
                taken.append((time.process_time() - begin) / _REQUESTS)
    return times
