"""The ZooKeeper containers of an application."""

from typing import TYPE_CHECKING, ClassVar

from peerage.asab import proactor
from peerage.asab.parts import Floor
from peerage.asab.service import Service

if TYPE_CHECKING:
    from peerage.asab.application import Application
    from peerage.asab.zookeeper.container import ZooKeeperContainer
    from peerage.asab.zookeeper.proactor import ProactorService

__all__ = ["ZooKeeperService"]


class ZooKeeperService(Service):
    """``asab.ZooKeeperService``: knows the containers, which run by themselves."""

    peerage_floor: ClassVar[Floor] = Floor.ZOOKEEPER

    def __init__(self, app: "Application", service_name: str = "asab.ZooKeeperService") -> None:
        super().__init__(app, service_name)
        app.add_module(proactor.Module)
        self.ProactorService: ProactorService = app.get_service("asab.ProactorService")
        self.Containers: list[ZooKeeperContainer] = []
        self.warned_of_embedded = False
        """Whether it was said that no servers are configured."""
