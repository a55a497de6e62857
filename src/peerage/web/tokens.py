"""Where a request carries its token."""

from typing import Final

from aiohttp import hdrs, web

__all__ = ["take_token"]

#: A browser can't set headers of a WebSocket, only name protocols: one of them may be the token (ASAB).
_PREFIX: Final = "access_token_"


def take_token(request: web.Request) -> tuple[str | None, web.Request]:
    """Return the token of *request*, None if it has none, and the request as its handler shall see it.

    Several ``Authorization`` headers are joined as RFC 9110 says, section 5.2, and several protocols
    likewise: the result isn't a token, so it is refused.
    """
    authorization = request.headers.getall(hdrs.AUTHORIZATION, ())
    if authorization:
        scheme, _, token = ",".join(authorization).strip().partition(" ")  # RFC 6750
        return token.strip() or None if scheme.lower() == "bearer" else None, request
    if request.headers.get(hdrs.UPGRADE, "").lower() != "websocket":
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
