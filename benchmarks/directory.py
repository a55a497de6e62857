"""The directory and its users: applying, locating, spreading, memory, hostile text; without a registry."""

import asyncio
import gc
import json
import random
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from benchmarks.records import record
from benchmarks.report import Row, milliseconds
from peerage.balancing import Balancer, Outcome
from peerage.directory import Directory
from peerage.discovery import Discovery
from peerage.errors import NotDiscoveredError
from peerage.records.names import parse_host
from peerage.registry import Record

_LARGE = 10_000


def measure() -> list[Row]:
    """Every row of this part."""
    return [*_applying(), *asyncio.run(_locating()), _spreading(), _memory(), *_hostile()]


def _cost(action: Callable[[Record], object], changes: list[Record]) -> float:
    """Return the median CPU seconds of one *action*, over ten blocks."""
    blocks = []
    for block in range(10):
        some = changes[block::10]
        begin = time.process_time()
        for change in some:
            action(change)
        blocks.append((time.process_time() - begin) / len(some))
    return statistics.median(blocks)


def _applying() -> list[Row]:
    rows, costs = [], {}
    for size in (100, 1000, _LARGE):
        directory = Directory()
        for number in range(size):
            directory.put(record(number))
        changes = [record(number % size, version=number + 1) for number in range(4000)]
        costs[size] = _cost(directory.put, changes)
    bare = _cost(lambda change: json.loads(change.data), changes)
    for size, cost in costs.items():
        rows.append(
            Row(
                what=f"applying one change, N = {size:,}",
                budget="≤ 0.1 ms, flat in N",
                measured=milliseconds(cost),
                beside=f"`json.loads` of it: {milliseconds(bare)}",
                held=cost <= 1e-4 and cost <= 1.5 * costs[100],
            )
        )
    return rows


async def _locating() -> list[Row]:
    async with Discovery("memory:bench") as discovery:
        await discovery.ready()
        for number in range(_LARGE):
            discovery.directory.put(record(number))

        async def cached() -> float:
            begin = time.perf_counter()
            for _ in range(2000):
                await discovery.locate(service_id="orders7")
            return (time.perf_counter() - begin) / 2000

        async def changed() -> float:
            spent = 0.0
            for version in range(500):
                discovery.directory.put(record(21, version=version + 1))
                begin = time.perf_counter()
                await discovery.locate(service_id="orders7")
                spent += time.perf_counter() - begin
            return spent / 500

        assert len(await discovery.locate(service_id="orders7")) == 3
        warm = statistics.median([await cached() for _ in range(10)])
        fresh = statistics.median([await changed() for _ in range(10)])
    return [
        Row(
            "`locate()`, 3 results of 10,000 instances, cached",
            "≤ 2 µs",
            f"{warm * 1e6:.2f} µs",
            warm <= 2e-6,
        ),
        Row("the same right after a change of one of them", "≤ 5 µs", f"{fresh * 1e6:.2f} µs", fresh <= 5e-6),
    ]


def _spreading() -> Row:
    worst = 0.0
    for seed, size in enumerate((2, 3, 10)):
        directory = Directory()
        for number in range(size):
            fields = json.loads(record(number).data) | {"service_id": "orders"}
            directory.put(Record(f"App.{number:010d}", json.dumps(fields).encode(), number))
        balancer = Balancer(random.Random(seed), time.monotonic)
        answered: Counter[str] = Counter()
        for _ in range(10_000):
            pick = balancer.pick(directory.targets("service_id", "orders"))
            assert pick is not None
            answered[pick.instance.name] += 1
            pick.answered(pick.started)
            pick.done(Outcome.ANSWERED, pick.started)
        worst = max(worst, max(answered.values()) / min(answered.values()))
    return Row(
        "spread of 10,000 requests, one after the other, over 2, 3 and 10 equal instances",
        "max/min ≤ 1.1",
        f"{worst:.3f}",
        worst <= 1.1,
    )


def _memory() -> Row:
    # A new process has measured nothing before.
    result = subprocess.run(
        [sys.executable, "-c", "from benchmarks.directory import memory; print(memory())"],
        check=True,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parent.parent,
    )
    each = float(result.stdout)
    return Row(
        "memory per instance, 10,000 records of 773 bytes, answers and balancer warm",
        "≤ 2.5 kB of RSS",
        f"{each / 1e3:.2f} kB",
        each <= 2500,
    )


def memory() -> float:
    """Return the bytes of RSS per instance; the records' own bytes count, as they come from a registry."""
    directory = Directory()
    directory.put(record(0))
    gc.collect()
    before = resident()
    for number in range(_LARGE):
        directory.put(record(number))
    balancer = warm(directory, _LARGE)
    gc.collect()
    grown = resident() - before
    del balancer  # its memory counts until here
    return grown / _LARGE


def warm(directory: Directory, count: int) -> Balancer:
    """Ask for each of the first *count* instances, and send a request to each."""
    balancer = Balancer(random.Random(0), time.monotonic)
    for number in range(count):
        for criterion in ("instance_id", f"orders-{number}"), ("service_id", f"orders{number // 3}"):
            directory.urls((criterion,))
        pick = balancer.pick(directory.targets("instance_id", f"orders-{number}"))
        assert pick is not None
        pick.answered(pick.started)
        pick.done(Outcome.ANSWERED, pick.started)
    return balancer


def resident() -> int:
    """Return the bytes of memory that this process has."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * 4096


def _hostile() -> list[Row]:
    """Measure text that takes quadratic time to normalize, unless its length is bounded first."""
    marks = "a" + "\u0301\u0316" * 15_000
    data = json.dumps({"host": "h", "instance_id": marks, "web": [["h", 80]]}, ensure_ascii=False)
    host = "a" + "\u0301" * 4000 + ".service_id.asab"
    begin = time.process_time()
    Directory().put(Record("App.0000000001", data.encode(), 1))
    applied = time.process_time() - begin
    begin = time.process_time()
    with suppress(NotDiscoveredError):
        parse_host(host)
    parsed = time.process_time() - begin
    return [
        Row(
            f"applying a record of {len(data.encode()) / 1e3:.0f} kB whose id is combining marks",
            "event loop never blocked > 25 ms",
            milliseconds(applied),
            applied <= 25e-3,
        ),
        Row(
            f"parsing a host of {len(host.encode()) / 1e3:.0f} kB of combining marks",
            "≤ 0.1 ms",
            milliseconds(parsed),
            parsed <= 1e-4,
        ),
    ]
