"""Rows of the table of budgets, and how they are printed."""

import platform
import statistics
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

__all__ = [
    "Row",
    "burst_row",
    "heartbeat_row",
    "idle_row",
    "markdown",
    "milliseconds",
    "percentile",
    "spread",
]


@dataclass(frozen=True, slots=True)
class Row:
    """One budget and what was measured."""

    what: str
    """What was done, with the sizes."""
    budget: str
    """What must be reached."""
    measured: str
    """What was reached, with its unit."""
    held: bool
    """Whether the budget holds."""
    beside: str = ""
    """The bare limit, or the peer, on the same work in the same run."""


def percentile(values: Iterable[float], share: float) -> float:
    """Return the value below which *share* (0 to 1) of the values lie."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def spread(values: Sequence[float], unit: str, scale: float = 1.0) -> str:
    """Return median and 99th percentile as text."""
    return f"{statistics.median(values) * scale:.3g} / {percentile(values, 0.99) * scale:.3g} {unit}"


def milliseconds(seconds: float) -> str:
    """Return a duration as text."""
    return f"{seconds * 1e3:.3g} ms"


# The same budgets, whatever the registry


def heartbeat_row(what: str, gaps: Sequence[float]) -> Row:
    """Judge the longest times, one of each run, that the event loop didn't answer; the median counts."""
    gap = statistics.median(gaps)
    return Row(
        what,
        "never blocked > 25 ms",
        f"{milliseconds(gap)}, worst of all runs {milliseconds(max(gaps))}",
        gap <= 0.025,
    )


def idle_row(what: str, share: float, budget: float = 0.005) -> Row:
    """Judge the share of a core that it costs to know everything and do nothing."""
    return Row(what, f"≤ {budget:.1%} of a core", f"{share:.2%}", share <= budget)


def burst_row(what: str, cpu: float) -> Row:
    """Judge the CPU seconds that a burst costs each watcher."""
    return Row(what, "≤ 0.3 s CPU per watcher", f"{cpu:.3f} s", cpu <= 0.3)


def _machine() -> str:
    processor = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = info.read_text(encoding="utf-8").splitlines()
        names = [line.partition(":")[2].strip() for line in lines if "model name" in line]
        processor = f"{len(names)} cores of {names[0]}" if names else processor
    return (
        f"{datetime.now(UTC):%Y-%m-%d}, {processor}, {platform.system()} {platform.release().split('-')[0]}, "
        f"Python {platform.python_version()}, aiohttp {version('aiohttp')}, peerage {version('peerage')}"
    )


def markdown(rows: Sequence[Row]) -> str:
    """Return the table, and the machine it was measured on."""
    lines = [
        f"Measured {_machine()}, with `python -m benchmarks {' '.join(sys.argv[1:])}`".rstrip() + ".",
        "",
        "| what | budget | measured | beside it | held |",
        "| --- | --- | --- | --- | --- |",
    ]
    lines += [
        f"| {row.what} | {row.budget} | {row.measured} | {row.beside} | {'yes' if row.held else '**no**'} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"
