"""The requests that a web container handles now."""

import asyncio
from contextlib import suppress
from typing import Final

from aiohttp import web

from peerage.asab.contextvars import Request
from peerage.server import Handler, Middleware

__all__ = ["Requests", "finish"]

#: Seconds that requests under way have at the end before services are finalized, which goes on beside them.
_GRACE: Final = 3.0

#: Seconds without a request, after which none is on its way any more over connections that were kept.
_QUIET: Final = 0.1


class Requests:
    """Counts the requests that aren't answered yet, and makes each known to what handles it.

    A WebSocket, or a response sent in pieces, counts until it begins: it may go on as long as the service.
    """

    def __init__(self) -> None:
        self._unanswered: set[int] = set()
        self._none = asyncio.Event()
        self._none.set()
        self._closing = False
        self._count = 0
        self.middleware = self._make_middleware()
        """The middleware that counts."""

    def _make_middleware(self) -> Middleware:
        @web.middleware
        async def count(request: web.Request, handler: Handler) -> web.StreamResponse:
            # By the writer, which a clone of the request shares.
            self._unanswered.add(id(request.writer))
            self._count += 1
            self._none.clear()
            token = Request.set(request)
            try:
                return await handler(request)
            finally:
                Request.reset(token)
                self._done(request)

        return count

    async def on_response_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        """Take note that *response* is about to be sent; a signal of an aiohttp application."""
        if self._closing and not isinstance(response, web.WebSocketResponse):
            response.headers["Connection"] = "close"
            response.force_close()
        self._done(request)

    def close_connections(self) -> None:
        """From now on, close each connection after its answer: the client makes the next one elsewhere."""
        self._closing = True

    async def finished(self, seconds: float, *, quiet: float) -> None:
        """Wait until all are answered and none came for *quiet* seconds; at most *seconds*."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                seen = -1
                while seen != self._count:
                    await self._none.wait()
                    seen = self._count
                    await asyncio.sleep(quiet)
                    await self._none.wait()

    def _done(self, request: web.Request) -> None:
        self._unanswered.discard(id(request.writer))
        if not self._unanswered:
            self._none.set()


async def finish(runner: web.AppRunner, requests: Requests) -> None:
    """Take no new connections, and give *requests* under way some time."""
    for site in tuple(runner.sites):
        await site.stop()
    if runner.server is not None and runner.server.connections:
        await requests.finished(_GRACE, quiet=_QUIET)
