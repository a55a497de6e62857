"""Several servers form one service."""

import time

import pytest

from peerage.testing.zookeeper import Ensemble

pytestmark = pytest.mark.ensemble


def test_another_leads_when_the_leader_dies(tmp_path, raw_client):
    """Two of three servers continue with all data, and the third catches up after its restart."""
    with Ensemble(tmp_path) as ensemble:
        assert ensemble.address == ",".join(server.address for server in ensemble.servers)
        leader = ensemble.leader()
        assert leader in ensemble.servers
        with raw_client(leader.address) as client:
            assert client.create("/before") == 0
            assert client.end() == 0
        leader.kill()
        follower = _elected(ensemble)
        assert follower is not leader
        with raw_client(follower.address) as client:
            assert client.exists("/before")
            assert client.create("/after") == 0
            assert client.end() == 0
        leader.start()
        assert ensemble.leader() is follower
        with raw_client(leader.address) as client:
            assert client.exists("/after")
            assert client.end() == 0
    assert not any(server.running for server in ensemble.servers)
    assert ensemble.leader() is None


def _elected(ensemble):
    deadline = time.monotonic() + 30
    while (leader := ensemble.leader()) is None:
        assert time.monotonic() < deadline, "no leader was elected"
        time.sleep(0.05)
    return leader
