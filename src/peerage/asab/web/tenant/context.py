"""The step that finds the tenant of a request, before anything is allowed on its behalf."""

import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from aiohttp import web

from peerage.asab.contextvars import Tenant
from peerage.server import Handler, Middleware
from peerage.web.authorization import is_open, mark_open

__all__ = ["allow_no_tenant", "tenant_of_the_url"]

log = logging.getLogger("peerage.asab.web.tenant")

_ALLOWED: Final = "AllowNoTenant"
_NAME: Final = "tenant"

_Marked = TypeVar("_Marked", bound=Callable[..., Any])


def allow_no_tenant(handler: _Marked) -> _Marked:
    """Mark a handler as one that is also called without a tenant: ``Tenant.get()`` is None then."""
    return mark_open(handler, _ALLOWED)


def tenant_of_the_url(is_known: Callable[[str], Awaitable[bool]]) -> Middleware:
    """Return a middleware that sets ``Tenant``: ``{tenant}`` in the path of the route, else ``?tenant=``.

    404 if it is unknown, or there is none and the handler isn't marked; 400 if there are both.

    Args:
        is_known: tells whether there is such a tenant.
    """

    @web.middleware
    async def find_tenant(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.http_exception is not None:
            return await handler(request)
        tenant = _tenant(request)
        if tenant is None:
            # As in the original, views may do without.
            if not (isinstance(request.match_info.handler, type) or is_open(request, _ALLOWED)):
                raise web.HTTPNotFound(reason="Tenant not found.")
        elif not await is_known(tenant):
            log.info("There is no tenant %a", tenant)
            raise web.HTTPNotFound(reason="Tenant not found.")
        before = Tenant.set(tenant)
        try:
            return await handler(request)
        finally:
            Tenant.reset(before)

    return find_tenant


def _tenant(request: web.Request) -> str | None:
    in_path, in_query = request.match_info.get(_NAME), request.query.getall(_NAME, [])
    # Several would be several opinions of who it is.
    if len(in_query) + (in_path is not None) > 1:
        raise web.HTTPBadRequest(reason="Tenant query parameter not allowed.")
    return in_path if in_path is not None else in_query[0] if in_query else None
