"""Authorization for a server of aiohttp: a request needs a valid token unless its handler is marked open.

::

    app = web.Application(middlewares=[authorize(discovery.auth.verifier(KEYS_URL))])

It is a middleware of the outermost application, so it protects everything that the application serves: plain
handlers, class-based views, sub-applications, static files, WebSockets, and paths that don't exist.
"""

import functools
import json
import logging
import math
from collections.abc import Awaitable, Callable
from contextvars import ContextVar
from typing import Any, Final, TypeVar, cast

from aiohttp import hdrs, web

from peerage.auth.principal import Principal
from peerage.auth.refusals import Reason
from peerage.auth.verifier import Verifier
from peerage.errors import AccessDeniedError, KeysUnavailableError, TokenRefusedError
from peerage.web.upgrade import is_websocket

log = logging.getLogger(__name__)

#: The caller, as ``request[PRINCIPAL]``.
PRINCIPAL: Final = web.RequestKey("peerage_principal", Principal)

_caller: ContextVar[Principal | None] = ContextVar("peerage_caller", default=None)

_MARK: Final = "__peerage_noauth__"

#: A browser can't set headers of a WebSocket, only name protocols: one of them may be the token (ASAB).
_PREFIX: Final = "access_token_"

_Handler = Callable[..., Awaitable[web.StreamResponse]]
_Marked = TypeVar("_Marked", bound=Callable[..., Any])


def mark_open(handler: _Marked, mark: str) -> _Marked:
    """Set the attribute *mark* on *handler*, for :func:`is_open` to find, and return *handler*."""
    target = getattr(handler, "__func__", handler)
    setattr(target, mark, target if isinstance(target, type) else True)
    return handler


def noauth(handler: _Marked) -> _Marked:
    """Return *handler* marked as open to every caller: a function, a method of a view, or a whole view.

    The argument itself isn't marked: ``noauth(handler)`` at one route leaves other routes of the same handler
    closed. Neither a class that inherits from a marked view nor a method that replaces a marked one is open.
    A decorator above this one must keep the mark, as ``functools.wraps`` does; else the handler stays closed.
    """
    if isinstance(handler, type):
        names = ("__module__", "__qualname__", "__doc__")
        view = type(handler.__name__, (handler,), {name: getattr(handler, name) for name in names})
        return cast("_Marked", mark_open(view, _MARK))

    @functools.wraps(handler)
    async def marked(*args: Any, **kwargs: Any) -> web.StreamResponse:
        return cast("web.StreamResponse", await handler(*args, **kwargs))

    return cast("_Marked", mark_open(marked, _MARK))


def caller() -> Principal:
    """Return the caller of the request that this task handles.

    Raises:
        AccessDeniedError: the caller isn't known, because the handler is marked ``noauth`` or there is no
            middleware.
    """
    principal = _caller.get()
    if principal is None:
        raise AccessDeniedError("The caller isn't known here: this handler is open, so no token is verified.")
    return principal


def require(*resources: str) -> Callable[[_Handler], _Handler]:
    """Return a decorator of a handler, or of a method of a view, that only callers with *resources* may call.

    The token must allow all of them globally. Other callers get 403, and so do all callers where the
    middleware isn't installed.

    Raises:
        ValueError: no resource is named.
    """
    if not resources:
        raise ValueError("Name at least one resource: @require('article:read').")
    return _guard(lambda principal: principal.require_resource_access(*resources))


def require_superuser(handler: _Handler) -> _Handler:
    """Decorate a handler, or a method of a view, that only superusers may call; other callers get 403."""
    return _guard(Principal.require_superuser_access)(handler)


