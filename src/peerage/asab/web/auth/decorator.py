"""Decorators of handlers that say which callers are allowed."""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from aiohttp import web

from peerage.asab.contextvars import Authz
from peerage.asab.exceptions import AccessDeniedError
from peerage.asab.web.lookup import REQUIRES
from peerage.serving.authorization import mark_open

#: The attribute of a handler that needs no token.
NOAUTH: Final = "NoAuth"

_Handler = Callable[..., Awaitable[web.StreamResponse]]
_Marked = TypeVar("_Marked", bound=Callable[..., Any])


def require(*resources: str) -> Callable[[_Handler], _Handler]:
    """Decorate a handler, or a method of a view, for callers who may use all of *resources*.

    Other callers get 403; without an AuthService, all callers do.

    Raises:
        TypeError: no resource is given, or one that isn't a text.
    """
    if not resources or not all(isinstance(each, str) for each in resources):
        raise TypeError('Name what is required: @asab.web.auth.require("article:read").')
    return _requiring(lambda authz: authz.require_resource_access(*resources))


def require_superuser(handler: _Handler) -> _Handler:
    """Decorate a handler, or a method of a view, for superusers; other callers get 403."""
    return _requiring(lambda authz: authz.require_superuser_access())(handler)


def noauth(handler: _Marked) -> _Marked:
    """Mark a handler, a method of a view, or a view with all its methods, as open to all callers."""
    return mark_open(handler, NOAUTH)


def _requiring(check: Callable[[Any], None]) -> Callable[[_Handler], _Handler]:
    def decorate(handler: _Handler) -> _Handler:
        @functools.wraps(handler)
        async def requiring_handler(*args: Any, **kwargs: Any) -> web.StreamResponse:
            authz = Authz.get(None)
            if authz is None:
                raise AccessDeniedError
            check(authz)
            return await handler(*args, **kwargs)

        # A handler that requires authorization can't be open.
        requiring_handler.__dict__.pop(NOAUTH, None)
        setattr(requiring_handler, REQUIRES, True)
        return requiring_handler

    return decorate
