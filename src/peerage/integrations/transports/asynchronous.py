"""Carries requests of an asynchronous client to services found by name, and others to another transport."""

import asyncio
from contextvars import ContextVar
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

import aiohttp
from yarl import URL

from peerage.client.authorize import InternalToken
from peerage.integrations.transports.bodies import InMemory, Streamed
from peerage.integrations.transports.failures import UnsupportedRequestError
from peerage.integrations.transports.fields import Head, InvalidRequestError, head_of
from peerage.integrations.transports.internal import INTERNAL
from peerage.records.names import is_logical

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable

    import httpx

    from peerage.calling import CallOptions
    from peerage.discovery import Discovery
    from peerage.integrations.transports.library import Library

#: The longest header of a response, in bytes; what httpx allows for all of them together.
_LONGEST_FIELD: Final = 100 * 1024

_SWITCHING_PROTOCOLS: Final = 101

_NO_UPGRADES: Final = (
    "Only http:// and https:// requests are carried to services in .asab, with the target that their URL "
    "says. For WebSockets use discovery.session().ws_connect(…)."
)

#: The head of the request that the current task sends.
_head: ContextVar[Head] = ContextVar("peerage_head")


def _send_as_given(
    request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
) -> "Awaitable[aiohttp.ClientResponse]":
    """Give *request* the head that httpx made, without what aiohttp adds: a middleware."""
    head = _head.get()
    request.headers.clear()
    request.headers.extend(head.fields)
    request.chunked = True if head.chunked else None
    return handler(request)


class AsyncCarrier:
    """Carries requests to hosts in ``.asab`` through a session of the Discovery, and others as usual.

    Args:
        library: the classes of httpx, or httpx2.
        discovery: finds the services.
        wrapped: carries requests to other hosts; by default ``AsyncHTTPTransport()``, made when needed.
        calls: how its calls deal with failures.
        tls: what aiohttp takes as ``ssl=``.
    """

    def __init__(
        self,
        library: "Library",
        discovery: "Discovery",
        wrapped: Any,
        calls: "CallOptions | None",
        tls: "ssl.SSLContext | bool",
    ) -> None:
        self._library = library
        self._discovery = discovery
        self._wrapped = wrapped
        self._calls = calls
        self._tls = tls
        self._session: aiohttp.ClientSession | None = None

    # The classes are those of the library.
    async def handle_async_request(self, request: Any) -> Any:
        """Return the response to *request*, of which the head has arrived.

        Raises:
            TransportError: of the library, see :class:`~peerage.integrations.transports.failures.Failures`.
        """
        if not is_logical(request.url.host):
            if self._wrapped is None:
                self._wrapped = self._library.AsyncHTTPTransport()
            return await self._wrapped.handle_async_request(request)
        failures = self._library.failures
        with failures.translated(request):
            response = await self.send(request, request.stream)
        return self._library.Response(
            response.status,
            headers=list(response.raw_headers),
            stream=self._library.AsyncReceived(response, failures, request, asyncio.get_running_loop()),
            extensions=extensions_of(response),
        )

    async def send(self, request: "httpx.Request", stream: Any) -> aiohttp.ClientResponse:
        """Send *request* to an instance, and return its response, of which the head has arrived.

        Args:
            request: to a host in ``.asab``.
            stream: its body: a ``ByteStream``, or an asynchronous iterable of bytes.
        """
        extensions = request.extensions
        limits = extensions.get("timeout", {})
        url, head = _url_of(request), _head_of(request)
        body = self._body_of(stream, head, limits.get("write"))
        token = _head.set(head)
        try:
            response = await self._open_session().request(
                request.method,
                url,
                data=body,
                allow_redirects=False,
                ssl=self._tls,
                server_hostname=extensions.get("sni_hostname") if url.scheme == "https" else None,
                timeout=_timeout(limits.get("connect"), limits.get("read"), limits.get("pool")),
            )
        except Exception:
            if body is not None and body.failure is not None:
                raise body.failure from None
            raise
        finally:
            _head.reset(token)
        if response.status == _SWITCHING_PROTOCOLS:
            response.close()
            raise UnsupportedRequestError(_NO_UPGRADES)
        return response

    async def aclose(self) -> None:
        """Close the session, and the transport for other hosts; may be called twice."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()
        if self._wrapped is not None:
            await self._wrapped.aclose()

    def forget(self) -> None:
        """End the session where nothing can be awaited, in any thread: the Discovery owns its connections."""
        session, self._session = self._session, None
        if session is not None:
            session.detach()

    def _open_session(self) -> aiohttp.ClientSession:
        session = self._session
        # If the Discovery has closed it, another one is refused with an error that says so.
        if session is None or session.closed:
            session = self._session = self._discovery.session(
                calls=self._calls,
                middlewares=(_send_as_given,),
                cookie_jar=aiohttp.DummyCookieJar(),
                auto_decompress=False,
                # All others are taken away by the middleware; this one is added later.
                skip_auto_headers=("Content-Type",),
                max_line_size=_LONGEST_FIELD,
                max_field_size=_LONGEST_FIELD,
            )
        return session

    def _body_of(self, stream: Any, head: Head, limit: float | None) -> InMemory | Streamed | None:
        if not isinstance(stream, self._library.ByteStream):
            return Streamed(stream, head.length, limit)
        body = b"".join(stream)
        if not head.chunked and (head.length or 0) != len(body):
            raise InvalidRequestError(
                f"The body has {len(body)} bytes, and its Content-Length is {head.length}: correct one of "
                "them."
            )
        return InMemory(body, limit) if body else None


def _url_of(request: "httpx.Request") -> URL:
    url = request.url
    if url.scheme not in {"http", "https"} or "target" in request.extensions:
        raise UnsupportedRequestError(_NO_UPGRADES)
    return URL.build(
        scheme=url.scheme,
        authority=url.netloc.decode("ascii"),
        # The query as well: yarl would leave the question mark of an empty one out.
        path=url.raw_path.decode("ascii"),
        encoded=True,
    )


def _head_of(request: "httpx.Request") -> Head:
    head = head_of(request.method, request.headers.raw)
    if request.extensions.get(INTERNAL):
        head.fields[:] = [
            (name, InternalToken(value) if name.lower() == "authorization" else value)
            for name, value in head.fields
        ]
    return head


@lru_cache(maxsize=64)
def _timeout(connect: float | None, read: float | None, pool: float | None) -> aiohttp.ClientTimeout:
    """Return the limits of an attempt, in seconds.

    aiohttp has one limit for waiting until a connection is free and for making one. So *pool* counts together
    with *connect*.
    """
    both = None if connect is None or pool is None else connect + pool
    return aiohttp.ClientTimeout(total=None, connect=both, sock_connect=connect, sock_read=read)


def extensions_of(response: aiohttp.ClientResponse) -> dict[str, Any]:
    """Return what httpx says about *response* besides its headers."""
    version = response.version
    return {
        "http_version": b"HTTP/1.0" if version is not None and version.minor == 0 else b"HTTP/1.1",
        "reason_phrase": (response.reason or "").encode("utf-8", "surrogateescape"),
    }