def _guard(check: Callable[[Principal], None]) -> Callable[[_Handler], _Handler]:
    def decorate(handler: _Handler) -> _Handler:
        warned = False

        @functools.wraps(handler)
        async def guarded(*args: Any, **kwargs: Any) -> web.StreamResponse:
            nonlocal warned
            principal = _caller.get()
            if principal is None:
                if not warned:
                    warned = True
                    log.error(
                        "%s requires rights, but the caller isn't known, so all callers get 403. "
                        "Install the middleware peerage.web.authorize, and don't mark it with noauth.",
                        getattr(handler, "__qualname__", repr(handler)),
                    )
                return _forbidden()
            check(principal)
            return await handler(*args, **kwargs)

        # A handler that requires rights can't be open to every caller.
        guarded.__dict__.pop(_MARK, None)
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
        try:
            principal = await verifier.verify(token)
        except TokenRefusedError:
            return _unauthorized(sent=token is not None)
        except KeysUnavailableError as error:
            return web.Response(status=503, **unavailable(error))
        request[PRINCIPAL] = principal
        before = _caller.set(principal)
        try:
            return await handler(request)
        except (TokenRefusedError, AccessDeniedError) as error:
            if request.writer.output_size:
                # Another answer can't follow the one that was begun, as in a WebSocket: aiohttp closes the
                # connection.
                raise
            denied = isinstance(error, AccessDeniedError)
            # A token that is refused now has expired since it was verified.
            verifier.refusals.note(Reason.DENIED if denied else Reason.EXPIRED, error)
            return _forbidden() if denied else _unauthorized(sent=True)
        finally:
            _caller.reset(before)

    return middleware


def take_token(request: web.Request) -> tuple[str | None, web.Request]:
    """Return the token of *request*, None if it has none, and the request as its handler shall see it.

    Several ``Authorization`` headers are joined as RFC 9110 says, section 5.2, and several protocols
    likewise: the result isn't a token, so it is refused.
    """
    authorization = request.headers.getall(hdrs.AUTHORIZATION, ())
    if authorization:
        scheme, _, token = ",".join(authorization).strip().partition(" ")  # RFC 6750
        return token.strip() or None if scheme.lower() == "bearer" else None, request
    if not is_websocket(request):
        return None, request
    protocols = ",".join(request.headers.getall(hdrs.SEC_WEBSOCKET_PROTOCOL, ())).split(",")
    names = [name.strip() for name in protocols]
    token = ",".join(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))
    if not token:
        return None, request
    headers = request.headers.copy()
    del headers[hdrs.SEC_WEBSOCKET_PROTOCOL]
    others = ", ".join(name for name in names if not name.startswith(_PREFIX))
    if others:
        headers[hdrs.SEC_WEBSOCKET_PROTOCOL] = others
    # aiohttp logs protocols that a handler doesn't support, so the token must not be among them.
    return token, request.clone(headers=headers)


def is_open(request: web.Request, mark: str = _MARK) -> bool:
    """Tell whether the handler of *request* has the attribute *mark*; a path that doesn't exist is closed."""
    match = request.match_info
    if match.http_exception is not None:
        return False
    handler: Any = match.handler
    while isinstance(handler, functools.partial) and getattr(handler, mark, None) is not True:
        handler = handler.func
    if isinstance(handler, type):
        # The mark of this very class, not one that it inherits.
        if handler.__dict__.get(mark) is handler:
            return True
        handler = getattr(handler, request.method.lower(), None)
    return getattr(handler, mark, None) is True


def _unauthorized(*, sent: bool) -> web.Response:
    message = "The token isn't valid." if sent else "Send a token: Authorization: Bearer <token>."
    return _refusal(401, "NOT-AUTHORIZED", message, "invalid_token")


def _forbidden() -> web.Response:
    return _refusal(403, "ACCESS-DENIED", "The token doesn't allow this.", "insufficient_scope")


def _refusal(status: int, result: str, message: str, error: str) -> web.Response:
    headers: dict[str, str] = {hdrs.WWW_AUTHENTICATE: f'Bearer realm="asab", error="{error}"'}
    return web.Response(status=status, **_content(result, message, headers))


def unavailable(error: KeysUnavailableError) -> dict[str, Any]:
    """Return the keyword arguments of a 503, for a response or an exception of aiohttp."""
    retry_after = str(math.ceil(error.retry_after))
    return _content("ERROR", "Tokens can't be verified right now.", {hdrs.RETRY_AFTER: retry_after})


def _content(result: str, message: str, headers: dict[str, str]) -> dict[str, Any]:
    body = json.dumps({"result": result, "message": message})
    return {"text": body, "content_type": "application/json", "headers": headers}
