"""What a request by name costs through httpx, beside one through httpx alone to a fixed URL.

As a module it is the caller: ``python -m benchmarks.httpxcalls``. It reads the ports of the service, and
writes the medians of the blocks, in seconds of a request.
"""

import asyncio
import json
import statistics
import sys
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, contextmanager
from typing import Any, Final

import httpx

from benchmarks.driver import fixture, running
from benchmarks.records import local
from benchmarks.report import Row
from peerage import sync
from peerage.discovery import Discovery
from peerage.integrations.httpx import AsyncTransport

#: Blocks of each kind, of which the first two warm up, and requests of a block.
_BLOCKS: Final = 40
_WARM: Final = 2
_REQUESTS: Final = 50

_URL: Final = "http://orders.service_id.asab/"


def measure() -> list[Row]:
    """Every row of this part."""
    with fixture("serve", "3") as server, running("httpxcalls") as caller:
        medians = caller.ask(server.hear())
    named, fixed, aiohttp = (medians[each] for each in ("named", "fixed", "aiohttp"))
    threads, blocking = medians["sync"], medians["sync fixed"]
    return [
        Row(
            "request by name through `httpx.AsyncClient`, over httpx alone to a fixed URL, 3 instances",
            "≤ 35 µs client CPU",
            f"{(named - fixed) * 1e6:+.1f} µs",
            named - fixed <= 35e-6,
            f"{named * 1e6:.0f} µs in all; fixed URL: {fixed * 1e6:.0f} µs; by name with an aiohttp session: "
            f"{aiohttp * 1e6:.0f} µs",
        ),
        Row(
            "request by name through `peerage.sync` and `httpx.Client`, over httpx alone to a fixed URL",
            "shown",
            f"{(threads - blocking) * 1e6:+.0f} µs",
            held=True,
            beside=f"{threads * 1e6:.0f} µs CPU in all, in two threads; fixed URL: {blocking * 1e6:.0f} µs",
        ),
    ]


@asynccontextmanager
async def _cases(ports: list[int]) -> AsyncIterator[dict[str, Callable[[], Awaitable[object]]]]:
    """The requests of one event loop."""
    async with AsyncExitStack() as stack:
        discovery = await stack.enter_async_context(Discovery("memory:httpx"))
        for port in ports:
            await discovery.registry.advertise("App", local("orders", port)).registered()
        await discovery.ready(10)
        client = await stack.enter_async_context(httpx.AsyncClient(transport=AsyncTransport(discovery)))
        plain = await stack.enter_async_context(httpx.AsyncClient())
        session = await stack.enter_async_context(discovery.session())

        async def get() -> None:
            async with session.get(_URL) as response:
                await response.read()

        fixed = f"http://127.0.0.1:{ports[0]}/"
        yield {"named": lambda: client.get(_URL), "fixed": lambda: plain.get(fixed), "aiohttp": get}


async def _measure_loop(ports: list[int]) -> dict[str, float]:
    async with _cases(ports) as cases:
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(_BLOCKS + _WARM):
            for name, request in cases.items():
                begin = time.process_time()
                for _ in range(_REQUESTS):
                    await request()
                times[name].append((time.process_time() - begin) / _REQUESTS)
        return {name: statistics.median(blocks[_WARM:]) for name, blocks in times.items()}


@contextmanager
def _sync_cases(ports: list[int]) -> Iterator[dict[str, Callable[[], object]]]:
    """The requests of a program without an event loop."""
    with ExitStack() as stack:
        discovery = stack.enter_context(sync.Discovery("memory:httpx-sync"))
        registry: Any = discovery.portal.get().registry

        async def advertise(port: int) -> None:
            await registry.advertise("App", local("orders", port)).registered()

        for port in ports:
            discovery.portal.run(advertise(port))
        client = stack.enter_context(discovery.client())
        plain = stack.enter_context(httpx.Client())
        fixed = f"http://127.0.0.1:{ports[0]}/"
        yield {"sync": lambda: client.get(_URL), "sync fixed": lambda: plain.get(fixed)}


def _measure_threads(ports: list[int]) -> dict[str, float]:
    with _sync_cases(ports) as cases:
        times: dict[str, list[float]] = {name: [] for name in cases}
        for _ in range(_BLOCKS + _WARM):
            for name, request in cases.items():
                begin = time.process_time()
                for _ in range(_REQUESTS):
                    request()
                times[name].append((time.process_time() - begin) / _REQUESTS)
        return {name: statistics.median(blocks[_WARM:]) for name, blocks in times.items()}


def _obey() -> None:
    for line in sys.stdin:
        (ports,) = json.loads(line)
        print(json.dumps(asyncio.run(_measure_loop(ports)) | _measure_threads(ports)), flush=True)


if __name__ == "__main__":
    _obey()
