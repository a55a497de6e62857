"""A real ZooKeeper for tests: single servers, ensembles, and a proxy that simulates faults of the network.

Needs Java and ZooKeeper: Debian's package, or ``ZOOKEEPER_HOME``. Nothing is mocked.
"""

from typing import TYPE_CHECKING, Final

from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.testing.zookeeper.ensemble import Ensemble
    from peerage.testing.zookeeper.harness import ZooKeeperHarness
    from peerage.testing.zookeeper.proxy import Proxy
    from peerage.testing.zookeeper.server import ZooKeeperServer

_HOME_OF: Final = {
    "Ensemble": "ensemble",
    "Proxy": "proxy",
    "ZooKeeperHarness": "harness",
    "ZooKeeperServer": "server",
}

__all__ = ["Ensemble", "Proxy", "ZooKeeperHarness", "ZooKeeperServer"]


if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), _HOME_OF)
