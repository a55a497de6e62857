"""Which requests are answered: those whose Host header names this server, and that only read.

A page of another origin can make a browser send requests to loopback, under a host name of its own
(DNS rebinding), so the Host header must name this server. The browser then keeps the answers from that page.
"""

import ipaddress
import re
from collections.abc import Iterable
from typing import Final

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler, Middleware

from peerage.serve.answers import refuse

#: Sent with every answer.
HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Cross-Origin-Resource-Policy": "same-origin",
}

#: The value of a Host header (RFC 9110, section 7.2): the name or address, and a port.
_HOST: Final = re.compile(r"(?:\[([0-9a-f:.]+)\]|([^\s:/?#@\[\]]+?)\.?)(?::\d*)?", re.IGNORECASE)


def is_known(host: str | None, names: Iterable[str]) -> bool:
    """Tell whether the Host header names this server: localhost, a loopback address or one of *names*."""
    match = _HOST.fullmatch(host or "")
    if match is None:
        return False
    name = (match[1] or match[2]).lower()
    if name == "localhost" or name in {each.lower() for each in names}:
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def guard(names: Iterable[str] = ()) -> Middleware:
    """Return the middleware: 421 for another host than *names* and loopback, 405 unless it is GET or HEAD.

    The server's own errors, such as 404, become JSON as well.
    """
    known = tuple(names)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if not is_known(request.headers.get(hdrs.HOST), known):
            return refuse(421, "This server doesn't have that name: add it with --host-name.")
        if request.method not in {hdrs.METH_GET, hdrs.METH_HEAD}:
            return refuse(405, "Everything here is read only: use GET or HEAD.", Allow="GET, HEAD")
        try:
            return await handler(request)
        except web.HTTPNotFound:
            return refuse(404, "There is nothing at this path: the paths are listed in v1/openapi.json.")
        except web.HTTPClientError as error:
            return refuse(error.status, f"{error.reason}: the requests that work are in v1/openapi.json.")

    return middleware


async def add_headers(_request: web.Request, response: web.StreamResponse) -> None:
    """Add :data:`HEADERS`; a signal handler of ``on_response_prepare``, so that errors have them as well."""
    response.headers.update(HEADERS)
