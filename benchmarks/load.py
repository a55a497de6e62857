"""How load is spread, and what is left of it when it is too much, with the processes of ``tests/chaos``.

Instances hold each request for a time without using the CPU, and work on few at the same time. So two cores
carry more of them than could compute.
"""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final

from aiohttp import ClientSession, ClientTimeout, TCPConnector
from tests.chaos.caller import InTurn
from tests.chaos.conftest import Callers, Services, services_in

from benchmarks.driver import ROOT
from benchmarks.faults import caller_of
from benchmarks.report import Row, milliseconds, percentile
from peerage.testing.children import Child, run

#: Seconds that the fastest of 16 instances needs for a request; the slowest needs 16 times as long.
_FASTEST: Final = 0.005
_SKEW: Final = 16

#: Calls a second that the 16 get: a third of what they can serve, and twice what the slowest can of its part.
_SKEWED_RATE: Final = 400

#: A service of four: what each works on at the same time, for how long, and what all serve in a second.
_WORKERS, _SECONDS = "4", "0.08"
_CAPACITY: Final = 200

#: Seconds of the outage before one of four instances is back.
_OUTAGE: Final = 5.0


def measure() -> list[Row]:
    """Every row of this part."""
    measured = (_skewed_row, _equal_row, _refusing_row, _retrying_row, _short_of_cpu_row, _outage_row)
    return [asyncio.run(row()) for row in measured]


@asynccontextmanager
async def _busy(*instances: tuple[str, ...]) -> AsyncIterator[tuple[Services, list[Child]]]:
    """Start instances with these arguments of ``tests/chaos/busy.py``."""
    async with services_in("memory:busy") as services, AsyncExitStack() as stack:
        children = []
        for arguments in instances:
            command = (sys.executable, ROOT / "tests" / "chaos" / "busy.py", *arguments)
            children.append(await stack.enter_async_context(run(*command)))
            await services.advertise(await children[-1].hear())
        yield services, children


@asynccontextmanager
async def _in_turn(services: Services) -> AsyncIterator[Callers]:
    """Yield a caller that uses one address after the other, in a plain session."""
    async with ClientSession(connector=TCPConnector(limit=0)) as session:
        yield Callers(InTurn(session, services.ports))


async def _skewed_row() -> Row:
    speeds = [_FASTEST * _SKEW ** (number / 15) for number in range(16)]
    p99s = []
    async with _busy(*[("0", "1", f"{each}") for each in speeds]) as (services, _):
        for kind in (_in_turn, caller_of):
            async with kind(services) as caller:
                await caller.send(_SKEWED_RATE, 10, "GET")
            p99s.append(percentile([seconds for *_, seconds in caller.results], 0.99))
    in_turn, chosen = p99s
    return Row(
        f"16 instances, the slowest {_SKEW} times slower than the fastest, {_SKEWED_RATE} calls a second for "
        "10 s: p99",
        "≤ 1/8 of that in turn",
        f"{milliseconds(chosen)} = 1/{in_turn / chosen:.0f}",
        chosen <= in_turn / 8,
        f"in turn: {in_turn:.1f} s; one request at the slowest: {milliseconds(speeds[-1])}",
    )


async def _equal_row() -> Row:
    counts = {_in_turn: 0, caller_of: 0}
    async with _busy(*[("0", "1", "0.02")] * 4) as (services, _):
        for workers in (4, 16, 4, 16):
            for kind in counts:
                async with kind(services) as caller:
                    await caller.work(workers, 3, "GET")
                counts[kind] += len(caller.results)
    in_turn, chosen = counts.values()
    return Row(
        "4 instances that work on one request at a time, 4 and 16 callers: calls, compared with those "
        "in turn",
        "≥ 0.98",
        f"{chosen / in_turn:.3f}",
        chosen >= 0.98 * in_turn,
        f"{in_turn / 12:.0f} a second in turn",
    )


async def _phases(
    caller: Callers, seconds: tuple[float, ...], loads: tuple[float, ...], limit: ClientTimeout
) -> None:
    """Call so many times what four instances can serve in a second, for so many seconds, in each phase."""
    async with asyncio.TaskGroup() as tasks:
        for time, load in zip(seconds, loads, strict=True):
            tasks.create_task(caller.send(load * _CAPACITY, caller.now + time, "GET", "POST", timeout=limit))
            await asyncio.sleep(time)


