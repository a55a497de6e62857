"""What callers notice of instances that are stopped, slow or new, with the processes of ``tests/chaos``."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any, Final

from aiohttp import ClientTimeout
from tests.chaos.conftest import ORDERS, Callers, Services, services_in

from benchmarks.report import Row, milliseconds, percentile
from peerage import CallOptions, Discovery

_STOPPED: Final = 20.0
_WORKERS: Final = 100
_SLOW: Final = 30.0
_COLD: Final = 5.0


def measure() -> list[Row]:
    """Every row of this part."""
    return [
        row
        for measured in (_stopped_rows, _slow_rows, _cold_rows, _hedging_rows)
        for row in asyncio.run(measured())
    ]


@asynccontextmanager
async def caller_of(
    services: Services, url: str = ORDERS, calls: CallOptions | None = None
) -> AsyncIterator[Callers]:
    """Yield a caller that shares nothing with others, as in a process of its own."""
    async with (
        Discovery(services.discovery.registry, calls=calls) as discovery,
        discovery.session() as session,
    ):
        await discovery.ready(10)
        yield Callers(session, url)


async def requests_to(services: Services) -> int:
    """Return how many requests have come to all instances."""
    return sum([(await services.counts(child)).total() for child in services.children])


async def _stopped_rows() -> list[Row]:
    limits: dict[str, dict[str, Any]] = {"5 s limit": {"timeout": ClientTimeout(total=5)}, "no limit": {}}
    rows = []
    async with services_in("memory:stopped") as services, AsyncExitStack() as stack:
        _, _, third = await services.start(3)
        everyone = {name: await stack.enter_async_context(caller_of(services)) for name in limits}

        async def stop_one() -> None:
            await asyncio.sleep(2)
            third.suspend()
            await asyncio.sleep(_STOPPED)
            third.resume()

        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(stop_one())
            for name, caller in everyone.items():
                tasks.create_task(caller.work(_WORKERS, _STOPPED + 4, "GET", pause=0.4, **limits[name]))
    for name, caller in everyone.items():
        taken = [seconds for *_, seconds in caller.results]
        failed, slow, p999 = len(caller.failed()), sum(each > 1 for each in taken), percentile(taken, 0.999)
        rows.append(
            Row(
                f"SIGSTOP one of three for {_STOPPED:.0f} s, {_WORKERS} workers, GET, {name}, "
                f"{len(taken) / (_STOPPED + 4):.0f} calls a second: failed / longer than 1 s / p99.9",
                f"0 / ≤ {_WORKERS} / ≤ 1.5 s",
                f"{failed} / {slow} / {p999:.2f} s",
                not failed and slow <= _WORKERS and p999 <= 1.5,
                f"of {len(taken)} calls; longest {max(taken):.2f} s",
            )
        )
    return rows


async def _slow_rows() -> list[Row]:
    limits = {"total=1": ClientTimeout(total=1), "sock_read=1": ClientTimeout(sock_read=1)}
    rows = []
    async with services_in("memory:slow") as services, AsyncExitStack() as stack:
        *_, slow = await services.start(11, seconds=0.02)
        everyone = {name: await stack.enter_async_context(caller_of(services)) for name in limits}
        for seconds, until in ((0.02, 3.0), (2.0, 3.0 + _SLOW)):
            await services.behave(slow, "200", seconds)
            async with asyncio.TaskGroup() as tasks:
                for name, caller in everyone.items():
                    tasks.create_task(caller.send(300, until, "GET", timeout=limits[name]))
    for name, caller in everyone.items():
        made = sum(begin >= 3 for begin, *_ in caller.results)
        succeeded = 1 - len(caller.failed(after=3)) / made
        rows.append(
            Row(
                f"11 instances of which one takes 2 s for {_SLOW:.0f} s, 300 GETs a second, "
                f"`{name}`: succeeded",
                "≥ 99.9 %",
                f"{succeeded:.2%}",
                succeeded >= 0.999,
                f"of {made} calls",
            )
        )
    return rows


async def _cold_rows() -> list[Row]:
    rows = []
    for rate in (100, 300):
        async with services_in(f"memory:cold{rate}") as services:
            await services.start(4, seconds=0.02)
            # Those that are there before the caller don't count as new.
            async with caller_of(services) as caller:
                await caller.send(rate, 8, "GET")
                before = [seconds for begin, *_, seconds in caller.results if begin >= 1]
                caller.results.clear()
                (cold,) = await services.start(1, seconds=0.5)
                await caller.send(rate, caller.now + _COLD, "GET")
                meanwhile = [seconds for *_, seconds in caller.results]
                share = (await services.counts(cold)).total() / len(meanwhile)
        usual, p99 = percentile(before, 0.99), percentile(meanwhile, 0.99)
        rows.append(
            Row(
                f"an instance joins four, its first answers take 0.5 s instead of 20 ms for {_COLD:.0f} s, "
                f"{rate} calls a second: p99 of all meanwhile",
                "≤ 2 × that before",
                f"{milliseconds(p99)} = {p99 / usual:.2f} ×",
                p99 <= 2 * usual,
                f"its share of the calls: {share:.2%}",
            )
        )
    return rows


async def _hedging_rows() -> list[Row]:
    async with services_in("memory:hedging") as services, AsyncExitStack() as stack:
        for child in await services.start(4):
            await services.behave(child, "200", *[0.01] * 99, 1.0)
        plain, hedged = [
            await stack.enter_async_context(caller_of(services, calls=CallOptions(hedge=hedge)))
            for hedge in (False, True)
        ]

        async def send(until: float) -> None:
            async with asyncio.TaskGroup() as tasks:
                for each in (plain, hedged):
                    tasks.create_task(each.send(150, until, "GET"))

        await send(5)
        for each in (plain, hedged):
            each.results.clear()
        before = await requests_to(services)
        await send(45)
        more = await requests_to(services) - before - len(plain.results) - len(hedged.results)
    usual, reached = (percentile([each[-1] for each in one.results], 0.999) for one in (plain, hedged))
    return [
        Row(
            f"1 % of the answers take 1 s instead of 10 ms, 150 calls a second, {len(hedged.results)} calls "
            "with `hedge=True`: p99.9, and further requests",
            "÷ 10 for ≤ 2 %",
            f"{milliseconds(reached)} = ÷ {usual / reached:.1f}, {more / len(hedged.results):.2%}",
            reached <= usual / 10 and more <= 0.0205 * len(hedged.results),
            f"without: {milliseconds(usual)}",
        )
    ]
