"""How many requests services get that are down, with the processes of ``tests/chaos``."""

import asyncio
import sys
import tempfile
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from aiohttp import ClientTimeout
from tests.chaos.conftest import Callers, services_in

from benchmarks.driver import ROOT
from benchmarks.faults import caller_of, requests_to
from benchmarks.report import Row
from peerage.testing.children import run

#: How each service fails: the mode of its servers, and the seconds that they take.
_OUTAGES: Final = {"503": ("503", 0.001), "drop": ("drop", 0.001), "hang": ("200", 3600.0)}

#: Calls a second of each caller, callers, and seconds of the outage. The retries that a caller has left
#: when it begins, 5 and a tenth of what it called in 10 seconds, are few among the calls of that time.
_LOADS: Final = ((1, 100, 80.0), (10, 20, 20.0), (100, 2, 15.0))

_CHAIN_SECONDS: Final = 20.0

#: Seconds of calls that succeed, before.
_BEFORE: Final = 10.0


def measure() -> list[Row]:
    """Every row of this part."""
    rows = []
    for rate, callers, seconds in _LOADS:
        loaded = f"total outage of {seconds:.0f} s, {callers} callers of {rate} GETs a second each: requests"
        rows.append(_row(loaded, 1.1, asyncio.run(_outages(rate, callers, seconds))))
    chain = (
        f"a chain of three services, the last of which is out for {_CHAIN_SECONDS:.0f} s, 2 callers of "
        "20 GETs a second each: requests to the last"
    )
    return [*rows, _row(chain, 1.3, asyncio.run(_chains()))]


def _row(what: str, most: float, found: list[float]) -> Row:
    return Row(
        f"{what} for each call, {' / '.join(_OUTAGES)}",
        f"≤ {most}",
        " / ".join(f"{each:.3f}" for each in found),
        max(found) <= most,
    )


async def _outages(rate: float, number: int, seconds: float) -> list[float]:
    """Return the requests for each call in each kind of outage."""

    async def amplified(name: str) -> float:
        async with services_in(f"memory:{name}{rate}") as services, AsyncExitStack() as stack:
            await services.start(3)
            callers = [await stack.enter_async_context(caller_of(services)) for _ in range(number)]
            await _send(callers, rate, _BEFORE)
            before = await requests_to(services)
            for child in services.children:
                await services.behave(child, *_OUTAGES[name])
            calls = await _send(callers, rate, seconds)
            return (await requests_to(services) - before) / calls

    return await asyncio.gather(*map(amplified, _OUTAGES))


async def _chains() -> list[float]:
    """Return the requests to the last service for each call to the first, in each kind of outage."""
    return await asyncio.gather(*map(_chain, _OUTAGES))


async def _chain(outage: str) -> float:
    async with AsyncExitStack() as stack:
        url = f"embedded://{stack.enter_context(tempfile.TemporaryDirectory())}/registry"
        services = await stack.enter_async_context(services_in(url))
        await services.start(2)
        for name, following in [("middle", "orders"), ("front", "middle")] * 2:
            program = Path(ROOT / "tests/chaos/link.py")
            link = await stack.enter_async_context(run(sys.executable, program, url, name, following))
            assert await link.line() == "found"
        front = "http://front.service_id.asab/"
        callers = [await stack.enter_async_context(caller_of(services, front)) for _ in range(2)]
        await _send(callers, 20, _BEFORE)
        assert not any(each.failed() for each in callers)
        before = await requests_to(services)
        for child in services.children:
            await services.behave(child, *_OUTAGES[outage])
        calls = await _send(callers, 20, _CHAIN_SECONDS)
        return (await requests_to(services) - before) / calls


async def _send(callers: list[Callers], rate: float, seconds: float) -> int:
    """Let each make so many calls a second; return how many all of them made."""
    before = sum(len(each.results) for each in callers)
    timeout = ClientTimeout(sock_read=0.5)
    async with asyncio.TaskGroup() as tasks:
        for each in callers:
            tasks.create_task(each.send(rate, each.now + seconds, "GET", timeout=timeout))
    return sum(len(each.results) for each in callers) - before
