"""What a server takes over from its callers for the calls that it makes itself: deadline and repetition."""

import asyncio
import time
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from peerage.calling.deadline import TIMEOUT_MS, Deadline, begin, current_deadline, read_timeout
from peerage.calling.repetition import REPEATED, Repetition, current_repetition
from peerage.calling.retry import SAFE
from peerage.deadlines import enforced
from peerage.errors import DeadlineExceededError
from peerage.web.upgrade import is_websocket

_TEXT: Final = "The deadline of the request has passed, so it was given up.\n"


def propagate(*, only_safe: bool = False) -> Middleware:
    """Return a middleware by which a service takes over what its callers say of their requests.

    ::

        app = web.Application(middlewares=[propagate(), …])

    The deadline of the caller (:func:`peerage.deadline`, header ``Peerage-Timeout-Ms``) becomes that of the
    handler, and what is left of it that of the services which it calls. When it passes, the handler is
    cancelled, and the answer is 504; if a response has begun, the connection is closed. What is called for a
    request that is a repetition (header ``Peerage-Repeated``) isn't repeated.

    Both hold until the handler has answered, also in tasks that it starts; a task that it leaves behind then
    isn't bound by them. A WebSocket isn't limited, because it outlives its handshake.
    :func:`run_app` installs this middleware.

    Any caller can send the header, and shorten its own request by it. If a handler must not be interrupted,
    protect its work by :func:`asyncio.shield`, or have the proxy in front of the cluster remove the header.

    Args:
        only_safe: cancel only the handlers of GET, HEAD, OPTIONS and TRACE, for programs that were written
            without cancellation in mind. The calls of other handlers fail when the deadline has passed.
    """

    @web.middleware
    async def take_over(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers
        seconds = read_timeout(headers.getall(TIMEOUT_MS)) if TIMEOUT_MS in headers else None
        repeated = headers.get(REPEATED) == "1"
        if seconds is None and not repeated:
            return await handler(request)
        if is_websocket(request):
            return await handler(request)
        outer, outer_repetition = current_deadline.get(), current_repetition.get()
        limit = begin(seconds, time.monotonic())
        repetition = Repetition() if repeated else outer_repetition
        current_deadline.set(limit)
        current_repetition.set(repetition)
        try:
            if limit is None or limit is outer:
                return await handler(request)
            if only_safe and request.method not in SAFE:
                return await handler(request)
            return await _handle_in_time(request, handler, limit)
        finally:
            if limit is not None and limit is not outer and limit.leaves_time(time.monotonic()):
                # Otherwise what is left behind belongs to what was given up.
                limit.release()
            if repetition is not None and repetition is not outer_repetition:
                repetition.answered = True
            current_deadline.set(outer)
            current_repetition.set(outer_repetition)

    return take_over


async def _handle_in_time(request: web.Request, handler: Handler, limit: Deadline) -> web.StreamResponse:
    if not limit.leaves_time(time.monotonic()):
        return web.Response(status=web.HTTPGatewayTimeout.status_code, text=_TEXT)
    try:
        async with enforced(limit):
            return await handler(request)
    except DeadlineExceededError:
        if limit.leaves_time(time.monotonic()):
            # A smaller one of the handler's own.
            raise
        if request.writer.output_size:
            # Another answer can't follow the one that was begun. After a cancellation aiohttp closes the
            # connection; any other exception it would log as an error of the handler.
            raise asyncio.CancelledError from None
        return web.Response(status=web.HTTPGatewayTimeout.status_code, text=_TEXT)
