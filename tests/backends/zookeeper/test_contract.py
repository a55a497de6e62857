"""The ZooKeeper registry keeps the contract of the port, on a real server."""

from peerage.testing import RegistryConformance
from peerage.testing.zookeeper import ZooKeeperHarness


class TestZooKeeper(RegistryConformance):
    """With all capabilities: processes, outages, sessions, secrets."""

    harness_class = ZooKeeperHarness
