"""A middleware: the deadline and the retry mark of a request apply to the calls of its handler."""

from typing import TYPE_CHECKING

from peerage.calling.deadline import TIMEOUT_MS, Deadline
from peerage.calling.retried import RETRY
from peerage.calling.retry import SAFE
from peerage.integrations.asgi.messages import App, Receive, Response, Scope, Send, first, refuse, values
from peerage.serving.propagation import (
    TOO_LATE,
    GivenUpError,
    Inherited,
    in_time,
    read_inherited,
    unless_late,
)

if TYPE_CHECKING:
    import asyncio


def propagate(app: App, *, only_safe: bool = False) -> App:
    """Return *app* with a middleware that applies the deadline and the retry mark of a request.

    They mean what :func:`peerage.web.propagate` says, and apply until the response is complete: background
    tasks of Starlette, which run after that, aren't affected. When the deadline passes, the application is
    cancelled and the answer is 504; if a response has begun, it is broken off. A function that a framework
    runs in a thread can't be cancelled: its result is dropped, and its calls fail.

    Args:
        app: the application.
        only_safe: cancel only GET, HEAD, OPTIONS and TRACE, for programs that weren't written with
            cancellation in mind. The calls of other handlers still fail once the deadline has passed, and
            then the answer is 504 instead of 500.
    """

    async def take_over(scope: Scope, receive: Receive, send: Send) -> None:
        inherited = None
        if scope["type"] == "http":
            inherited = read_inherited(values(scope, TIMEOUT_MS), first(scope, RETRY))
        if inherited is None:
            await app(scope, receive, send)
            return
        with inherited:
            limit = inherited.deadline
            if limit is None:
                await app(scope, receive, Response(send, on_end=inherited.release).send)
                return
            cancel = not only_safe or scope["method"] in SAFE
            await _Request(send, inherited, limit, cancel=cancel).run(app, scope, receive)

    return take_over


class _Request:
    """One request with a deadline."""

    def __init__(self, send: Send, inherited: Inherited, limit: Deadline, *, cancel: bool) -> None:
        self._send = send
        self._inherited = inherited
        self._limit = limit
        self._cancel = cancel
        self._timer: asyncio.Timeout | None = None

    async def run(self, app: App, scope: Scope, receive: Receive) -> None:
        response = Response(self._send, refusal_of=self._inherited.replacement, on_end=self._on_end)
        try:
            if self._cancel:
                async with in_time(self._limit) as self._timer:
                    await app(scope, receive, response.send)
            else:
                with unless_late(self._limit):
                    await app(scope, receive, response.send)
        except GivenUpError:
            if response.status is None:
                await refuse(self._send, TOO_LATE)
            # Else 504 can't be sent any more. Servers close the connection of a response that is incomplete
            # when the application returns; an exception they would also log, with a traceback.

    def _on_end(self) -> None:
        """Let background tasks, which run after the response, go on."""
        self._inherited.release(self._timer)
