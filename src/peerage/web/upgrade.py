"""Requests that become a connection of another kind."""

from aiohttp import hdrs, web


def is_websocket(request: web.Request) -> bool:
    """Tell whether *request* is the handshake of a WebSocket."""
    return request.headers.get(hdrs.UPGRADE, "").lower() == "websocket"
