"""Authorizing the requests to a server: tokens, refusals, and what handlers ask about their caller."""

import functools
import inspect
import json
import logging
import math
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from typing import Any, Final, TypeVar, cast

from peerage.auth.principal import Principal
from peerage.auth.refusals import Reason
from peerage.auth.verifier import Verifier
from peerage.errors import AccessDeniedError, KeysUnavailableError, TokenRefusedError
from peerage.serving.refusal import Refusal

log = logging.getLogger(__name__)

#: The caller of the request that the current task handles; set by a middleware.
current_caller: ContextVar[Principal | None] = ContextVar("peerage_caller", default=None)

#: The attribute of a handler that needs no token.
NOAUTH: Final = "__peerage_noauth__"

#: A browser can't set headers of a WebSocket, only name protocols: one of them may be the token (ASAB).
_PREFIX: Final = "access_token_"

_Handler = TypeVar("_Handler", bound=Callable[..., Any])


def read_token(
    authorization: Sequence[str], protocols: Sequence[str] = ()
) -> tuple[str | None, list[str] | None]:
    """Return the token of a request, and the protocols of a WebSocket that its handler may see.

    Several ``Authorization`` headers are joined as RFC 9110 says, section 5.2, and several protocols
    likewise: the result isn't a token, so it is refused.

    Args:
        authorization: the values of the header.
        protocols: those of ``Sec-WebSocket-Protocol`` if the request is the handshake of a WebSocket.

    Returns:
        The token, None if there is none; and the protocols without it, None if it isn't one of them.
    """
    if authorization:
        scheme, _, token = ",".join(authorization).strip().partition(" ")  # RFC 6750
        return token.strip() or None if scheme.lower() == "bearer" else None, None
    if not protocols:
        return None, None
    names = [name.strip() for name in ",".join(protocols).split(",")]
    token = ",".join(name.removeprefix(_PREFIX) for name in names if name.startswith(_PREFIX))
    if not token:
        return None, None
    return token, [name for name in names if not name.startswith(_PREFIX)]


# Refusals


async def authenticate(verifier: Verifier, token: str | None) -> Principal | Refusal:
    """Return the caller that *token* identifies, or the refusal of its request."""
    try:
        return await verifier.verify(token)
    except TokenRefusedError:
        return unauthorized(sent=token is not None)
    except KeysUnavailableError as error:
        return unavailable(error)


def refusal_of(verifier: Verifier, error: TokenRefusedError | AccessDeniedError) -> Refusal:
    """Return the refusal of a request whose handler raised *error*, and note it."""
    denied = isinstance(error, AccessDeniedError)
    # A token that is refused now has expired since it was verified.
    verifier.refusals.note(Reason.DENIED if denied else Reason.EXPIRED, error)
    return forbidden() if denied else unauthorized(sent=True)


def unauthorized(*, sent: bool) -> Refusal:
    """Return the refusal of a request without a valid token; *sent*: whether it has another one."""
    message = "The token isn't valid." if sent else "Send a token: Authorization: Bearer <token>."
    return _refusal(401, "NOT-AUTHORIZED", message, _challenge("invalid_token"))


def forbidden() -> Refusal:
    """Return the refusal of a request that its token doesn't allow."""
    return _refusal(403, "ACCESS-DENIED", "The token doesn't allow this.", _challenge("insufficient_scope"))


def unavailable(error: KeysUnavailableError) -> Refusal:
    """Return the refusal of requests while there are no keys to verify with."""
    headers = {"Retry-After": str(math.ceil(error.retry_after))}
    return _refusal(503, "ERROR", "Tokens can't be verified right now.", headers)


def _challenge(error: str) -> dict[str, str]:
    return {"WWW-Authenticate": f'Bearer realm="asab", error="{error}"'}


def _refusal(status: int, result: str, message: str, headers: dict[str, str]) -> Refusal:
    body = json.dumps({"result": result, "message": message})
    return Refusal(status, headers, body, "application/json")


# What handlers ask


def caller() -> Principal:
    """Return the caller of the request that this task or thread handles.

    Raises:
        AccessDeniedError: the caller isn't known, because the handler is marked ``noauth`` or there is no
            middleware.
    """
    principal = current_caller.get()
    if principal is None:
        raise AccessDeniedError("The caller isn't known here: this handler is open, so no token is verified.")
    return principal


