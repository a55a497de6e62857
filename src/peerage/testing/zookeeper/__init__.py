"""A real ZooKeeper for tests: single servers, ensembles, and a proxy that simulates faults of the network.

Needs Java and ZooKeeper: Debian's package, or ``ZOOKEEPER_HOME``. Nothing is mocked.
"""

from peerage.testing.zookeeper.harness import ZooKeeperHarness
from peerage.testing.zookeeper.proxy import Proxy
from peerage.testing.zookeeper.server import Ensemble, ZooKeeperServer

__all__ = ["Ensemble", "Proxy", "ZooKeeperHarness", "ZooKeeperServer"]
