"""A server middleware: the deadline and the retry mark of a request apply to the calls of its handler."""

import asyncio
import time
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from peerage.calling.deadline import TIMEOUT_MS, Deadline, begin, current_deadline, read_timeout
from peerage.calling.retried import RETRY, RetriedRequest, current_retried
from peerage.calling.retry import SAFE
from peerage.deadlines import enforced
from peerage.errors import DeadlineExceededError
from peerage.web.upgrade import is_websocket

_TEXT: Final = "The deadline of the request has passed, so the request was given up.\n"


def propagate(*, only_safe: bool = False) -> Middleware:
    """Return a middleware that applies the deadline and the retry mark of a request to its handler.

    ::

        app = web.Application(middlewares=[propagate(), …])

    The deadline of the caller (:func:`peerage.deadline`, header ``Peerage-Timeout-Ms``) becomes the deadline
    of the handler, and the services that the handler calls get the time that is left. When the deadline
    passes, the handler is cancelled and the answer is 504; if a response has begun, the connection is closed.
    If the request is a retry (header ``Peerage-Retry``), the calls of its handler are not retried.

    Both apply until the handler has returned, also in tasks that it starts. Tasks that outlive the handler
    are free of them from then on. A WebSocket has no deadline, because it outlives its handshake.
    :func:`run_app` installs this middleware.

    Any client can send the header, and so shorten its own request. To protect work that must not be
    interrupted, run it in :func:`asyncio.shield`, or let the proxy in front of the cluster remove the header.

    Args:
        only_safe: cancel only the handlers of GET, HEAD, OPTIONS and TRACE, for programs that weren't written
            with cancellation in mind. The calls of other handlers still fail once the deadline has passed.
    """

    @web.middleware
    async def take_over(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers
        seconds = read_timeout(headers.getall(TIMEOUT_MS)) if TIMEOUT_MS in headers else None
        is_retry = headers.get(RETRY) == "1"
        if seconds is None and not is_retry:
            return await handler(request)
        if is_websocket(request):
            return await handler(request)
        outer, outer_retried = current_deadline.get(), current_retried.get()
        limit = begin(seconds, time.monotonic())
        retried = RetriedRequest() if is_retry else outer_retried
        current_deadline.set(limit)
        current_retried.set(retried)
        try:
            if limit is None or limit is outer:
                return await handler(request)
            if only_safe and request.method not in SAFE:
                return await handler(request)
            return await _handle_in_time(request, handler, limit)
        finally:
            if limit is not None and limit is not outer and limit.leaves_time(time.monotonic()):
                # If it has passed, the request was given up, and tasks that it left behind stay bound.
                limit.release()
            if retried is not None and retried is not outer_retried:
                retried.answered = True
            current_deadline.set(outer)
            current_retried.set(outer_retried)

    return take_over


async def _handle_in_time(request: web.Request, handler: Handler, limit: Deadline) -> web.StreamResponse:
    if not limit.leaves_time(time.monotonic()):
        return _too_late()
    try:
        async with enforced(limit):
            return await handler(request)
    except DeadlineExceededError:
        if limit.leaves_time(time.monotonic()):
            # It was a deadline that the handler set itself.
            raise
        if request.writer.output_size:
            # A response has begun, so 504 can't be sent any more. After a cancellation aiohttp closes the
            # connection; any other exception it would log as an error of the handler.
            raise asyncio.CancelledError from None
        return _too_late()


def _too_late() -> web.Response:
    # The header tells the caller that it is its deadline that has passed, and no failure of this instance.
    status = web.HTTPGatewayTimeout.status_code
    return web.Response(status=status, headers={TIMEOUT_MS: "0"}, text=_TEXT)
