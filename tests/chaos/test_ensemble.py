r"""A cluster of real processes and three servers keeps what is promised while faults befall it.

By default some faults, in a minute. To show more, choose how many, of which seed, and the figures of the
promise, in seconds::

    CHAOS_FAULTS=50 CHAOS_SEED=2 CHAOS_SESSION=2 CHAOS_REACTION=1 \
        .venv/bin/python -m pytest --timeout 240 --log-cli-level INFO tests/chaos/test_ensemble.py
"""

import asyncio
import logging
import os
import time
from contextlib import AsyncExitStack
from typing import Final

import pytest
from tests.chaos.drawn import draw
from tests.chaos.ensemble import ChaosCluster
from tests.chaos.machine import Machine
from tests.chaos.outcomes import summary

from peerage.testing.simulation.checker import Promises, check

pytestmark = [pytest.mark.ensemble, pytest.mark.long, pytest.mark.alone]

log = logging.getLogger(__name__)

FAULTS: Final = int(os.environ.get("CHAOS_FAULTS", "9"))
SEED: Final = int(os.environ.get("CHAOS_SEED", "1"))

#: A machine that is busy reacts later than is promised, so that time isn't what the default tests.
PROMISES: Final = Promises(
    session_timeout=float(os.environ.get("CHAOS_SESSION", "3")),
    reaction=float(os.environ.get("CHAOS_REACTION", "3")),
)

#: Seconds in which nothing changes, from when the directories must equal the truth.
CALM: Final = 0.3


@pytest.fixture
def machine():
    machine = Machine()
    machine.start()
    yield machine
    machine.stop()


async def test_faults_one_after_the_other(tmp_path, ensemble, machine):
    """Directories equal the truth after each, and the calls that must not fail don't."""
    folder = tmp_path / "traces"
    folder.mkdir()
    async with AsyncExitStack() as stack:
        cluster = ChaosCluster(stack, folder, ensemble, machine, session_timeout=PROMISES.session_timeout)
        await cluster.start()
        await asyncio.sleep(PROMISES.settling + CALM)
        faults, begin = draw(SEED, FAULTS, cluster.targets), time.monotonic()
        await cluster.suffer(faults, PROMISES.settling + CALM)
        seconds = time.monotonic() - begin
        trace = await cluster.finish()
    violations = check(trace, PROMISES)
    log.info("%s; %d violations", summary([fault.kind for fault in faults], trace, seconds), len(violations))
    happened = "\n".join(map(str, faults))
    assert not violations, "\n".join(
        [*map(str, violations), f"seed {SEED}: CHAOS_SEED={SEED} CHAOS_FAULTS={FAULTS}", happened]
    )
