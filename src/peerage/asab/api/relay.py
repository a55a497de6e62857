"""Hands the authorization of the request being handled on to the services that are called for it."""

import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION

if TYPE_CHECKING:
    from peerage.asab.ports import Framework

__all__ = ["authorization_of"]

log = logging.getLogger("peerage.asab.api")


def authorization_of(auth: Any, framework: "Framework", told: set[str]) -> str | None:
    """Return the Authorization header that *auth* stands for, None if there is none to be handed on.

    Args:
        auth: None for the request that is being handled, if there is one; or a request.
        framework: has that request, and knows whether its token was verified.
        told: reasons for which it was said that there is none.

    Raises:
        ValueError: *auth* is something else, or a request without that header.
    """
    if auth is None:
        return _of_the_request_being_handled(framework, told)
    if isinstance(auth, web.Request):
        header = auth.headers.get(AUTHORIZATION)
        if header is None:
            raise ValueError(
                "session(auth=request): this request has no Authorization header to be handed on. Leave auth "
                "out if it is to be called without."
            )
        return header
    raise ValueError(
        f"session(auth={type(auth).__name__}): write a request of aiohttp.web, whose authorization is handed "
        'on, "internal", or nothing. Whatever else is to be sent goes into headers=.'
    )


def _of_the_request_being_handled(framework: "Framework", told: set[str]) -> str | None:
    authz, request = framework.contextvars.Authz.get(None), framework.contextvars.Request.get(None)
    # A token that was verified goes before what the client said.
    token = getattr(authz, "IdToken", None)
    header: str | None
    if token is None:
        header = None if request is None else request.headers.get(AUTHORIZATION)
    else:
        header = f"Bearer {token}"
    if header is None:
        return None
    if authz is None and framework.unverified:
        reason = "nobody has verified it, as in a handler that is marked noauth"
    elif getattr(authz, "Internal", False):
        reason = "it is that of a service, a superuser's, which speaks for itself only"
    else:
        return header
    if reason not in told:
        told.add(reason)
        log.warning(
            "The authorization of the request being handled isn't handed on: %s. If it is meant to be, write "
            "session(auth=request); if this service may call by itself, session(auth='internal')",
            reason,
        )
    return None
