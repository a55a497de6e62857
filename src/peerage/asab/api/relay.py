"""Relays the authorization of the request being handled to the services that its handler calls."""

import logging
from typing import TYPE_CHECKING, Any

from aiohttp import web
from aiohttp.hdrs import AUTHORIZATION

if TYPE_CHECKING:
    from peerage.asab.api.framework import Framework

__all__ = ["authorization_of"]

log = logging.getLogger("peerage.asab.api")


def authorization_of(auth: Any, framework: "Framework", warned: set[str]) -> str | None:
    """Return the Authorization header to send for *auth*, None if there is none.

    Args:
        auth: a request; or None for the request being handled, if there is one.
        framework: has the request being handled, and knows whether its token was verified.
        warned: reasons for which a warning was logged.

    Raises:
        ValueError: *auth* is something else, or a request without that header.
    """
    if auth is None:
        return _of_the_request_being_handled(framework, warned)
    if isinstance(auth, web.Request):
        header = auth.headers.get(AUTHORIZATION)
        if header is None:
            raise ValueError(
                "session(auth=request): this request has no Authorization header to relay. Leave auth out to "
                "call without authorization."
            )
        return header
    raise ValueError(
        f"session(auth={type(auth).__name__}): give a request of aiohttp.web, whose authorization is sent, "
        '"internal", or nothing. Use headers= to send another Authorization header.'
    )


def _of_the_request_being_handled(framework: "Framework", warned: set[str]) -> str | None:
    authz, request = framework.contextvars.Authz.get(None), framework.contextvars.Request.get(None)
    # A verified token takes precedence over the header of the request.
    token = getattr(authz, "IdToken", None)
    header: str | None
    if token is None:
        header = None if request is None else request.headers.get(AUTHORIZATION)
    else:
        header = f"Bearer {token}"
    if header is None:
        return None
    if authz is None and framework.unverified:
        reason = "it wasn't verified, as in a handler that is marked noauth"
    elif getattr(authz, "Internal", False):
        reason = "it is the internal token of another service, which has the rights of a superuser"
    else:
        return header
    if reason not in warned:
        warned.add(reason)
        log.warning(
            "The authorization of the request being handled isn't relayed: %s. Use session(auth=request) to "
            "relay it anyway, or session(auth='internal') to call as this service",
            reason,
        )
    return None
