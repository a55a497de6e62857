"""Stopping an aiohttp server without breaking a request.

``runner.cleanup()`` alone breaks uploads and WebSockets: once it has begun, aiohttp discards what arrives. So
the order is: take no new connections, wait until the bodies under way have arrived, then clean up.
"""

import asyncio
from contextlib import suppress
from typing import Final

from aiohttp import WSCloseCode, web
from aiohttp.typedefs import Handler

#: Seconds that requests under way have, by default; as much as aiohttp gives handlers in ``cleanup()``.
TIMEOUT: Final = 60.0

#: Seconds without a new request after which none is on its way over a connection that was kept open.
_QUIET: Final = 0.1


class GracefulStop:
    """Follows the requests of an aiohttp application, so that its server can stop without breaking one.

    ::

        app = web.Application()
        graceful = GracefulStop(app)
        …
        await registration.drain()
        await graceful.stop(runner)

    *app* is the outermost application, before it is started; its first middleware is then this one's.
    """

    def __init__(self, app: web.Application) -> None:
        self._stopping = False
        self._received = 0
        self._waited_for: set[int] = set()
        self._none = asyncio.Event()
        self._none.set()
        self._websockets: dict[int, web.WebSocketResponse] = {}

        @web.middleware
        async def follow(request: web.Request, handler: Handler) -> web.StreamResponse:
            # A clone of the request has the same writer.
            key = id(request.writer)
            self._received += 1
            self._waited_for.add(key)
            self._none.clear()
            try:
                return await handler(request)
            finally:
                self._websockets.pop(key, None)
                self._done(key)

        app.middlewares.insert(0, follow)
        app.on_response_prepare.append(self._on_response_prepare)

    async def stop(self, runner: web.AppRunner, timeout: float = TIMEOUT) -> None:  # noqa: ASYNC109 - as finish()
        """Finish the requests under way, as :meth:`finish` does, and clean up *runner*; also if cancelled."""
        try:
            await self.finish(runner, timeout)
        finally:
            await runner.cleanup()

    async def finish(self, runner: web.AppRunner, timeout: float = TIMEOUT) -> None:  # noqa: ASYNC109 - it is no error
        """Take no new connections, close WebSockets with 1001, and wait for the requests under way.

        A request is waited for until its body has arrived and its response has begun, or its handler is done.
        What is still sent then is finished by ``runner.cleanup()``. After *timeout* seconds no more requests
        are waited for.
        """
        self.close_connections()
        for site in tuple(runner.sites):
            await site.stop()
        if runner.server is None or not runner.server.connections:
            return
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                seen = -1
                while seen != self._received:
                    open_ones = [each for each in self._websockets.values() if each.prepared]
                    await asyncio.gather(*(each.close(code=WSCloseCode.GOING_AWAY) for each in open_ones))
                    await self._none.wait()
                    seen = self._received
                    await asyncio.sleep(_QUIET)
                    await self._none.wait()

    def close_connections(self) -> None:
        """From now on, close each connection after its response: clients make the next one elsewhere."""
        self._stopping = True

    async def _on_response_prepare(self, request: web.Request, response: web.StreamResponse) -> None:
        key = id(request.writer)
        if isinstance(response, web.WebSocketResponse):
            self._websockets[key] = response
        elif self._stopping:
            response.headers["Connection"] = "close"
            response.force_close()
        # A handler may begin to answer while it still reads.
        if request.content.is_eof():
            self._done(key)

    def _done(self, key: int) -> None:
        self._waited_for.discard(key)
        if not self._waited_for:
            self._none.set()
