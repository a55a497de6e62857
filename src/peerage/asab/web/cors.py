"""Cross-origin requests: what a browser asks before a page of another site may call."""

import re
from typing import Final

from aiohttp import web

__all__ = ["add_cors_headers", "preflight", "preflight_paths"]

_METHODS: Final = "GET, POST, DELETE, PUT, PATCH, OPTIONS"


def add_cors_headers(response: web.StreamResponse) -> None:
    """Let pages of every site read *response*, without cookies: browsers keep them from ``*``."""
    response.headers["Access-Control-Allow-Origin"] = "*"
    response.headers["Access-Control-Allow-Methods"] = _METHODS


def preflight_paths(text: str) -> list[str]:
    """Return the routes of ``cors_preflight_paths``: paths by commas or space, ``*`` for any rest."""
    return [path.replace("*", "{tail:.*}") for path in re.split(r"[,\s]+", text) if path]


async def preflight(request: web.Request) -> web.Response:
    """Answer the question before a request with headers of its own."""
    headers = {
        "Access-Control-Allow-Origin": request.headers.get("Origin", "*"),
        "Access-Control-Allow-Methods": "GET, POST, OPTIONS",
        "Access-Control-Allow-Headers": "X-PINGOTHER, Content-Type, Authorization",
        "Access-Control-Allow-Credentials": "true",
        "Access-Control-Max-Age": "86400",
    }
    return web.Response(status=204, headers=headers)


# Browsers ask without a token, and for no tenant.
preflight.NoAuth = preflight.AllowNoTenant = True  # type: ignore[attr-defined] # where those look
