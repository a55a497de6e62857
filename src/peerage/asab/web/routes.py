"""What handlers say about who calls them, seen before any of them is called."""

import functools
import inspect
from collections.abc import Callable, Iterator
from collections.abc import Set as AbstractSet
from typing import Any, Final

from aiohttp import hdrs, web

from peerage.asab.contextvars import Authz, Tenant
from peerage.asab.log import LogObsolete

__all__ = ["AUTHORIZATION", "REQUIRES", "TENANT", "pass_arguments", "requiring"]

#: The attribute of a handler that asks who calls, and of one that isn't to be asked again.
REQUIRES: Final = "peerage_requires"
_PASSED: Final = "peerage_passed"

#: Arguments that handlers may take besides the request.
TENANT: Final = frozenset({"tenant"})
AUTHORIZATION: Final = frozenset({"user_info", "resources"})

_Route = web.AbstractRoute


def requiring(webapp: web.Application) -> list[str]:
    """Return the routes, ``GET /articles``, that ask who calls."""
    return sorted(
        {
            f"{method} {'' if route.resource is None else route.resource.canonical}"
            for route in webapp.router.routes()
            for method, handler in _handlers(route)
            if getattr(handler, REQUIRES, False)
        }
    )


def pass_arguments(webapp: web.Application, names: AbstractSet[str]) -> None:
    """Have handlers called with the arguments that they take.

    Args:
        webapp: the aiohttp application.
        names: some of TENANT and AUTHORIZATION; the latter are obsolete.
    """
    told = set()
    for route in webapp.router.routes():
        handler: Any = route.handler
        if isinstance(handler, type) or getattr(handler, _PASSED, False):
            continue
        taken = names & _parameters(handler)
        if not taken:
            continue
        if taken & AUTHORIZATION and handler not in told:  # for GET, it is for HEAD as well
            told.add(handler)
            LogObsolete.warning(
                "%s takes %s: ask asab.contextvars.Authz.get() instead",
                getattr(handler, "__qualname__", handler),
                " and ".join(sorted(taken & AUTHORIZATION)),
            )
        # As aiohttp has no other way to call a handler with more than the request.
        route._handler = _passing(handler, taken)  # noqa: SLF001


def _passing(handler: Any, taken: AbstractSet[str]) -> Any:
    @functools.wraps(handler)
    async def passing(request: web.Request) -> web.StreamResponse:
        answer: web.StreamResponse = await handler(request, **{name: _ARGUMENTS[name]() for name in taken})
        return answer

    setattr(passing, _PASSED, True)
    return passing


def _of_authz(ask: Callable[[Any], Any]) -> Any:
    authz = Authz.get(None)
    return None if authz is None else ask(authz)


_ARGUMENTS: Final[dict[str, Callable[[], Any]]] = {
    "tenant": lambda: Tenant.get(None),
    "user_info": lambda: _of_authz(lambda authz: authz.user_info()),
    "resources": lambda: _of_authz(lambda authz: authz._resources()),  # noqa: SLF001 - ours
}


def _parameters(handler: Any) -> set[str]:
    try:
        return {*inspect.signature(handler).parameters}
    except (TypeError, ValueError):
        return set()


def _handlers(route: _Route) -> Iterator[tuple[str, Any]]:
    handler: Any = route.handler
    while isinstance(handler, functools.partial):
        handler = handler.func
    if not isinstance(handler, type):
        yield route.method, handler
        return
    for method in hdrs.METH_ALL:
        if (found := getattr(handler, method.lower(), None)) is not None:
            yield method, found
