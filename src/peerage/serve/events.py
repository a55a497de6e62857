"""The changes of a view as server-sent events, for the page and for programs.

The first event is ``reset``: the status, the rows and the timeline, from which ``put``, ``gone``, ``status``
and ``timeline`` go on. A client that comes back with the header ``Last-Event-ID``, or ``?last_event_id=``,
gets what it missed, or ``reset`` if that isn't known any more. When it knows everything, and from time to
time, it gets a ``status`` without an id, so that it can tell a quiet cluster from a connection that broke.
"""

import asyncio
from collections.abc import Iterable
from itertools import takewhile
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from peerage.records.text import as_json
from peerage.serve.answers import refuse
from peerage.serve.feed import Feed
from peerage.serve.sending import abort, pieces, send, separated
from peerage.serve.view import View

#: Seconds without an event after which ``status`` is sent.
HEARTBEAT: Final = 15.0

#: Milliseconds after which a browser connects again.
_RETRY: Final = 1000

#: A new client gets an earlier state if the events since are at most this part of it in size, 1/4.
_SHARE: Final = 4


class _Reset(NamedTuple):
    """What a new client gets: everything, as it was at one event of the feed."""

    number: int
    """Of that event."""
    pieces: list[bytes]
    good_until: int
    """The size of the feed up to which it is sent, followed by the events since."""


class Events:
    """Serves the changes of *view* to at most *most* clients at a time; others are answered 503."""

    def __init__(self, view: View, *, most: int = 200) -> None:
        self._view = view
        self._most = most
        self._requests: dict[int, web.Request] = {}
        self._reset: _Reset | None = None
        self._ended = False
        self.dropped = 0
        """Clients that were disconnected because they were slow."""

    @property
    def clients(self) -> int:
        """Clients that are connected."""
        # A handler that waits for an event notices only then that its client has gone. A copy, as metrics are
        # made in a thread.
        return sum(request.transport is not None for request in tuple(self._requests.values()))

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, until the client, the view or the application ends."""
        if self._over:
            return refuse(503, "This server ends: connect again later.", retry_after=5)
        if len(self._requests) >= self._most and self.clients >= self._most:
            return refuse(
                503, f"{self._most} clients follow the changes already: try again later.", retry_after=5
            )
        response = web.StreamResponse(
            headers={
                hdrs.CONTENT_TYPE: "text/event-stream; charset=utf-8",
                hdrs.CACHE_CONTROL: "no-store",
                "X-Accel-Buffering": "no",  # nginx would keep events back
            }
        )
        self._requests[id(request)] = request
        try:
            await response.prepare(request)
            if request.method != hdrs.METH_HEAD:
                last = request.headers.get("Last-Event-ID") or request.query.get("last_event_id", "")
                await self._follow(response, last)
        except TimeoutError:
            self.dropped += 1
            abort(request)
        except ConnectionError:
            pass  # the client has left: a page was closed
        finally:
            del self._requests[id(request)]
        return response

    async def end(self, _app: web.Application | None = None) -> None:
        """End all answers; for ``on_shutdown``, since the server would wait for them."""
        self._ended = True
        self._view.feed.wake()
        for request in self._requests.values():
            # One that doesn't read what it was sent would be waited for.
            if request.transport is not None and request.transport.get_write_buffer_size():
                abort(request)

    @property
    def _over(self) -> bool:
        return self._ended or self._view.feed.closed

    async def _send(self, response: web.StreamResponse, parts: Iterable[bytes]) -> None:
        # A client may begin, and never read, at the moment when the server ends.
        await send(response, takewhile(lambda _: not self._over, parts))

    async def _follow(self, response: web.StreamResponse, last: str) -> None:
        feed = self._view.feed
        number = feed.number(last)
        await send(response, [f"retry: {_RETRY}\n\n".encode()])
        told = False
        while not self._over:
            events = None if number is None else feed.after(number)
            if events is None:
                reset = self._everything()
                number = reset.number
                await self._send(response, reset.pieces)
            elif events:
                await self._send(response, (event.text for event in events))
                number = events[-1].number
            elif not told:
                told = True
                status = as_json(self._view.status())
                await send(response, [f"event: status\ndata: {status}\n\n".encode()])
            else:
                told = await _wait(feed)

    def _everything(self) -> _Reset:
        """Return where a new client begins: not the latest state, if few events lead from an earlier one."""
        feed, reset = self._view.feed, self._reset
        # Clients that come one after the other share it, so that 200 of them don't need 200 copies.
        if reset is not None and feed.after(reset.number) is not None and feed.size <= reset.good_until:
            return reset
        # Taken together, without waiting in between: what changes later is an event.
        number, timeline = feed.last, self._view.timeline.entries()
        parts = (
            feed.begin(number, "reset"),
            b'{"status":%b,"rows":[' % as_json(self._view.status()).encode(),
            *separated(self._view.rows()),
            b'],"timeline":[',
            *separated(timeline),
            b"]}\n\n",
        )
        enough = sum(map(len, parts)) // _SHARE
        self._reset = _Reset(number, list(pieces(parts)), feed.size + enough)
        return self._reset


async def _wait(feed: Feed) -> bool:
    """Wait until there may be events; return False if there was none for a while."""
    try:
        async with asyncio.timeout(HEARTBEAT):
            await feed.wait()
    except TimeoutError:
        return False
    return True
