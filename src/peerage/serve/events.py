"""The changes of a view as server-sent events, for the page and for programs.

The first event is ``reset``: the status, the rows and the timeline, from which ``put``, ``gone``, ``status``
and ``timeline`` go on. A client that comes back with ``Last-Event-ID`` gets what it missed, or ``reset`` if
that isn't known any more. Each event is numbered within one run of this server.
"""

import asyncio
import secrets
from collections.abc import Awaitable, Callable
from typing import Final

from aiohttp import web

from peerage.records.text import as_json
from peerage.serve.feed import Event
from peerage.serve.view import View

#: Seconds without an event after which a comment is sent, so that a connection that broke is noticed.
HEARTBEAT: Final = 15.0

#: Seconds that a client has to take what was sent; one that is slower is cut off, and may come back.
PATIENCE: Final = 10.0

#: Milliseconds after which a browser connects again.
_RETRY: Final = 1000


class Events:
    """Serves the changes of *view* to at most *most* clients at a time; others are answered 503."""

    def __init__(self, view: View, *, most: int = 200) -> None:
        self._view = view
        self._most = most
        self._run = secrets.token_hex(4)
        self.clients = 0
        """Clients that are connected."""
        self.dropped = 0
        """Clients that were cut off because they were slow."""

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, until the client or the view ends."""
        if self.clients >= self._most:
            return web.json_response(
                {"error": f"{self._most} clients follow the changes already: try again later."},
                status=503,
                headers={"Retry-After": "5"},
            )
        response = web.StreamResponse(
            headers={"Content-Type": "text/event-stream; charset=utf-8", "Cache-Control": "no-store"}
        )
        self.clients += 1
        try:
            await response.prepare(request)
            if request.method != "HEAD":
                await self._send(request.headers.get("Last-Event-ID", ""), response.write)
        except TimeoutError:
            self.dropped += 1
            if request.transport is not None:
                request.transport.abort()
        finally:
            self.clients -= 1
        return response

    async def _send(self, last: str, write: Callable[[bytes], Awaitable[None]]) -> None:
        feed = self._view.feed
        number = self._number(last)
        await self._write(write, f"retry: {_RETRY}\n\n".encode())
        while not feed.closed:
            events = None if number is None else feed.after(number)
            if events is None:
                # Taken together, without waiting in between: what changes later is an event.
                number, data = feed.last, self._everything()
                await self._write(write, self._encode(Event(number, "reset", data)))
                continue
            assert number is not None  # noqa: S101 - then there are no events
            if events:
                await self._write(write, b"".join(map(self._encode, events)))
                number = events[-1].number
                continue
            try:
                async with asyncio.timeout(HEARTBEAT):
                    await feed.wait(number)
            except TimeoutError:
                await self._write(write, b": no change\n\n")

    @staticmethod
    async def _write(write: Callable[[bytes], Awaitable[None]], data: bytes) -> None:
        async with asyncio.timeout(PATIENCE):
            await write(data)

    def _everything(self) -> bytes:
        view = self._view
        moments = [moment.entry() for moment in view.timeline.moments()]
        return b'{"status":%b,"rows":[%b],"timeline":%b}' % (
            as_json(view.status()).encode(),
            b",".join(view.rows()),
            as_json(moments).encode(),
        )

    def _encode(self, event: Event) -> bytes:
        return b"id: %b-%d\nevent: %b\ndata: %b\n\n" % (
            self._run.encode(),
            event.number,
            event.kind.encode(),
            event.data,
        )

    def _number(self, last: str) -> int | None:
        """Return the number of the event that the client had last; None if this server didn't send it."""
        run, _, number = last.partition("-")
        return int(number) if run == self._run and number.isdecimal() and len(number) < 20 else None  # noqa: PLR2004 - longer isn't a number of ours
