"""Authorization of an aiohttp server: everything needs a valid token unless it is marked otherwise.

::

    app = web.Application(middlewares=[authorize(discovery.auth.verifier(KEYS_URL))])

It is a middleware of the outermost application, so whatever that serves stands behind it: plain handlers,
class-based views, sub-applications, static files, WebSockets, and what isn't found.
"""

import functools
import json
import logging
import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, TypeVar

from aiohttp import hdrs, web

from peerage.auth.bearer import bearer_token, protocol_token
from peerage.auth.principal import Principal
from peerage.auth.reasons import Reason
from peerage.auth.verifier import Verifier
from peerage.errors import AccessDeniedError, KeysUnavailableError, TokenRefusedError

__all__ = [
    "PRINCIPAL",
    "authorize",
    "caller",
    "is_open",
    "mark_open",
    "noauth",
    "require",
    "require_superuser",
    "take_token",
    "unavailable",
]

log = logging.getLogger(__name__)

#: Who calls, as ``request[PRINCIPAL]``.
PRINCIPAL: Final = web.RequestKey("peerage_principal", Principal)

_caller: ContextVar[Principal | None] = ContextVar("peerage_caller", default=None)

_REALM: Final = "asab"
_MARK: Final = "__peerage_noauth__"

_Handler = Callable[..., Awaitable[web.StreamResponse]]
_Marked = TypeVar("_Marked", bound=Callable[..., Any])


def mark_open(handler: _Marked, mark: str) -> _Marked:
    """Set the attribute *mark* for :func:`is_open` to find."""
    target = getattr(handler, "__func__", handler)
    setattr(target, mark, target if isinstance(target, type) else True)
    return handler


def noauth(handler: _Marked) -> _Marked:
    """Mark a handler, a method of a view, or a view with all its methods, as open to everybody.

    A view that inherits from a marked one isn't marked, nor is a method that replaces a marked one. A
    decorator above this one must keep the mark, as ``functools.wraps`` does; else the handler stays closed.
    """
    return mark_open(handler, _MARK)


def caller() -> Principal:
    """Return who calls, in the task that handles a request.

    Raises:
        AccessDeniedError: nobody is known: the handler is marked ``noauth``, or there is no middleware.
    """
    principal = _caller.get()
    if principal is None:
        raise AccessDeniedError("Who calls isn't known here: no token was asked for.")
    return principal


def require(*resources: str) -> Callable[[_Handler], _Handler]:
    """Decorate a handler, or a method of a view, for callers who may use all of *resources* globally.

    Others get 403; so does everybody where the middleware isn't installed.

    Raises:
        ValueError: no resource is named.
    """
    if not resources:
        raise ValueError("Name at least one resource: @require('article:read').")
    return _guard(lambda principal: principal.require_resource_access(*resources))


def require_superuser(handler: _Handler) -> _Handler:
    """Decorate a handler, or a method of a view, for superusers; others get 403."""
    return _guard(Principal.require_superuser_access)(handler)


def _guard(check: Callable[[Principal], None]) -> Callable[[_Handler], _Handler]:
    def decorate(handler: _Handler) -> _Handler:
        told = False

        @functools.wraps(handler)
        async def guarded(*args: Any, **kwargs: Any) -> web.StreamResponse:
            nonlocal told
            principal = _caller.get()
            if principal is None:
                if not told:
                    told = True
                    log.error(
                        "%s asks what callers may do, and nobody told who they are: everybody gets 403. "
                        "Install the middleware, peerage.auth.web.authorize, and don't mark it with noauth.",
                        getattr(handler, "__qualname__", repr(handler)),
                    )
                return _forbidden(_REALM)
            check(principal)
            return await handler(*args, **kwargs)

        # What asks who calls can't be open to everybody.
        guarded.__dict__.pop(_MARK, None)
        return guarded

    return decorate


