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

#: Bytes by which the process may grow in a round: what Python allocated, and what the system gave it. What
#: is kept of a Discovery, a session or a connection that isn't freed is more; caches that fill are less.
GROWTH: Final = {"traced": 10_000, "resident": 20_000}


async def test_what_a_round_used_is_freed(zookeeper):
    """After the first third, memory grows by less than one Discovery a round, and nothing else does."""
    program = (sys.executable, "-W", "error", "-m", "tests.chaos.soak")
    async with run(*program, zookeeper.address, str(ROUNDS), patience=None) as child:
        samples = [json.loads(line) async for line in child.lines()]
        assert await child.wait() == 0, child.log
    assert len(samples) == ROUNDS
    warm = samples[ROUNDS // 3 :]
    rounds = range(len(warm))
    slopes = {
        name: statistics.linear_regression(rounds, [each[name] for each in warm]).slope for name in GROWTH
    }
    counts = {
        name: [statistics.median(each[name] for each in part) for part in (warm[:20], warm[-20:])]
        for name in ("tasks", "threads", "descriptors")
    }
    log.info("%d rounds: bytes a round %s; first and last %s", ROUNDS, slopes, counts)
    for number in range(1, 11):
        log.info("after %d tenths: %s", number, samples[ROUNDS * number // 10 - 1])
    for name, limit in GROWTH.items():
        assert slopes[name] < limit, name
    for name, (first, last) in counts.items():
        # A task or two come and go.
        assert last <= first + 1, name
