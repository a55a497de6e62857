"""Carries requests of a synchronous client to services found by name, and others to another transport."""

import asyncio
import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from peerage.errors import RegistryClosedError
from peerage.integrations.transports.asynchronous import AsyncCarrier, extensions_of
from peerage.integrations.transports.pump import Pump
from peerage.records.names import is_logical

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable
    from concurrent.futures import Future

    import aiohttp
    import httpx

    from peerage.calling import CallOptions
    from peerage.discovery import Discovery
    from peerage.integrations.portal import Portal
    from peerage.integrations.transports.library import Library


class Synchronous(Protocol):
    """A Discovery in another thread, such as :class:`peerage.sync.Discovery`."""

    @property
    def portal(self) -> "Portal[Discovery]":
        """Runs coroutines in that thread."""
        ...


class SyncCarrier:
    """Carries requests to hosts in ``.asab`` by way of the loop in another thread, and others as usual.

    Args:
        library: the classes of httpx, or httpx2.
        discovery: finds the services.
        wrapped: carries requests to other hosts; by default ``HTTPTransport()``, made when needed.
        calls: how its calls deal with failures.
        tls: what aiohttp takes as ``ssl=``.
    """

    def __init__(
        self,
        library: "Library",
        discovery: Synchronous,
        wrapped: Any,
        calls: "CallOptions | None",
        tls: "ssl.SSLContext | bool",
    ) -> None:
        # By process: a forked child can't use the connections of its parent, and must not close them.
        self._carriers: dict[int, AsyncCarrier] = {}
        self._library = library
        self._portal = discovery.portal
        self._wrapped = wrapped
        self._calls = calls
        self._tls = tls
        self._others: dict[int, httpx.HTTPTransport] = {}

    def __del__(self) -> None:
        # httpx doesn't insist on a Client being closed, and aiohttp would log an error for its session.
        for carrier in self._carriers.values():
            carrier.forget()

    # The classes are those of the library.
    def handle_request(self, request: Any) -> Any:
        """Return the response to *request*, of which the head has arrived.

        Raises:
            TransportError: of the library, see :class:`~peerage.integrations.transports.failures.Failures`.
        """
        if not is_logical(request.url.host):
            return self._other().handle_request(request)
        stream, meanwhile = request.stream, None
        if not isinstance(stream, self._library.ByteStream):
            pump = Pump(stream)
            stream, meanwhile = pump.chunks(), pump.serve
        with self._library.failures.translated(request):
            sending = self._send(self._portal.get(), request, stream, meanwhile)
            response, received = self._portal.run(sending, meanwhile)
        return self._library.Response(
            response.status,
            headers=list(response.raw_headers),
            stream=received,
            extensions=extensions_of(response),
        )

    def close(self) -> None:
        """Close the session and the other transport of this process; may be called twice."""
        process = os.getpid()
        carrier = self._carriers.pop(process, None)
        if carrier is not None:
            # The portal has closed everything if it is closed.
            with suppress(RegistryClosedError):
                self._portal.run(carrier.aclose())
        other = self._others.pop(process, self._wrapped)
        if other is not None:
            other.close()

    async def _send(
        self,
        discovery: "Discovery",
        request: "httpx.Request",
        stream: Any,
        meanwhile: "Callable[[Future[Any]], None] | None",
    ) -> "tuple[aiohttp.ClientResponse, Any]":
        """Return the response and its body; in the loop."""
        process = os.getpid()
        carrier = self._carriers.get(process)
        if carrier is None:
            carrier = AsyncCarrier(self._library, discovery, None, self._calls, self._tls)
            self._carriers[process] = carrier
        response = await carrier.send(request, stream)
        content = response.content
        # It ends the request if it is collected, because the caller was interrupted at this moment.
        received = self._library.SyncReceived(
            *(response, self._library.failures, request, asyncio.get_running_loop()),
            whole=content.read_nowait() if content.is_eof() and content.exception() is None else None,
            # A service may answer before it has received the body.
            run=partial(self._portal.run, meanwhile=meanwhile),
        )
        return response, received

    def _other(self) -> Any:
        if self._wrapped is not None:
            return self._wrapped
        process = os.getpid()
        other = self._others.get(process)
        return other or self._others.setdefault(process, self._library.HTTPTransport())
