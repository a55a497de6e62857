"""What handlers demand, seen before any of them is called."""

import functools
import inspect
from collections.abc import Iterator
from typing import Any, Final

from aiohttp import hdrs, web

__all__ = ["REQUIRES", "UNPASSED", "requiring", "unpassed_arguments"]

#: The attribute of a handler that requires authorization.
REQUIRES: Final = "peerage_requires"

#: Arguments that the real asab passes to handlers, and what a program asks instead.
UNPASSED: Final = {
    "tenant": "asab.contextvars.Tenant.get()",
    "user_info": "asab.contextvars.Authz.get().user_info()",
    "resources": "asab.contextvars.Authz.get().has_resource_access(…)",
}


def requiring(webapp: web.Application) -> list[str]:
    """Return the routes, such as ``GET /articles``, that require authorization."""
    return sorted(
        {
            f"{method} {'' if route.resource is None else route.resource.canonical}"
            for route in webapp.router.routes()
            for method, handler in _handlers(route)
            if getattr(handler, REQUIRES, False)
        }
    )


def unpassed_arguments(webapp: web.Application) -> list[tuple[str, str]]:
    """Return each handler that demands an argument which only the real asab passes, with its name."""
    return sorted(
        {
            (getattr(route.handler, "__qualname__", repr(route.handler)), name)
            for route in webapp.router.routes()
            if not isinstance(route.handler, type)
            for name in UNPASSED.keys() & _demanded(route.handler)
        }
    )


def _demanded(handler: Any) -> set[str]:
    try:
        parameters = inspect.signature(handler).parameters.values()
    except (TypeError, ValueError):
        return set()
    return {each.name for each in parameters if each.default is each.empty}


def _handlers(route: web.AbstractRoute) -> Iterator[tuple[str, Any]]:
    handler: Any = route.handler
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not isinstance(handler, type):
        yield route.method, handler
        return
    for method in hdrs.METH_ALL:
        if (found := getattr(handler, method.lower(), None)) is not None:
            yield method, found
