"""The middleware that authorizes the requests of a session: to services found by name, and to nobody else."""

import logging
from collections.abc import Awaitable, Callable
from typing import Final

import aiohttp
from aiohttp import hdrs

from peerage.records.names import is_logical

__all__ = ["Authorize"]

log = logging.getLogger(__name__)

#: Hosts about which the log has been told, at most: a crawler meets any number.
_TOLD: Final = 256


class Authorize:
    """An aiohttp client middleware that adds an ``Authorization`` header to requests to ``.asab`` hosts.

    The header is asked for at each request, so a session may be open for longer than a token lives. Whatever
    the caller says itself, by ``headers=`` or ``auth=``, goes out instead, to any host. Where a request is
    redirected to is a host like any other.

    Args:
        header: returns the value of the header for the host asked; None: there is none. What it raises
            reaches the caller.
        told: hosts for which the log has the warning that there is none; shared by several of these.
    """

    def __init__(self, header: Callable[[str], Awaitable[str | None]], told: set[str] | None = None) -> None:
        self._header = header
        self._told: set[str] = set() if told is None else told

    async def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> aiohttp.ClientResponse:
        """Send *request*, authorized if that is for us to do."""
        headers = request.headers
        if hdrs.AUTHORIZATION in headers:
            return await handler(request)
        host = request.url.host or ""
        if not is_logical(host):
            self._tell(host)
            return await handler(request)
        value = await self._header(host)
        if value is None:
            return await handler(request)
        headers[hdrs.AUTHORIZATION] = value
        try:
            return await handler(request)
        finally:
            # A middleware outside may send it again, with a newer one; and errors show headers in the log.
            headers.popall(hdrs.AUTHORIZATION, None)

    def _tell(self, host: str) -> None:
        if host in self._told or len(self._told) >= _TOLD:
            return
        self._told.add(host)
        log.warning(
            "No authorization is sent to %s: it goes to services found by name (.asab) only. "
            "If that host is to have one, send it with headers={'Authorization': …}.",
            ascii(host),
        )