def _recovered(caller: Callers, end: float) -> float:
    """Return how long after *end* 99 of 100 calls succeed from then on."""
    for half in range(2 * 20):
        since = end + half / 2
        made = sum(begin >= since for begin, *_ in caller.results)
        if len(caller.failed(after=since)) <= 0.01 * made:
            return half / 2
    return 20.0


async def _refusing_row() -> Row:
    async with (
        _busy(*[("0", _WORKERS, _SECONDS, "refusing")] * 4) as (services, _),
        caller_of(services) as caller,
    ):
        await _phases(caller, (5, 20, 15), (0.7, 1.5, 0.7), ClientTimeout(total=1))
    during = [result for begin, _, result, _ in caller.results if 5 <= begin < 25]
    good, recovered = during.count(200) / len(during), _recovered(caller, 25)
    return Row(
        "four instances with `limit_concurrency()`, 1.5 × what they can serve for 20 s, then 0.7 ×, limit "
        "1 s: answered in time / normal after",
        "≥ 60 % / ≤ 10 s",
        f"{good:.1%} / {recovered:.1f} s",
        good >= 0.6 and recovered <= 10,
        f"66.7 % at best; {_CAPACITY} a second are 1 ×",
    )


async def _retrying_row() -> Row:
    recovered = []
    for words in (("cancelling",), ()):
        async with _busy(*[("0", _WORKERS, _SECONDS, *words)] * 4) as (services, _):
            for kind in (caller_of, _in_turn) if not words else (caller_of,):
                async with kind(services) as caller:
                    await _phases(caller, (4, 6, 20), (0.7, 1.5, 0.7), ClientTimeout(sock_read=1))
                recovered.append(_recovered(caller, 10))
    cancelling, chosen, in_turn = recovered
    return Row(
        "four instances without it, 1.5 × what they can serve for 6 s, then 0.7 ×, `sock_read=1`: normal "
        "after",
        "≤ 5 s",
        f"{cancelling:.1f} s",
        cancelling <= 5,
        f"with servers that also serve what was given up: {chosen:.1f} s; in turn: {in_turn:.1f} s",
    )


async def _short_of_cpu_row() -> Row:
    shares = []
    async with _busy(*[("0", "100", "0.005")] * 4) as (services, _):
        for kind in ("plain", "peerage"):
            command = (sys.executable, "-m", "tests.chaos.caller", kind, "60", "15")
            async with run(*command, *map(str, services.ports), cwd=ROOT, patience=120) as caller:
                assert await caller.hear() == "begun"
                limiting = asyncio.create_task(_limit(caller))
                shares.append((await caller.hear())[0])
                limiting.cancel()
    plain, peerage = shares
    return Row(
        "a caller that may run for 6 ms of 100, 60 calls a second, a connection each, limit 1 s: answered",
        "≥ 0.98 of a plain session",
        f"{peerage:.1%}",
        peerage >= 0.98 * plain,
        f"plain session: {plain:.1%}",
    )


async def _limit(child: Child) -> None:
    """Stop a process for 94 of 100 ms."""
    try:
        while True:
            child.suspend()
            await asyncio.sleep(0.094)
            child.resume()
            await asyncio.sleep(0.006)
    except ProcessLookupError:
        return


async def _outage_row() -> Row:
    instances = [("0", _WORKERS, "0.005")] * 4
    async with _busy(*instances) as (services, children), caller_of(services) as caller:
        calling = asyncio.create_task(caller.send(20, 1 + _OUTAGE + 4, "GET", "POST"))
        await asyncio.sleep(1)
        for child in children:
            child.kill()
        await asyncio.sleep(_OUTAGE)
        command = (sys.executable, ROOT / "tests" / "chaos" / "busy.py", f"{services.ports[0]}")
        async with run(*command, *instances[0][1:]) as again:
            await again.hear()
            back = caller.now
            await calling
    answered = sorted(begin + seconds for begin, _, result, seconds in caller.results if result == 200)
    first = next(end for end in answered if end >= back) - back
    return Row(
        f"all four instances are killed, and one is started again after {_OUTAGE:.0f} s, 20 calls a second: "
        "first success after that",
        "≤ 2 s",
        f"{first:.2f} s",
        first <= 2,
        f"{len(caller.failed(after=back))} calls failed after it",
    )