class Guard:
    """What a handler requires of its callers.

    Args:
        check: raises AccessDeniedError or TokenRefusedError for a caller who isn't allowed.
        name: what it protects, for the log.
    """

    def __init__(self, check: Callable[[Principal], None], name: str) -> None:
        self._check = check
        self._name = name
        self._warned = False

    def admits(self) -> bool:
        """Check the caller of the current request; False if it isn't known, which is logged once.

        Raises:
            AccessDeniedError: the caller isn't allowed to call.
            TokenRefusedError: the token has expired.
        """
        principal = current_caller.get()
        if principal is None:
            if not self._warned:
                self._warned = True
                log.error(
                    "%s requires rights, but the caller isn't known, so all callers are refused. "
                    "Install the middleware authorize, and don't mark it with noauth.",
                    self._name,
                )
            return False
        self._check(principal)
        return True


def name_of(handler: Any) -> str:
    """Return the name of a handler, for the log."""
    return str(getattr(handler, "__qualname__", repr(handler)))


def required(resources: Sequence[str]) -> Callable[[Principal], None]:
    """Return the check of a :class:`Guard` that callers have *resources*.

    Raises:
        ValueError: no resource is named.
    """
    if not resources:
        raise ValueError("Name at least one resource: @require('article:read').")
    return lambda principal: principal.require_resource_access(*resources)


# Open handlers


def noauth(handler: _Handler) -> _Handler:
    """Return *handler* marked as open to every caller: a function, a method of a view, or a whole view.

    The argument itself isn't marked: ``noauth(handler)`` at one route leaves other routes of the same handler
    closed. Neither a class that inherits from a marked view nor a method that replaces a marked one is open.
    A decorator above this one must keep the mark, as ``functools.wraps`` does; else the handler stays closed.
    """
    if isinstance(handler, type):
        names = ("__module__", "__qualname__", "__doc__")
        view = type(handler.__name__, (handler,), {name: getattr(handler, name) for name in names})
        return cast("_Handler", mark_open(view, NOAUTH))
    return mark_open(wrapped(handler), NOAUTH)


def wrapped(handler: _Handler, before: Callable[[], None] = lambda: None) -> _Handler:
    """Return a function that calls *before* and then *handler*; a coroutine function if *handler* is one."""
    if inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__):

        @functools.wraps(handler)
        async def waiting(*args: Any, **kwargs: Any) -> Any:
            before()
            return await handler(*args, **kwargs)

        return cast("_Handler", waiting)

    @functools.wraps(handler)
    def returning(*args: Any, **kwargs: Any) -> Any:
        before()
        return handler(*args, **kwargs)

    return cast("_Handler", returning)


def mark_open(handler: _Handler, mark: str) -> _Handler:
    """Set the attribute *mark* on *handler*, for :func:`is_open` to find, and return *handler*."""
    target = getattr(handler, "__func__", handler)
    setattr(target, mark, target if isinstance(target, type) else True)
    return handler


def is_open(handler: Any, method: str, mark: str = NOAUTH) -> bool:
    """Tell whether *handler*, or its method for the HTTP method, has the attribute *mark*."""
    while isinstance(handler, functools.partial) and getattr(handler, mark, None) is not True:
        handler = handler.func
    if isinstance(handler, type):
        # The mark of this very class, not one that it inherits.
        if handler.__dict__.get(mark) is handler:
            return True
        handler = getattr(handler, method.lower(), None)
    return getattr(handler, mark, None) is True


# Handlers of frameworks that have no routes here


def require(*resources: str) -> Callable[[_Handler], _Handler]:
    """Return a decorator of a handler that only callers with *resources* may call.

    It raises AccessDeniedError for other callers, which the middleware ``authorize`` answers with 403. The
    handler may be a coroutine function or one that runs in a thread.

    Raises:
        ValueError: no resource is named.
    """
    return _guard(required(resources))


def require_superuser(handler: _Handler) -> _Handler:
    """Decorate a handler that only superusers may call; other callers get 403."""
    return _guard(Principal.require_superuser_access)(handler)


def _guard(check: Callable[[Principal], None]) -> Callable[[_Handler], _Handler]:
    def decorate(handler: _Handler) -> _Handler:
        guard = Guard(check, name_of(handler))

        def before() -> None:
            if not guard.admits():
                raise AccessDeniedError("The caller isn't known here, and the handler requires rights.")

        guarded = wrapped(handler, before)
        # A handler that requires rights can't be open to every caller.
        vars(guarded).pop(NOAUTH, None)
        return guarded

    return decorate