def authorize(verifier: Verifier, *, realm: str = _REALM) -> Callable[..., Awaitable[web.StreamResponse]]:
    """Return the middleware, to be the first of the outermost application's.

    It answers 401 without a valid token, 403 where the handler raises AccessDeniedError, and 503 with
    ``Retry-After`` while there are no keys to verify with; each with JSON ``{"result": …, "message": …}``.
    Why a token was refused stands in the log only. A WebSocket may carry it as protocol
    ``access_token_<jwt>``; the handler doesn't see that one among the protocols.

    Args:
        verifier: of the tokens.
        realm: named to those who are sent away.
    """

    @web.middleware
    async def middleware(request: web.Request, handler: _Handler) -> web.StreamResponse:
        if is_open(request):
            return await handler(request)
        token, request = take_token(request)
        try:
            principal = await verifier.verify(token)
        except TokenRefusedError:
            return _unauthorized(realm, asked=token is not None)
        except KeysUnavailableError as error:
            return web.Response(status=503, **unavailable(error))
        request[PRINCIPAL] = principal
        before = _caller.set(principal)
        try:
            return await handler(request)
        except (TokenRefusedError, AccessDeniedError) as error:
            if request.writer.output_size:
                # Too late for another answer, as in a WebSocket: aiohttp breaks the connection.
                raise
            denied = isinstance(error, AccessDeniedError)
            # A token refused here has expired meanwhile.
            verifier.refusals.note(Reason.DENIED if denied else Reason.EXPIRED, error)
            return _forbidden(realm) if denied else _unauthorized(realm, asked=True)
        finally:
            _caller.reset(before)

    return middleware


def is_open(request: web.Request, mark: str = _MARK) -> bool:
    """Tell whether what handles *request* is marked; what isn't found isn't."""
    match = request.match_info
    if match.http_exception is not None:
        return False
    handler: Any = match.handler
    while isinstance(handler, functools.partial) and getattr(handler, mark, None) is not True:
        handler = handler.func
    if isinstance(handler, type):
        # Its own mark, not that of a class it inherits from.
        if handler.__dict__.get(mark) is handler:
            return True
        handler = getattr(handler, request.method.lower(), None)
    return getattr(handler, mark, None) is True


def take_token(request: web.Request) -> tuple[str | None, web.Request]:
    """Return the token, and the request as its handler is to see it."""
    protocols = request.headers.get(hdrs.SEC_WEBSOCKET_PROTOCOL)
    if protocols is None or hdrs.AUTHORIZATION in request.headers:
        return bearer_token(request.headers), request
    token, others = protocol_token(", ".join(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL)))
    if token is None or request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
        return None, request
    headers = request.headers.copy()
    del headers[hdrs.SEC_WEBSOCKET_PROTOCOL]
    if others:
        headers[hdrs.SEC_WEBSOCKET_PROTOCOL] = others
    # aiohttp writes protocols that a handler doesn't speak into the log.
    return token, request.clone(headers=headers)


def _unauthorized(realm: str, *, asked: bool) -> web.Response:
    message = "The token isn't valid." if asked else "Send a token: Authorization: Bearer <token>."
    return web.Response(status=401, **_content("NOT-AUTHORIZED", message, _challenge(realm, "invalid_token")))


def _forbidden(realm: str) -> web.Response:
    message = "The token doesn't allow this."
    return web.Response(
        status=403, **_content("ACCESS-DENIED", message, _challenge(realm, "insufficient_scope"))
    )


def unavailable(error: KeysUnavailableError) -> dict[str, Any]:
    """Return what a 503 is made with, be it an answer or an exception."""
    retry_after = str(math.ceil(error.retry_after))
    return _content("ERROR", "Tokens can't be verified right now.", {hdrs.RETRY_AFTER: retry_after})


def _challenge(realm: str, error: str) -> dict[str, str]:
    return {hdrs.WWW_AUTHENTICATE: f'Bearer realm="{realm}", error="{error}"'}


def _content(result: str, message: str, headers: dict[str, str]) -> dict[str, Any]:
    body = json.dumps({"result": result, "message": message})
    return {"text": body, "content_type": "application/json", "headers": headers}
