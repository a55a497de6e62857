"""Authorization for a server of aiohttp: a request needs a valid token unless its handler is marked open.

::

    app = web.Application(middlewares=[authorize(discovery.auth.verifier(KEYS_URL))])

It is a middleware of the outermost application, so it protects everything that the application serves: plain
handlers, class-based views, sub-applications, static files, WebSockets, and paths that don't exist.
"""

import functools
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import hdrs, web

from peerage.auth.principal import Principal
from peerage.auth.verifier import Verifier
from peerage.errors import AccessDeniedError, TokenRefusedError
from peerage.serving.authorization import (
    NOAUTH,
    Guard,
    authenticate,
    caller,
    current_caller,
    forbidden,
    name_of,
    noauth,
    read_token,
    refusal_of,
    required,
)
from peerage.serving.authorization import is_open as handler_is_open
from peerage.serving.refusal import Refusal
from peerage.web.refusing import answer
from peerage.web.upgrade import is_websocket

__all__ = [
    "PRINCIPAL",
    "authorize",
    "caller",
    "is_open",
    "noauth",
    "require",
    "require_superuser",
    "take_token",
]

#: The caller, as ``request[PRINCIPAL]``.
PRINCIPAL: Final = web.RequestKey("peerage_principal", Principal)

_Handler = Callable[..., Awaitable[web.StreamResponse]]


def require(*resources: str) -> Callable[[_Handler], _Handler]:
    """Return a decorator of a handler, or of a method of a view, that only callers with *resources* may call.

    The token must allow all of them globally. Other callers get 403, and so do all callers where the
    middleware isn't installed.

    Raises:
        ValueError: no resource is named.
    """
    return _guard(required(resources))


def require_superuser(handler: _Handler) -> _Handler:
    """Decorate a handler, or a method of a view, that only superusers may call; other callers get 403."""
    return _guard(Principal.require_superuser_access)(handler)


def _guard(check: Callable[[Principal], None]) -> Callable[[_Handler], _Handler]:
    def decorate(handler: _Handler) -> _Handler:
        guard = Guard(check, name_of(handler))

        @functools.wraps(handler)
        async def guarded(*args: Any, **kwargs: Any) -> web.StreamResponse:
            if not guard.admits():
                return answer(forbidden())
            return await handler(*args, **kwargs)

        # A handler that requires rights can't be open to every caller.
        guarded.__dict__.pop(NOAUTH, None)
        return guarded

    return decorate


def authorize(verifier: Verifier) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return the middleware; it must be the first one of the outermost application.

    It answers 401 without a valid token, 403 where the handler raises AccessDeniedError, and 503 with
    ``Retry-After`` while there are no keys to verify with; each with JSON ``{"result": …, "message": …}``.
    The reason for a refusal is logged, not returned to the caller. A WebSocket may carry the token as
    protocol ``access_token_<jwt>``, which the handler doesn't see among the protocols.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if is_open(request):
            return await handler(request)
        token, request = take_token(request)
        principal = await authenticate(verifier, token)
        if isinstance(principal, Refusal):
            return answer(principal)
        request[PRINCIPAL] = principal
        before = current_caller.set(principal)
        try:
            return await handler(request)
        except (TokenRefusedError, AccessDeniedError) as error:
            if request.writer.output_size:
                # Another answer can't follow the one that was begun, as in a WebSocket: aiohttp closes the
                # connection.
                raise
            return answer(refusal_of(verifier, error))
        finally:
            current_caller.reset(before)

    return middleware


def take_token(request: web.Request) -> tuple[str | None, web.Request]:
    """Return the token of *request*, None if it has none, and the request as its handler shall see it."""
    headers = request.headers
    protocols = headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ()) if is_websocket(request) else ()
    token, others = read_token(headers.getall(hdrs.AUTHORIZATION, ()), protocols)
    if others is None:
        return token, request
    changed = headers.copy()
    del changed[hdrs.SEC_WEBSOCKET_PROTOCOL]
    if others:
        changed[hdrs.SEC_WEBSOCKET_PROTOCOL] = ", ".join(others)
    # aiohttp logs protocols that a handler doesn't support, so the token must not be among them.
    return token, request.clone(headers=changed)


def is_open(request: web.Request, mark: str = NOAUTH) -> bool:
    """Tell whether the handler of *request* has the attribute *mark*; a path that doesn't exist is closed."""
    match = request.match_info
    return match.http_exception is None and handler_is_open(match.handler, request.method, mark)
