"""``zookeeper://zk-1:2181,zk-2:2181/asab``, the registry of a cluster.

A record is an ephemeral sequential node ``<path>/run/<name>.<10 digits>``, as in ASAB: it lives as long as
the session of the process that made it. Secrets are persistent nodes. Needs the extra ``zookeeper``.
"""

from peerage.backends.zookeeper.location import parse
from peerage.backends.zookeeper.registry import ZooKeeperRegistry

__all__ = ["ZooKeeperRegistry", "open_zookeeper"]


def open_zookeeper(url: str) -> ZooKeeperRegistry:
    """Return the registry of a ``zookeeper://`` or ``zookeeper+tls://`` URL; nothing is connected yet.

    Raises:
        ConfigurationError: the URL, its options or a file it names can't work.
    """
    location = parse(url)
    return ZooKeeperRegistry(location, None if location.tls is None else location.tls.context())
