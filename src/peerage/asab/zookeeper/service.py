"""The ZooKeeper containers of an application, and the module that brings them."""

from typing import TYPE_CHECKING, ClassVar

from peerage.asab import abc, proactor
from peerage.asab.parts import Phase

if TYPE_CHECKING:
    from peerage.asab.application import Application
    from peerage.asab.zookeeper.container import ZooKeeperContainer


class ZooKeeperService(abc.Service):
    """``asab.ZooKeeperService``: the list of the containers."""

    peerage_phase: ClassVar[Phase] = Phase.ZOOKEEPER

    def __init__(self, app: "Application", service_name: str = "asab.ZooKeeperService") -> None:
        super().__init__(app, service_name)
        app.add_module(proactor.Module)
        self.ProactorService: proactor.ProactorService = app.get_service("asab.ProactorService")
        self.Containers: list[ZooKeeperContainer] = []
        self.warned_of_embedded = False
        """Whether the warning that no servers are configured was logged."""


class Module(abc.Module):
    """``app.add_module(asab.zookeeper.Module)`` registers the service ``asab.ZooKeeperService``."""

    def __init__(self, app: "Application") -> None:
        super().__init__(app)
        self.Service = ZooKeeperService(app)
