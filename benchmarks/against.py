"""This checkout beside another one, in one run: ``python -m benchmarks --against FOLDER``.

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

__all__ = ["measure"]

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


def _started(source: Path) -> AbstractContextManager[Process]:
    return running("compared", environ={**os.environ, "PYTHONPATH": str(source)})


def _compare(what: str, command: tuple[object, ...], here: Process, there: Process) -> Row:
    times: dict[Process, list[float]] = {here: [], there: []}
    for block in range(_BLOCKS + _WARM):
        # The first of a pair isn't always the same one.
        for process in (here, there) if block % 2 else (there, here):
            seconds = process.ask(*command)
            if block >= _WARM:
                times[process].append(seconds)
    ours, theirs = (statistics.median(times[process]) * 1e6 for process in (here, there))
    pairs = zip(times[here], times[there], strict=True)
    ratio = statistics.median(one / other for one, other in pairs if other > 0)
    return Row(
        f"{what}, beside another checkout; medians of {_BLOCKS} blocks",
        "shown",
        f"{ours:.3g} µs = {ratio:.2f} ×",
        held=True,
        beside=f"the other: {theirs:.3g} µs",
    )
