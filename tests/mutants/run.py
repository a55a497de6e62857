"""Applies each defect to a copy of the sources, and simulates schedules until the checker catches it.

Each ``*.patch`` in this folder is a defect. Lines in front of the patch itself say what it is:

- ``Defect:`` what the library does wrong,
- ``Caught by:`` the invariant that catches it, see :data:`peerage.testing.simulation.checker.INVARIANTS`,
- ``Registry:`` with which registry to simulate, ``embedded`` or ``zookeeper``,
- ``Seed:`` of the first schedule, 0 if there is no such line,
- ``Token:`` of a schedule that is simulated before those, for a defect that few of them show.

It ends with exit code 1 if a patch doesn't apply, if a defect isn't caught, or if there is an invariant
without a defect that only this invariant catches in the schedules that were simulated.

Usage: python tests/mutants/run.py [--only NAME] [--schedules N]
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from peerage.testing.simulation.checker import INVARIANTS

HERE = Path(__file__).parent
SOURCES = HERE.parent.parent / "src"

#: Runs with the defect: prints the number of the schedule in which the invariant was violated, and all that
#: were violated by then or in a few more schedules, which show whether others catch the defect as well.
PROGRAM = """
import json, sys
from peerage.testing.simulation.scenario import run
from peerage.testing.simulation.schedule import draw, read_token
invariant, registry, seed, schedules = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
kinds, caught, number, message = set(), None, 0, ""
while number < schedules and (caught is None or number < caught + 10):
    number += 1
    chosen = sys.argv[5] if number == 1 else ""
    result = run(read_token(chosen) if chosen else draw(seed + number - 1, registry))
    kinds |= result.kinds
    if caught is None and invariant in result.kinds:
        caught = number
        message = next(str(each) for each in result.violations if each.invariant == invariant)
print(json.dumps([caught, sorted(kinds), message]))
"""

#: Seconds that one defect may take; some let a schedule go on for ever.
LIMIT = 300


@dataclass(frozen=True)
class Defect:
    path: Path
    text: str
    invariant: str
    registry: str
    seed: int
    token: str

    @property
    def name(self) -> str:
        return self.path.stem


def read(path: Path) -> Defect:
    """Return the defect of a patch."""
    head = path.read_text().partition("\n---")[0]
    fields = dict(line.split(": ", 1) for line in head.splitlines() if ": " in line)
    invariant = fields["Caught by"]
    if invariant not in INVARIANTS:
        sys.exit(f"{path.name}: {invariant!r} is no invariant: {', '.join(INVARIANTS)}")
    return Defect(
        path,
        fields["Defect"],
        invariant,
        fields["Registry"],
        int(fields.get("Seed", "0")),
        fields.get("Token", ""),
    )


def catch(defect: Defect, schedules: int) -> tuple[str, set[str], str]:
    """Return what went wrong, if it isn't caught; all invariants that catch it; and what one of them says."""
    with tempfile.TemporaryDirectory(prefix="mutant-") as folder:
        copy = Path(folder) / "src"
        shutil.copytree(SOURCES, copy, ignore=shutil.ignore_patterns("__pycache__"))
        applied = subprocess.run(
            [shutil.which("git") or "git", "apply", "-C1", defect.path],
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
        )
        if applied.returncode:
            return f"the patch doesn't apply any more: {applied.stderr.strip()}", set(), ""
        command = [
            sys.executable,
            "-c",
            PROGRAM,
            defect.invariant,
            defect.registry,
            f"{defect.seed}",
            f"{schedules}",
            defect.token,
        ]
        try:
            ended = subprocess.run(
                command,
                env=os.environ | {"PYTHONPATH": str(copy)},
                capture_output=True,
                text=True,
                check=False,
                timeout=LIMIT,
            )
        except subprocess.TimeoutExpired:
            return f"it took longer than {LIMIT} s", set(), ""
        if ended.returncode:
            return f"the simulation failed: {ended.stderr.strip()[-2000:]}", set(), ""
    caught, kinds, message = json.loads(ended.stdout)
    problem = "" if caught else f"not caught in {schedules} schedules, but for {kinds}"
    return problem, set(kinds), f"schedule {caught}: {message}"


def report(defects: list[Defect], schedules: int) -> Iterator[tuple[bool, set[str]]]:
    """Print what became of each defect; yield whether it was caught, and which invariants catch it."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = pool.map(lambda defect: catch(defect, schedules), defects)
        for defect, (problem, kinds, message) in zip(defects, results, strict=True):
            print(f"{'NOT CAUGHT' if problem else 'caught'}: {defect.name}: {defect.text}")
            print(f"    {problem or message[:200]}", flush=True)
            yield not problem, kinds


def main() -> int:
    parser = argparse.ArgumentParser(description="Checks that the simulation catches known defects.")
    parser.add_argument("--only", help="the name of one patch")
    parser.add_argument("--schedules", type=int, default=400, help="how many to try for each (%(default)s)")
    options = parser.parse_args()
    paths = sorted(HERE.glob(f"{options.only or '*'}.patch"))
    results = [*report([read(path) for path in paths], options.schedules)]
    caught = sum(each for each, _ in results)
    print(f"{caught} of {len(results)} defects were caught.")
    if options.only is not None:
        return 0 if results and caught == len(results) else 1
    alone = {next(iter(kinds)) for _, kinds in results if len(kinds) == 1}
    missing = [name for name in INVARIANTS if name not in alone]
    if missing:
        print(f"No defect is caught by this invariant alone: {', '.join(missing)}")
    return 1 if missing or caught < len(results) else 0


if __name__ == "__main__":
    sys.exit(main())
