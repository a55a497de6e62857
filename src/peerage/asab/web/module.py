"""The module that brings the web service."""

from typing import TYPE_CHECKING

from peerage.asab import module
from peerage.asab.web.service import WebService

if TYPE_CHECKING:
    from peerage.asab.application import Application

__all__ = ["Module"]


class Module(module.Module):
    """``app.add_module(asab.web.Module)`` registers the service ``asab.WebService``."""

    def __init__(self, app: "Application") -> None:
        super().__init__(app)
        self.service = WebService(app)
