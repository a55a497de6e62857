"""Which requests the page and the API answer: those that are meant for them, and only read.

A page of another origin can make a browser send requests to loopback, under a host name of its own
(DNS rebinding), so the Host header must name this server. The browser then keeps the answers from that page.
"""

import ipaddress
from collections.abc import Iterable
from urllib.parse import urlsplit

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

#: Sent with every answer.
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
}


def is_known(host: str | None, names: Iterable[str]) -> bool:
    """Tell whether the Host header names this server: localhost, a loopback address or one of *names*."""
    try:
        name = urlsplit(f"//{host}").hostname if host else None
    except ValueError:
        return False
    if name is None:
        return False
    if name == "localhost" or name in {each.lower() for each in names}:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def guard(names: Iterable[str] = ()) -> Middleware:
    """Return the middleware: 421 for another host than *names* and loopback, 405 unless it is GET or HEAD."""
    known = tuple(names)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_known(request.headers.get(hdrs.HOST), known):
            return _refuse(421, "This server doesn't have that name: add it with --host-name.")
        if request.method not in {hdrs.METH_GET, hdrs.METH_HEAD}:
            answer = _refuse(405, "Everything here is read only: use GET or HEAD.")
            answer.headers[hdrs.ALLOW] = "GET, HEAD"
            return answer
        return await handler(request)

    return middleware


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add :data:`HEADERS`; a signal handler of ``on_response_prepare``, so that errors have them as well."""
    response.headers.update(HEADERS)


def _refuse(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
