"""The module that brings threads for calls that wait."""

from typing import TYPE_CHECKING

from peerage.asab import module
from peerage.asab.zookeeper.proactor import ProactorService

if TYPE_CHECKING:
    from peerage.asab.application import Application

__all__ = ["Module", "ProactorService"]


class Module(module.Module):
    """``app.add_module(asab.proactor.Module)`` registers the service ``asab.ProactorService``."""

    def __init__(self, app: "Application") -> None:
        super().__init__(app)
        self.service = ProactorService(app)
