"""The ZooKeeper registry keeps the contract, on a real server."""

from peerage.testing import RegistryConformance
from peerage.testing.zookeeper import ZooKeeperHarness


class TestZooKeeper(RegistryConformance):
    """Everything: processes, outages, sessions, secrets."""

    harness_class = ZooKeeperHarness
