"""Dependencies that let only callers with a valid token, and with some rights, reach an operation."""

from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Annotated

from fastapi import Depends, WebSocketException
from fastapi.requests import HTTPConnection
from fastapi.security import HTTPBearer

from peerage.auth.principal import Principal
from peerage.auth.verifier import Verifier
from peerage.errors import AccessDeniedError, TokenRefusedError
from peerage.integrations.asgi.messages import set_protocols, values
from peerage.integrations.fastapi.refusing import refused
from peerage.serving.authorization import (
    Guard,
    authenticate,
    current_caller,
    forbidden,
    is_open,
    noauth,
    read_token,
    refusal_of,
    required,
)
from peerage.serving.authorization import caller as known_caller
from peerage.serving.refusal import Refusal

__all__ = ["authorized", "caller", "noauth", "require", "require_superuser"]

#: The code with which a WebSocket is closed whose caller isn't allowed (RFC 6455, 7.4.1).
_POLICY_VIOLATION = 1008


class _Bearer(HTTPBearer):
    """Says in OpenAPI that an operation needs a token, which is read and verified elsewhere."""

    async def __call__(self, request: HTTPConnection) -> None:
        """Do nothing."""


_Documented = Annotated[None, Depends(_Bearer(scheme_name="Bearer"))]


def authorized(verifier: Verifier) -> Callable[..., AsyncIterator[Principal | None]]:
    """Return a dependency that lets only requests with a valid token reach an operation.

    Make it a dependency of the whole application. It answers 401 without a valid token, 403 where the
    operation raises AccessDeniedError, and 503 with ``Retry-After`` while there are no keys to verify with.
    Operations that are marked with :func:`noauth`, below the decorator of the route, are open to all callers.
    A WebSocket may carry the token as protocol ``access_token_<jwt>``, which its handler doesn't see.

    Args:
        verifier: ``discovery.auth.verifier(…)``.
    """

    async def authorize(
        connection: HTTPConnection, _documented: _Documented
    ) -> AsyncIterator[Principal | None]:
        scope = connection.scope
        if is_open(scope["endpoint"], scope.get("method", "GET")):
            yield None
            return
        token, others = read_token(values(scope, "Authorization"), scope.get("subprotocols") or ())
        principal = await authenticate(verifier, token)
        if isinstance(principal, Refusal):
            raise refused(principal)
        if others is not None:
            set_protocols(scope, others)
        current_caller.set(principal)
        try:
            yield principal
        except (TokenRefusedError, AccessDeniedError) as error:
            refusal = refusal_of(verifier, error)
            if scope["type"] == "websocket":
                raise WebSocketException(_POLICY_VIOLATION) from error
            raise refused(refusal) from error
        finally:
            current_caller.set(None)

    return authorize


async def caller(_documented: _Documented) -> Principal:
    """Return the caller, whose token was verified: a dependency.

    Raises:
        AccessDeniedError: the caller isn't known, because the operation is marked with :func:`noauth`, or
            the application has no :func:`authorized` and no middleware.
    """
    return known_caller()


def require(*resources: str) -> Callable[..., Awaitable[Principal]]:
    """Return a dependency that only callers with *resources* pass; others get 403.

    The token must allow all of them globally. The dependency returns the caller.

    Raises:
        ValueError: no resource is named.
    """
    return _guard(Guard(required(resources), f"require({', '.join(map(repr, resources))})"))


def _guard(guard: Guard) -> Callable[..., Awaitable[Principal]]:
    async def check(_documented: _Documented) -> Principal:
        if not guard.admits():
            raise refused(forbidden())
        return known_caller()

    return check


#: A dependency that only superusers pass; others get 403. It returns the caller.
require_superuser = _guard(Guard(Principal.require_superuser_access, "require_superuser"))
