"""The embedded registry between processes: first sync, joins, visibility, death, idling."""

import asyncio
import fcntl
import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.driver import ROOT, Process, running
from benchmarks.report import Row, burst_row, heartbeat_row, idle_row, milliseconds, percentile, spread
from peerage.registry import Put, Registry, open_registry
from peerage.testing import Participant, View
from peerage.testing.children import run

_LARGE = 10_000
_SAMPLES = 300
_KILLS = 40


def measure() -> list[Row]:
    """Every row of this part."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "registry"
        url = f"embedded://{base}"
        rows = asyncio.run(_latencies(url))
        with running("workers", "own", url, str(_LARGE), "0") as owner:
            owner.hear()
            rows += _first_sync(url, base)
            rows += _idling(url)
            rows += _joining(url, owner)
    return rows


def _first_sync(url: str, base: Path) -> list[Row]:
    ours, bare = [], []
    for _ in range(5):
        bare.append(_bare_scan(base))
        with running("workers", "sync", url, str(_LARGE)) as reader:
            ours.append(reader.hear())
    assert all(run["known"] for run in ours)
    wall = statistics.median(run["wall"] for run in ours)
    limit = statistics.median(bare)
    return [
        Row(
            f"first sync, `locate` answering, {_LARGE:,} records, embedded",
            "≤ 3 × (bare scan + `json.loads` of each)",
            f"{milliseconds(wall)} = {wall / limit:.2f} ×",
            wall <= 3 * limit,
            f"open, flock, fstat, read, `json.loads` in one loop: {milliseconds(limit)}",
        ),
        heartbeat_row("event loop during it (heartbeat of 1 ms)", [run["gap"] for run in ours]),
    ]


def _bare_scan(base: Path) -> float:
    """Return the seconds of the least possible work; records are the files whose names end with a number."""
    begin = time.perf_counter()
    found = 0
    for folder, _, names in os.walk(base):
        for name in names:
            if not name[-10:].isdigit():
                continue
            descriptor = os.open(f"{folder}/{name}", os.O_RDONLY)
            try:
                fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                size = os.fstat(descriptor).st_size
                json.loads(os.read(descriptor, size))
                found += 1
            os.close(descriptor)
    assert found == _LARGE, found
    return time.perf_counter() - begin


def _idling(url: str) -> list[Row]:
    rows = []
    for mode, extra, budget in (("inotify", {}, 0.005), ("polling", {"PEERAGE_EMBEDDED_POLL": "1"}, 0.02)):
        with running("workers", "idle", url, "30", environ={**os.environ, **extra}) as reader:
            share = reader.hear()
        rows.append(idle_row(f"idle at {_LARGE:,} instances, embedded, {mode}", share, budget))
    return rows


def _joining(url: str, owner: Process) -> list[Row]:
    more = 1000
    with running("workers", "burst", url, str(more)) as reader:
        reader.hear()
        owner.write(more)
        cpu = reader.hear()
        owner.hear()
    return [burst_row(f"burst of {more:,} joins at {_LARGE:,}, embedded", cpu)]


async def _latencies(url: str) -> list[Row]:
    registry = open_registry(url)
    try:
        visible = await _visible(registry)
        gone = await _gone(registry)
    finally:
        await registry.aclose()
    return [
        Row(
            "advertise → visible in another process, embedded, p50 / p99",
            "p99 ≤ 2 ms",
            spread(visible, "ms", 1e3),
            percentile(visible, 0.99) <= 2e-3,
        ),
        Row(
            "kill -9 → gone, embedded, p50 / p99",
            "p99 ≤ 5 ms",
            spread(gone, "ms", 1e3),
            percentile(gone, 0.99) <= 5e-3,
        ),
    ]


async def _visible(registry: Registry) -> list[float]:
    """Return the seconds from each call of advertise, which the record carries, to its arrival."""
    watch = registry.watch()
    await anext(watch)

    async def follow() -> list[float]:
        arrivals = [(time.monotonic(), event) async for event in watch if isinstance(event, Put)]
        return [at - float(event.record.data) for at, event in arrivals]

    blink = (sys.executable, "-m", "benchmarks.workers", "blink", registry.url, str(_SAMPLES))
    async with run(*blink, cwd=ROOT, patience=None) as child, asyncio.TaskGroup() as tasks:
        following = tasks.create_task(follow())
        await child.wait()
        await watch.aclose()
    latencies = following.result()
    # On a loaded machine a record may be gone before it was seen.
    assert len(latencies) > _SAMPLES // 2, f"{len(latencies)} of {_SAMPLES} records were seen"
    return latencies


async def _gone(registry: Registry) -> list[float]:
    latencies = []
    async with View(registry) as view:
        for _ in range(_KILLS):
            async with Participant.spawn(registry.url) as owner:
                node = await owner.advertise("Bench", b"{}")
                await view.until(lambda node=node: node in view.records)
                begin = time.perf_counter()
                owner.kill()
                await view.until(lambda node=node: node not in view.records)
                latencies.append(time.perf_counter() - begin)
    return latencies
