"""The changes of a view as server-sent events, for the page and for programs.

The first event is ``reset``: the status, the rows and the timeline, from which ``put``, ``gone``, ``status``
and ``timeline`` go on. A client that comes back with the header ``Last-Event-ID``, or ``?last_event_id=``,
gets what it missed, or ``reset`` if that isn't known any more. When it knows everything, and from time to
time, it gets a ``status`` without an id, so that it can tell a quiet cluster from a connection that broke.
"""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final, NamedTuple

from aiohttp import hdrs, web

from peerage.records.text import as_json
from peerage.serve.answers import refuse
from peerage.serve.feed import Feed
from peerage.serve.view import View

#: Seconds without an event after which ``status`` is sent.
HEARTBEAT: Final = 15.0

#: Seconds that a client has to take what it is sent; one that is slower is cut off, and may come back.
PATIENCE: Final = 30.0

#: Milliseconds after which a browser connects again.
_RETRY: Final = 1000

#: Bytes that are written at once: what the process keeps in memory for a client that takes nothing.
_PIECE: Final = 1 << 16


class _Reset(NamedTuple):
    """What a new client gets: everything, as it was at one event of the feed."""

    number: int
    """Of that event."""
    size: int
    """Bytes of the feed up to it."""
    pieces: list[bytes]


class Events:
    """Serves the changes of *view* to at most *most* clients at a time; others are answered 503."""

    def __init__(self, view: View, *, most: int = 200) -> None:
        self._view = view
        self._most = most
        self._requests: set[web.Request] = set()
        self._reset: _Reset | None = None
        self._ended = False
        self.dropped = 0
        """Clients that were cut off because they were slow."""

    @property
    def clients(self) -> int:
        """Clients that are connected."""
        # A handler that waits for an event notices only then that its client has gone.
        return sum(request.transport is not None for request in self._requests)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer a request, until the client, the view or the application ends."""
        if self._view.feed.closed or self._ended:
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
        self._requests.add(request)
        try:
            await response.prepare(request)
            if request.method != hdrs.METH_HEAD:
                last = request.headers.get("Last-Event-ID") or request.query.get("last_event_id", "")
                await self._follow(response, last)
        except TimeoutError:
            self.dropped += 1
            _abort(request)
        finally:
            self._requests.discard(request)
        return response

    async def end(self, _app: web.Application | None = None) -> None:
        """End all answers; for ``on_shutdown``, since the server would wait for them."""
        self._ended = True
        self._view.feed.wake()
        for request in self._requests:
            # One that doesn't read what it was sent would be waited for.
            if request.transport is not None and request.transport.get_write_buffer_size():
                _abort(request)

    async def _follow(self, response: web.StreamResponse, last: str) -> None:
        feed = self._view.feed
        number = feed.number(last)
        await _send(response, [f"retry: {_RETRY}\n\n".encode()])
        told = False
        while not (feed.closed or self._ended):
            events = None if number is None else feed.after(number)
            if events is None:
                number, _, pieces = self._everything()
                await _send(response, pieces)
            elif events:
                await _send(response, (event.text for event in events))
                number = events[-1].number
            elif not told:
                told = True
                status = as_json(self._view.status())
                await _send(response, [f"event: status\ndata: {status}\n\n".encode()])
            else:
                told = await _wait(feed)

    def _everything(self) -> _Reset:
        """Return where a new client begins: not the latest state, if few events lead from an earlier one."""
        feed, reset = self._view.feed, self._reset
        if reset is not None and feed.after(reset.number) is not None:
            # Clients that come one after the other share it, so that 200 of them don't need 200 copies.
            if feed.size - reset.size <= sum(map(len, reset.pieces)) / 4:
                return reset
        # Taken together, without waiting in between: what changes later is an event.
        number, timeline = feed.last, self._view.timeline.entries()
        self._reset = _Reset(
            number,
            feed.size,
            list(
                _pieces(
                    (
                        feed.begin(number, "reset"),
                        b'{"status":%b,"rows":[' % as_json(self._view.status()).encode(),
                        *_separated(self._view.rows()),
                        b'],"timeline":[',
                        *_separated(timeline),
                        b"]}\n\n",
                    )
                )
            ),
        )
        return self._reset


async def _wait(feed: Feed) -> bool:
    """Wait until there may be events; return False if there was none for a while."""
    try:
        async with asyncio.timeout(HEARTBEAT):
            await feed.wait()
    except TimeoutError:
        return False
    return True


async def _send(response: web.StreamResponse, parts: Iterable[bytes]) -> None:
    """Write *parts*; raises TimeoutError if the client doesn't take them in time."""
    async with asyncio.timeout(PATIENCE):
        for piece in _pieces(parts):
            await response.write(piece)


def _pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Put small *parts* together into pieces that are written at once, and divide large ones."""
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= _PIECE:
            whole = b"".join(waiting)
            yield from (whole[start : start + _PIECE] for start in range(0, len(whole), _PIECE))
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def _separated(values: list[bytes]) -> Iterator[bytes]:
    """Yield JSON values as the items of a list."""
    for index, value in enumerate(values):
        yield b"," + value if index else value


def _abort(request: web.Request) -> None:
    if request.transport is not None:
        request.transport.abort()
