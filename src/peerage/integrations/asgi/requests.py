"""The requests of an ASGI application that are under way when its server is to stop."""

import asyncio
import logging
from typing import Final

from peerage.integrations.asgi.messages import START, App, Message, Receive, Scope, Send
from peerage.serving.signals import QUIET, listed

log = logging.getLogger(__name__)

_CONNECTION: Final = b"connection"
_CLOSE: Final = (_CONNECTION, b"close")


class RequestsUnderWay:
    """Follows the requests of *app*, so that they can be finished before its server stops.

    WebSockets aren't waited for, because they last as long as their clients want: servers close them at their
    end.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self.closing = False
        """Whether connections are closed after their response: clients make the next one elsewhere."""
        # By the identities of their scopes.
        self._under_way: dict[int, Scope] = {}
        self._waited_for: set[int] = set()
        self._received = 0
        self._finished = asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Hand a request to the application."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def close_connection(message: Message) -> None:
            # HTTP/2 has no such header.
            if self.closing and message["type"] == START and scope["http_version"] < "2":
                headers = [each for each in message.get("headers", ()) if each[0].lower() != _CONNECTION]
                message = {**message, "headers": [*headers, _CLOSE]}
            await send(message)

        self._received += 1
        key = id(scope)
        self._under_way[key] = scope
        try:
            await self._app(scope, receive, close_connection)
        finally:
            del self._under_way[key]
            if self._waited_for:
                self._waited_for.discard(key)
                if not self._waited_for:
                    self._finished.set()

    async def finish(self, timeout: float, *, arriving: bool = False) -> None:  # noqa: ASYNC109 - no error
        """Wait until those have ended that are under way now, at most *timeout* seconds.

        Args:
            timeout: seconds that they have.
            arriving: whether to wait as well for those that arrive until there are none for a moment.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._finish_those_under_way()
                seen = -1 if arriving else self._received
                while seen != self._received:
                    seen = self._received
                    await asyncio.sleep(QUIET)
                    await self._finish_those_under_way()
        except TimeoutError:
            left = [self._under_way[key] for key in self._waited_for]
            names = [f"{scope['method']} {scope['path']!a}" for scope in left]
            log.warning("Requests haven't ended in %g s, and the server stops: %s", timeout, listed(names))
        finally:
            self._waited_for = set()

    async def _finish_those_under_way(self) -> None:
        self._waited_for = set(self._under_way)
        if self._waited_for:
            self._finished.clear()
            await self._finished.wait()
