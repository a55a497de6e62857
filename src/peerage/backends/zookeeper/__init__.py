"""``zookeeper://zk-1:2181,zk-2:2181/asab``, the registry of a cluster.

A record is an ephemeral sequential node ``<path>/run/<name>.<10 digits>``, as in ASAB: it lives as long as
the session of the process that created it. Secrets are persistent nodes. Needs the extra ``zookeeper``.

The map, from the server to the port::

    kazoo's thread    session: kazoo's client, also for others; kazoothread, dialing, handler: its parts
          |
          | notes     what happened, in its order: Connected, Disconnected, NodeEvent, Request ...
          v
    event loop        connection: one session after the other, and the requests over it (table of states)
          |           requests, failures: what is requested, and how it can fail
          |
          |-- folder         the records as watchers get them
          |-- advertisement  one record of this process (table of states)
          |-- secrets        shared values
          |   nodes, advice: folders, access lists, and what to do about a refusal
          v
    registry          the port, for a location: the URL, with tls; diagnosis: what ``peerage doctor`` examines

What is above the notes runs on kazoo's thread; what is below them on the event loop, and never blocks.
"""

from peerage.backends.zookeeper.location import parse
from peerage.backends.zookeeper.registry import ZooKeeperRegistry

__all__ = ["ZooKeeperRegistry", "open_zookeeper"]


def open_zookeeper(url: str) -> ZooKeeperRegistry:
    """Return the registry of a ``zookeeper://`` or ``zookeeper+tls://`` URL; nothing is connected yet.

    Raises:
        ConfigurationError: the URL, its options or a file that it names can't work.
    """
    location = parse(url)
    return ZooKeeperRegistry(location, None if location.tls is None else location.tls.context())
