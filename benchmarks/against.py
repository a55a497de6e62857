"""Requests by name, and this checkout beside another one: ``python -m benchmarks --against FOLDER``.

Both run :mod:`benchmarks.compared` in a process each, with the same Python and the same packages. Their
blocks take turns, so that the load of the machine affects both alike: trust the ratios.
"""

import os
import statistics
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Final

from benchmarks.driver import ROOT, Process, fixture, running
from benchmarks.report import Row

__all__ = ["measure", "measure_requests"]

#: Blocks, of which the first two warm up.
_BLOCKS: Final = 40
_WARM: Final = 2

#: What is compared: a name, and a command of the processes with its arguments.
_CASES: Final = (
    ("request by name over a fixed URL, one shared session, 3 instances, CPU", ("request", 200)),
    ("pick, 3 instances", ("pick", 3, 5000)),
    ("pick, 10,000 instances", ("pick", 10_000, 5000)),
    ("`locate()`, 3 results of 10,000 instances, cached", ("locate", 2000)),
)


def measure(other: Path) -> list[Row]:
    """Compare with the checkout in the folder *other*."""
    source = other / "src"
    assert (source / "peerage").is_dir(), f"{other} isn't a checkout of peerage"
    with fixture("serve", "3") as server:
        ports = server.hear()
        with _started(ROOT / "src") as here, _started(source) as there:
            for process in (here, there):
                process.ask("open", ports)
            return [_compare(what, command, here, there) for what, command in _CASES]


def measure_requests() -> list[Row]:
    """Measure a request by name beside one to a fixed URL."""
    with fixture("serve", "3") as server, _started(ROOT / "src") as here:
        here.ask("open", server.hear())
        blocks = [here.ask("request", 200) for _ in range(_BLOCKS + _WARM)][_WARM:]
    extra, fixed = (statistics.median(block[each] for block in blocks) for each in ("seconds", "fixed"))
    return [
        Row(
            "request by name over a fixed URL, one shared session each, 3 instances",
            "≤ 35 µs client CPU",
            f"{extra * 1e6:.1f} µs",
            extra <= 35e-6,
            f"fixed URL: {fixed * 1e6:.0f} µs CPU a request",
        )
    ]


def _started(source: Path) -> AbstractContextManager[Process]:
    return running("compared", environ={**os.environ, "PYTHONPATH": str(source)})


def _compare(what: str, command: tuple[object, ...], here: Process, there: Process) -> Row:
    times: dict[Process, list[float]] = {here: [], there: []}
    for block in range(_BLOCKS + _WARM):
        # The first of a pair isn't always the same one.
        for process in (here, there) if block % 2 else (there, here):
            seconds = process.ask(*command)["seconds"]
            if block >= _WARM:
                times[process].append(seconds)
    ours, theirs = (statistics.median(times[process]) * 1e6 for process in (here, there))
    return Row(
        f"{what}, beside another checkout; medians of {_BLOCKS} blocks",
        "shown",
        f"{ours:.3g} µs = {ours / theirs:.2f} ×",
        held=True,
        beside=f"the other: {theirs:.3g} µs",
    )
