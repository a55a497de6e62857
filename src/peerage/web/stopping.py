"""Stopping an aiohttp server without breaking a request.

``runner.cleanup()`` alone breaks uploads and WebSockets: once it has begun, aiohttp discards what arrives. So
the order is: take no new connections, wait until the bodies under way have arrived, then clean up. For a
response that doesn't end, ``cleanup()`` also waits twice as long as its limit, so it is broken off here.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable
from typing import Any, Final

from aiohttp import WSCloseCode, web
from aiohttp.typedefs import Handler

from peerage.serving.listeners import leave_to_others, stop_accepting
from peerage.serving.signals import QUIET, QUIET_SHARED, TIMEOUT, listed

log = logging.getLogger(__name__)

#: The share of the time limit after which responses are broken off. At the limit itself aiohttp stops waiting
#: for them, and an error would result if a handler ended at the same moment.
_EARLIER: Final = 0.95


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
        self._waited_for: dict[int, asyncio.Future[None]] = {}
        self._websockets: dict[int, web.WebSocketResponse] = {}
        self._under_way: dict[int, tuple[web.Request, asyncio.Task[Any]]] = {}
        self._limit: asyncio.Timeout | None = None

        @web.middleware
        async def follow(request: web.Request, handler: Handler) -> web.StreamResponse:
            # A clone of the request has the same writer.
            key = id(request.writer)
            self._received += 1
            self._waited_for[key] = asyncio.get_running_loop().create_future()
            task = asyncio.current_task()
            assert task is not None  # noqa: S101 - aiohttp runs each handler in a task
            self._under_way[key] = request, task
            try:
                return await handler(request)
            finally:
                self._under_way.pop(key, None)
                self._websockets.pop(key, None)
                self._done(key)

        app.middlewares.insert(0, follow)
        app.on_response_prepare.append(self._on_response_prepare)

    async def stop(
        self,
        runner: web.AppRunner,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - as finish()
        cleanup: Callable[[], Awaitable[None]] | None = None,
    ) -> None:
        """Finish the requests under way, as :meth:`finish` does, and clean up *runner*; also if cancelled.

        The cleanup tells responses that have begun to end, by ``on_shutdown``. They have *timeout* seconds
        for that and are broken off then. If this is cancelled, all requests are broken off at once.

        Args:
            runner: of the application.
            timeout: seconds that requests have to begin their response, and again to end it.
            cleanup: used instead of ``runner.cleanup()``, if more is to be done.
        """
        try:
            await self.finish(runner, timeout)
        except asyncio.CancelledError:
            self.break_off()
            raise
        finally:
            breaking_off = asyncio.get_running_loop().call_later(_EARLIER * timeout, self.break_off)
            try:
                await (cleanup or runner.cleanup)()
            finally:
                breaking_off.cancel()

    async def finish(
        self,
        runner: web.AppRunner | None = None,
        timeout: float = TIMEOUT,  # noqa: ASYNC109 - it is no error
        *,
        break_off: bool = True,
    ) -> None:
        """Take no new connections, close WebSockets with 1001, and wait for the requests under way.

        A request is waited for until its body has arrived and its response has begun, or its handler is done.
        What is still sent then is finished by ``runner.cleanup()``.

        Without a *runner* the server goes on listening, so that only the requests that are under way now are
        waited for, and its own stop must follow. If its supervisor has the listening sockets as well, as
        gunicorn has, connections are left to the other workers from now on, or to the next one.

        Args:
            runner: of the application.
            timeout: seconds that the requests have.
            break_off: whether to cancel the handlers of requests that take longer, and log it.
        """
        self.close_connections()
        if runner is None:
            quiet = QUIET_SHARED if leave_to_others() else 0
        else:
            await stop_listening(runner)
            if runner.server is None or not runner.server.connections:
                return
            quiet = QUIET
        try:
            async with asyncio.timeout(timeout) as self._limit:
                seen = -1
                while seen != self._received:
                    await self._finish_those_under_way()
                    if not quiet:
                        return
                    seen = self._received
                    await asyncio.sleep(quiet)
                    await self._finish_those_under_way()
        except TimeoutError:
            if break_off:
                self._cancel({*self._waited_for, *self._websockets})
        finally:
            self._limit = None

    def break_off(self) -> None:
        """Cancel the handlers of all requests under way, log it, and wait for nothing any more."""
        self._cancel(self._under_way)
        if self._limit is not None:
            self._limit.reschedule(asyncio.get_running_loop().time())

    def _cancel(self, keys: Iterable[int]) -> None:
        broken_off = [self._under_way.pop(key) for key in tuple(keys) if key in self._under_way]
        if broken_off:
            names = [f"{request.method} {request.rel_url.raw_path}" for request, _ in broken_off]
            log.warning("Requests are broken off because the server stops: %s", listed(names))
        for _, task in broken_off:
            task.cancel()

    async def _finish_those_under_way(self) -> None:
        sockets = [each for each in self._websockets.values() if each.prepared]
        requests = tuple(self._waited_for.values())
        await asyncio.gather(
            *(each.close(code=WSCloseCode.GOING_AWAY) for each in sockets),
            *(asyncio.shield(each) for each in requests),
        )

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
        waited_for = self._waited_for.pop(key, None)
        if waited_for is not None:
            waited_for.set_result(None)


async def stop_listening(runner: web.AppRunner) -> None:
    """Close the listening sockets, and hand over to *runner* what was accepted from them."""
    # It isn't documented. Without it, a connection that is accepted at this moment is dropped.
    servers = [getattr(each, "_server", None) for each in runner.sites]
    stop_accepting(each for each in servers if each is not None)
    # A connection that was accepted belongs to its server after this,
    await asyncio.sleep(0)
    for each in runner.sites:
        await each.stop()
    # and is one of the runner's after this.
    await asyncio.sleep(0)
