"""Makes a web server in one line."""

from collections.abc import Mapping
from importlib import import_module
from typing import TYPE_CHECKING, Any

from aiohttp import web

from peerage.asab.web.container import WebContainer
from peerage.asab.web.service import Module

if TYPE_CHECKING:
    from peerage.asab.application import Application

__all__ = ["create_web_server"]


def create_web_server(
    app: "Application",
    section: str = "web",
    config: Mapping[str, Any] | None = None,
    api: bool = False,  # noqa: FBT001, FBT002 - documented so
) -> web.UrlDispatcher:
    """Make a web container and return its router, for routes to be added.

    Args:
        app: the application.
        section: the section of its settings.
        config: settings of the program.
        api: whether to make an ApiService for it as well.
    """
    app.add_module(Module)
    container = WebContainer(app.get_service("asab.WebService"), section, config=config)
    if api:
        # Imported here, because peerage.asab.api is a layer above.
        import_module("peerage.asab.api").ApiService(app).initialize_web(container)
    return container.WebApp.router
