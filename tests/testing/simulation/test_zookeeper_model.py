"""The model of ZooKeeper does what a real server does, on random operations of three sessions."""

import os
import random

import pytest
from tests.testing.simulation.traces import ModelSide, RealSide, trace

from peerage.testing.zookeeper import ZooKeeperServer

#: How many traces, from which seed on; 10,000 take minutes.
COUNT = int(os.environ.get("PEERAGE_ZOOKEEPER_TRACES", "50"))
FIRST = int(os.environ.get("PEERAGE_ZOOKEEPER_SEED", "0"))


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    """A server of its own, on which no session of another test ends."""
    with ZooKeeperServer(tmp_path_factory.mktemp("zookeeper")) as server:
        yield server


@pytest.mark.timeout(60 + COUNT)
def test_the_model_and_the_server_say_the_same(server):
    """Results, error numbers, stats, transaction numbers, and events in their order among the answers."""
    for seed in range(FIRST, FIRST + COUNT):
        steps = trace(random.Random(seed), f"/t{seed}")
        real = RealSide(server.address)
        try:
            heard = real.run(steps)
        finally:
            real.close()
        assert ModelSide().run(steps) == heard, f"of the trace with PEERAGE_ZOOKEEPER_SEED={seed}"
