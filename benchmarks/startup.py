"""What it costs to start: the import and the command line."""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.report import Row, milliseconds

_RUNS = 15


def measure() -> list[Row]:
    """Every row of this part."""
    base, ours = _interleaved("import asyncio", "import asyncio, peerage; peerage.Discovery")
    extra = ours - base
    with tempfile.TemporaryDirectory() as folder:
        environ = {**os.environ, "PEERAGE_REGISTRY": f"embedded://{folder}/registry"}
        command = [str(Path(sys.executable).with_name("peerage")), "ls"]
        listing = statistics.median(_timed(command, environ) for _ in range(5))
    return [
        Row(
            "`import peerage` and loading `Discovery`",
            "≤ 30 ms over `import asyncio`",
            milliseconds(extra),
            extra <= 0.030,
            f"`import asyncio`: {milliseconds(base)}",
        ),
        Row("`peerage ls`, the whole command", "≤ 0.5 s", f"{listing:.2f} s", listing <= 0.5),
    ]


def _interleaved(*programs: str) -> list[float]:
    """Return the median wall seconds of each program, run in turn."""
    times: list[list[float]] = [[] for _ in programs]
    # Installed packages are compiled, so the first run, which compiles, doesn't count.
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    for run in range(_RUNS + 1):
        for taken, program in zip(times, programs, strict=True):
            seconds = _timed([sys.executable, "-c", program], environ)
            if run:
                taken.append(seconds)
    return [statistics.median(taken) for taken in times]


def _timed(command: list[str], environ: dict[str, str]) -> float:
    begin = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, env=environ)
    return time.perf_counter() - begin
