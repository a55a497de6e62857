"""ZooKeeper for applications: ``asab.zookeeper.Module``, the service ``asab.ZooKeeperService``, containers.

A container is one session with the configured servers, and discovery uses the same session. Without servers
the container uses the registry of this machine, so a program runs with nothing installed.
"""

from typing import TYPE_CHECKING, Final

from peerage.lazy import loader

if TYPE_CHECKING:
    from peerage.asab.zookeeper.container import ZooKeeperContainer
    from peerage.asab.zookeeper.service import Module, ZooKeeperService

__all__ = ["Module", "ZooKeeperContainer", "ZooKeeperService"]

_HOME_OF: Final = {**dict.fromkeys(__all__, "service"), "ZooKeeperContainer": "container"}

if not TYPE_CHECKING:  # for a type checker every misspelled name would be valid
    __getattr__ = loader(__name__, globals(), _HOME_OF)


def __dir__() -> list[str]:
    return [*__all__]
