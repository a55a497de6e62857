"""Decorators of handlers: who may call them."""

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from aiohttp import web

from peerage.asab.contextvars import Authz
from peerage.asab.exceptions import AccessDeniedError
from peerage.asab.web.routes import REQUIRES
from peerage.web.authorization import mark_open

__all__ = ["NOAUTH", "noauth", "require", "require_superuser"]

#: The attribute that says that a handler needs no token.
NOAUTH: Final = "NoAuth"

#: Arguments of handlers that say something about who calls.
_OF_CALLERS: Final = {"authz", "resources", "user_info"}

_Handler = Callable[..., Awaitable[web.StreamResponse]]
_Marked = TypeVar("_Marked", bound=Callable[..., Any])


def require(*resources: str) -> Callable[[_Handler], _Handler]:
    """Decorate a handler, or a method of a view, for callers who may use all of *resources*.

    Others get 403, and so does everybody where no AuthService is installed.

    Raises:
        TypeError: no resource is named, or something that isn't a text.
    """
    if not resources or not all(isinstance(each, str) for each in resources):
        raise TypeError('Name what is required: @asab.web.auth.require("article:read").')
    return _asking(lambda authz: authz.require_resource_access(*resources))


def require_superuser(handler: _Handler) -> _Handler:
    """Decorate a handler, or a method of a view, for superusers; others get 403."""
    return _asking(lambda authz: authz.require_superuser_access())(handler)


def noauth(handler: _Marked) -> _Marked:
    """Mark a handler, a method of a view, or a view with all its methods, as open to everybody.

    Raises:
        TypeError: it takes an argument that says who calls.
    """
    taken = _OF_CALLERS & {*inspect.signature(handler).parameters}
    if taken:
        raise TypeError(
            f"{handler.__qualname__}() is marked noauth, so there is nothing for its argument "
            f"{min(taken)!r}: leave one of them out."
        )
    return mark_open(handler, NOAUTH)


def _asking(check: Callable[[Any], None]) -> Callable[[_Handler], _Handler]:
    def decorate(handler: _Handler) -> _Handler:
        @functools.wraps(handler)
        async def asking(*args: Any, **kwargs: Any) -> web.StreamResponse:
            authz = Authz.get(None)
            if authz is None:
                raise AccessDeniedError
            check(authz)
            return await handler(*args, **kwargs)

        # What asks who calls can't be open to everybody.
        asking.__dict__.pop(NOAUTH, None)
        setattr(asking, REQUIRES, True)
        return asking

    return decorate
