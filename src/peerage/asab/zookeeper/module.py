"""The module that brings the ZooKeeper service."""

from typing import TYPE_CHECKING

from peerage.asab import module
from peerage.asab.zookeeper.service import ZooKeeperService

if TYPE_CHECKING:
    from peerage.asab.application import Application

__all__ = ["Module"]


class Module(module.Module):
    """``app.add_module(asab.zookeeper.Module)`` registers the service ``asab.ZooKeeperService``."""

    def __init__(self, app: "Application") -> None:
        super().__init__(app)
        self.Service = ZooKeeperService(app)
