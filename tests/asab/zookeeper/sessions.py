"""The session of a registry, as a container at the root of the servers has it."""

from peerage.asab.zookeeper.servers import Choice
from peerage.asab.zookeeper.session import ZooKeeperNodes


def session_of(registry) -> ZooKeeperNodes:
    """Its own methods, not those that call kazoo in threads, which need the proactor of an application."""
    return ZooKeeperNodes(registry, Choice(registry.url, path="", chroot="", configured=True), None)
