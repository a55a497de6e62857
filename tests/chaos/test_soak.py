"""A process in which instances join and leave, and which loses its registry often, frees what it used.

``SOAK_ROUNDS=1000 .venv/bin/python -m pytest --timeout 900 --log-cli-level INFO tests/chaos/test_soak.py``
shows more.
"""

import json
import logging
import os
import statistics
import sys
from typing import Final

import pytest

from peerage.testing.children import run

pytestmark = [pytest.mark.long, pytest.mark.alone]

log = logging.getLogger(__name__)

ROUNDS: Final = int(os.environ.get("SOAK_ROUNDS", "80"))

#: The rounds after which the same disturbances are repeated.
CYCLE: Final = 12

#: By how much a process may grow in a round once its caches are full: blocks of memory of Python, and bytes
#: that the system gave it. A closed Discovery that is kept is 480 blocks and 140 kB, a session 45 blocks and
#: 6 kB. What is left are caches that fill up to a limit: 20 blocks a round after 80 rounds, 5 after 300.
GROWTH: Final = {"blocks": 40, "traced": 5_000, "resident": 20_000}


async def test_what_a_round_used_is_freed(zookeeper):
    """In the second half the process grows by less than a session a round, and nothing else grows."""
    program = (sys.executable, "-W", "error", "-m", "tests.chaos.soak")
    async with run(*program, zookeeper.address, str(ROUNDS), patience=None) as child:
        samples = [json.loads(line) async for line in child.lines()]
        assert await child.wait() == 0, child.log
    assert len(samples) == ROUNDS
    half = samples[ROUNDS // 2 :]
    # The median, because a table that is enlarged once, such as that of interned texts, takes a megabyte.
    growth = {
        name: statistics.median(
            (later[name] - earlier[name]) / CYCLE for earlier, later in zip(half, half[CYCLE:], strict=False)
        )
        for name in half[0]
    }
    log.info("%d rounds; growth in a round: %s", ROUNDS, growth)
    for number in range(1, 11):
        log.info("after %d tenths: %s", number, samples[ROUNDS * number // 10 - 1])
    for name, limit in GROWTH.items():
        assert growth[name] < limit, name
    for name in ("tasks", "threads", "descriptors"):
        assert growth[name] == 0, name
