"""What the web part finds in its application, whenever it was made."""

import functools
from typing import TYPE_CHECKING, Any, Final

from aiohttp import hdrs, web

if TYPE_CHECKING:
    from peerage.asab.application import Application
    from peerage.asab.web.container import WebContainer
    from peerage.discovery import Discovery

#: The attribute of a handler that requires authorization.
REQUIRES: Final = "peerage_requires"


def web_containers(app: "Application") -> "dict[str, WebContainer]":
    """Return the web containers by their sections."""
    service = app.Services.get("asab.WebService")
    return {} if service is None else service.Containers


def find_discovery(app: "Application") -> "Discovery | None":
    """Return the started Discovery; None while there is no DiscoveryService."""
    service = app.Services.get("asab.DiscoveryService")
    return None if service is None else service.ZooKeeperContainer.open_discovery()


def requiring(webapp: web.Application) -> list[str]:
    """Return the routes, such as ``GET /articles``, that require authorization."""
    found = set()
    for route in webapp.router.routes():
        handler: Any = route.handler
        while isinstance(handler, functools.partial):
            handler = handler.func
        view = isinstance(handler, type)
        for method in hdrs.METH_ALL if view else (route.method,):
            if getattr(getattr(handler, method.lower(), None) if view else handler, REQUIRES, False):
                found.add(f"{method} {'' if route.resource is None else route.resource.canonical}")
    return sorted(found)
