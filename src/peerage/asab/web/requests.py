"""The requests that a web container handles now, and how it finishes them at the end."""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from aiohttp import web

from peerage.asab.contextvars import Request
from peerage.web.handlers import Handler, Middleware

__all__ = ["Requests", "close", "finish"]

log = logging.getLogger("peerage.asab.web")

#: Seconds that requests under way have at the end before services are finalized beside them.
_HEAD_START: Final = 3.0

#: Seconds that they have from then on: as long as aiohttp gives to handlers.
_GRACE: Final = 60.0

#: Seconds without a new request, after which no kept connection is about to bring one.
_QUIET: Final = 0.1


class Requests:
    """Counts the requests that aren't answered yet, and makes each known to its handler.

    A WebSocket, or a response sent in pieces, counts until it begins: it may last as long as the service.
    """

    def __init__(self) -> None:
        self._unanswered: dict[int, asyncio.Task[object] | None] = {}
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
            self._unanswered[id(request.writer)] = asyncio.current_task()
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
        """Note that *response* is about to be sent; a signal of an aiohttp application."""
        if self._closing and not isinstance(response, web.WebSocketResponse):
            response.headers["Connection"] = "close"
            response.force_close()
        self._done(request)

    def close_connections(self) -> None:
        """From now on, close each connection after its response: the client's next one goes elsewhere."""
        self._closing = True

    async def finished(self, seconds: float, *, quiet: float = 0) -> bool:
        """Wait until all are answered and none came for *quiet* seconds; False after *seconds*."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                seen = -1
                while seen != self._count:
                    await self._none.wait()
                    seen = self._count
                    await asyncio.sleep(quiet)
                    await self._none.wait()
                return True
        return False

    def cancel(self) -> None:
        """Cancel the handlers of requests that aren't answered."""
        for task in self._unanswered.values():
            if task is not None:
                task.cancel()

    def _done(self, request: web.Request) -> None:
        self._unanswered.pop(id(request.writer), None)
        if not self._unanswered:
            self._none.set()


async def close(runner: web.AppRunner, requests: Requests) -> None:
    """Stop accepting connections, and give the requests under way a head start before services finalize."""
    for site in tuple(runner.sites):
        await site.stop()
    if runner.server is not None and runner.server.connections:
        await requests.finished(_HEAD_START, quiet=_QUIET)


async def finish(requests: Requests) -> None:
    """Wait for the requests under way, uploads included; cancel those that last too long.

    The runner's cleanup comes after that, because it discards what arrives of an upload.
    """
    if not await requests.finished(_GRACE):
        log.warning("Requests that weren't answered %g s after the stop are cancelled", _GRACE)
        requests.cancel()
