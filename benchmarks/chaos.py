"""The same faults for processes of ours and of asab 25.15: ``python -m benchmarks.chaos [FAULTS [SEED]]``."""

import asyncio
import sys
import tempfile
import time
from bisect import bisect_right
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from tests.chaos.drawn import draw
from tests.chaos.ensemble import OURS as OUR_MEMBER
from tests.chaos.ensemble import ChaosCluster
from tests.chaos.machine import Machine
from tests.chaos.outcomes import failed, summary

from benchmarks.driver import OURS, PYTHON, THEIRS
from peerage.testing.simulation.checker import Promises, check
from peerage.testing.zookeeper import Ensemble

#: The original takes the longest session that the servers allow.
_PROMISES: Final = Promises(session_timeout=2.0)

_CALM: Final = 0.2

_MEMBERS: Final = {
    OURS: OUR_MEMBER,
    THEIRS: (PYTHON, str(Path(__file__).with_name("originalmember.py"))),
}

#: The invariants that say whether a directory equals the truth.
_DIRECTORIES: Final = frozenset({"missing", "outdated", "ghost", "twin"})


async def _measure(library: str, count: int, seed: int) -> str:
    """Return a row of the table."""
    options = {"maxSessionTimeout": f"{_PROMISES.session_timeout * 1000:.0f}"}
    machine = Machine()
    machine.start()
    try:
        with (
            tempfile.TemporaryDirectory() as folder,
            tempfile.TemporaryDirectory() as traces,
            Ensemble(Path(folder), options=options) as ensemble,
        ):
            return await _run(library, (count, seed), ensemble, machine, Path(traces))
    finally:
        machine.stop()


async def _run(
    library: str, count_and_seed: tuple[int, int], ensemble: Ensemble, machine: Machine, traces: Path
) -> str:
    async with AsyncExitStack() as stack:
        cluster = ChaosCluster(
            stack,
            traces,
            ensemble,
            machine,
            session_timeout=_PROMISES.session_timeout,
            command=_MEMBERS[library],
        )
        await cluster.start()
        await asyncio.sleep(_PROMISES.settling + _CALM)
        count, seed = count_and_seed
        faults = draw(seed, count, cluster.targets)
        begin = time.monotonic()
        begins = await cluster.suffer(faults, _PROMISES.settling + _CALM)
        seconds = time.monotonic() - begin
        trace = await cluster.finish()
    violations = check(trace, _PROMISES)
    wrong = {bisect_right(begins, each.at) for each in violations if each.invariant in _DIRECTORIES}
    failures = failed(trace)
    sys.stderr.write(f"{library}: {summary([each.kind for each in faults], trace, seconds)}\n")
    for each in sorted({each.invariant for each in violations}):
        sys.stderr.write(f"{library}: {sum(v.invariant == each for v in violations)} × {each}\n")
    repeatable = failures["safe"] + failures["idempotent"]
    return f"| {library} | {count} | {len(wrong)} | {repeatable} | {failures['once']} |"


def main() -> None:
    """Print the table."""
    count, seed = (*map(int, sys.argv[1:]), *(20, 1)[len(sys.argv) - 1 :])
    rows = [asyncio.run(_measure(library, count, seed)) for library in _MEMBERS]
    sys.stdout.write(
        "| | faults | directories wrong after | failed calls that may be repeated | other failed calls |\n"
        "| --- | --- | --- | --- | --- |\n" + "\n".join(rows) + "\n"
    )


if __name__ == "__main__":
    main()
