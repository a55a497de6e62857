"""``python -m peerage.testing.simulation``: simulates schedules, and reports those that break a promise."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from itertools import chain
from typing import Final

from peerage.testing.simulation.coverage import Coverage, covered
from peerage.testing.simulation.scenario import Result, run
from peerage.testing.simulation.schedule import RegistryKind, Schedule, draw, pairs_of, read_token
from peerage.testing.simulation.shrink import shrink
from peerage.testing.simulation.trace import CallBegan, FaultBegan, to_line

#: Schedules that one process simulates before it reports.
_CHUNK: Final = 20

#: Schedules from which on each pair of actions must have happened.
_ENOUGH: Final = 2000

#: Schedules that failed of which details are printed, and lines of each.
_MOST_SHOWN: Final = 3
_MOST_LINES: Final = 12


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return its exit code: 0 if no promise was broken, else 1."""
    options = _parser().parse_args(arguments)
    if options.replay is not None:
        try:
            return _replay(read_token(options.replay), trace=options.trace)
        except ValueError as error:
            sys.stderr.write(f"{error}\n")
            return 2
    return _simulate(range(options.seed, options.seed + options.schedules), options.registry, options.jobs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m peerage.testing.simulation",
        description="Simulates clusters in which processes, machines, network and registry fail, and checks "
        "that the promises of peerage are kept.",
    )
    parser.add_argument(
        "--schedules", type=int, default=200, help="how many schedules to simulate (%(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="the seed of the first schedule (%(default)s)")
    parser.add_argument("--registry", choices=["embedded", "zookeeper"], help="with this registry only")
    cores = len(os.sched_getaffinity(0)) if sys.platform == "linux" else os.cpu_count() or 1
    parser.add_argument("--jobs", type=int, default=cores, help="processes that simulate (%(default)s)")
    parser.add_argument("--replay", metavar="TOKEN", help="simulate the schedule of this token")
    parser.add_argument("--trace", action="store_true", help="with --replay: print all events")
    return parser


def _replay(schedule: Schedule, *, trace: bool) -> int:
    result = run(schedule)
    if trace:
        for event in result.trace:
            _print(to_line(event))
    _print(f"{schedule}")
    _print(_shown(result.problems) or "No promise was broken.")
    return 1 if result.problems else 0


def _simulate(seeds: range, registry: RegistryKind | None, jobs: int) -> int:
    began, coverage, failed = time.monotonic(), Coverage(), 0
    for found, schedules in _results(seeds, registry, jobs):
        coverage.add(found)
        for schedule in schedules:
            failed += 1
            if failed <= _MOST_SHOWN:
                _report(schedule)
    seconds = time.monotonic() - began
    _print(coverage.table())
    hours, rate = coverage.seconds / 3600, coverage.schedules / seconds
    _print(
        f"{coverage.schedules} schedules with {coverage.calls} calls in {hours:.1f} virtual hours took "
        f"{seconds:.1f} s, {rate:.0f} a second. {failed} broke a promise."
    )
    missing = coverage.missing(registry) if coverage.schedules >= _ENOUGH else []
    if missing:
        _print(f"It never happened: {', '.join(missing)}")
    return 1 if failed or missing else 0


def _results(
    seeds: range, registry: RegistryKind | None, jobs: int
) -> Iterator[tuple[Coverage, list[Schedule]]]:
    """Yield what was covered, and which schedules have failed, some seeds after the others."""
    chunks = [seeds[begin : begin + _CHUNK] for begin in range(0, len(seeds), _CHUNK)]
    simulate = partial(simulate_some, registry=registry)
    if jobs <= 1:
        yield from map(simulate, chunks)
        return
    with ProcessPoolExecutor(jobs) as pool:
        yield from pool.map(simulate, chunks)


def simulate_some(
    seeds: Sequence[int], registry: RegistryKind | None = None
) -> tuple[Coverage, list[Schedule]]:
    """Simulate the schedules of *seeds*, and return what that has covered and which ones have failed."""
    coverage, failed = Coverage(), []
    for seed in seeds:
        schedule = draw(seed, registry)
        result = run(schedule)
        coverage.add(_covered(schedule, result))
        if result.problems:
            failed.append(schedule)
    return coverage, failed


def _covered(schedule: Schedule, result: Result) -> Coverage:
    kinds = Counter(event.kind for event in result.trace if isinstance(event, FaultBegan))
    calls = sum(isinstance(event, CallBegan) for event in result.trace)
    return covered(kinds, pairs_of(schedule), calls, result.trace[-1].at)


def _report(schedule: Schedule) -> None:
    """Print what is wrong, and the smallest schedule with the same fault."""
    kinds = run(schedule).kinds
    small = shrink(schedule, lambda candidate: bool(kinds & run(candidate).kinds))
    _print(f"{schedule}\n{_shown(run(schedule).problems)}")
    _print(f"  replay with: --replay {schedule.token}")
    if small != schedule:
        _print(f"Shrunk: {small}\n{_shown(run(small).problems)}")
        _print(f"  replay with: --replay {small.token}")


def _shown(problems: Sequence[str]) -> str:
    left_out = len(problems) - _MOST_LINES
    more = [f"and {left_out} more"] if left_out > 0 else []
    return "\n".join(f"  ! {problem}" for problem in chain(problems[:_MOST_LINES], more))


def _print(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
