"""The embedded registry between processes: first sync, joins, visibility, death, idling."""

import asyncio
import fcntl
import json
import os
import statistics
import tempfile
import time
from pathlib import Path

from benchmarks.report import Row, burst_row, heartbeat_row, idle_row, milliseconds, percentile, spread
from benchmarks.workers import hear, tell, worker
from peerage.registry import Put, Registry, open_registry
from peerage.testing import Participant, View

_LARGE = 10_000
_SAMPLES = 300
_KILLS = 40


def measure() -> list[Row]:
    """Every row of this part."""
    with tempfile.TemporaryDirectory() as folder:
        base = Path(folder) / "registry"
        url, environ = f"embedded://{base}", dict(os.environ)
        rows = asyncio.run(_latencies(url, environ))
        with worker("own", url, str(_LARGE), "0", environ=environ) as owner:
            hear(owner)
            rows += _first_sync(url, base, environ)
            rows += _idling(url, environ)
            rows += _joining(url, environ, owner)
    return rows


def _first_sync(url: str, base: Path, environ: dict[str, str]) -> list[Row]:
    ours, bare = [], []
    for _ in range(5):
        bare.append(_bare_scan(base))
        with worker("sync", url, str(_LARGE), environ=environ) as reader:
            ours.append(hear(reader))
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
    """Return the seconds of the least possible work; records are the files with a number at the end."""
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


def _idling(url: str, environ: dict[str, str]) -> list[Row]:
    rows = []
    for mode, extra, budget in (("inotify", {}, 0.005), ("polling", {"PEERAGE_EMBEDDED_POLL": "1"}, 0.02)):
        with worker("idle", url, "30", environ=environ | extra) as reader:
            share = hear(reader)
        rows.append(idle_row(f"idle at {_LARGE:,} instances, embedded, {mode}", share, budget))
    return rows


def _joining(url: str, environ: dict[str, str], owner) -> list[Row]:  # noqa: ANN001 - a Popen of text
    more = 1000
    with worker("burst", url, str(more), environ=environ) as reader:
        hear(reader)
        tell(owner, more)
        cpu = hear(reader)
        hear(owner)
    return [burst_row(f"burst of {more:,} joins at {_LARGE:,}, embedded", cpu)]


async def _latencies(url: str, environ: dict[str, str]) -> list[Row]:
    registry = open_registry(url)
    try:
        visible = await _visible(registry, environ)
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


async def _visible(registry: Registry, environ: dict[str, str]) -> list[float]:
    """Return the seconds from the call of advertise, which the record carries, to the watcher's."""
    latencies: list[float] = []
    watch = registry.watch()
    await anext(watch)
    with worker("blink", registry.url, str(_SAMPLES), environ=environ):
        async for event in watch:
            if isinstance(event, Put):
                latencies.append(time.monotonic() - float(event.record.data))
                if len(latencies) == _SAMPLES:
                    break
    await watch.aclose()
    return latencies


async def _gone(registry: Registry) -> list[float]:
    latencies = []
    async with View(registry) as view:
        for _ in range(_KILLS):
            async with await Participant.spawn(registry.url) as owner:
                node = await owner.advertise("Bench", b"{}")
                await view.until(lambda node=node: node in view.records)
                begin = time.perf_counter()
                owner.kill()
                await view.until(lambda node=node: node not in view.records)
                latencies.append(time.perf_counter() - begin)
    return latencies
