"""A server middleware: the deadline and the retry mark of a request apply to the calls of its handler."""

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from peerage.calling.deadline import TIMEOUT_MS, Deadline
from peerage.calling.retried import RETRY
from peerage.calling.retry import SAFE
from peerage.serving.propagation import TOO_LATE, GivenUpError, in_time, read_inherited, unless_late
from peerage.web.refusing import answer
from peerage.web.upgrade import is_websocket


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
            with cancellation in mind. The calls of other handlers still fail once the deadline has passed,
            and then the answer is 504 if the handler raises DeadlineExceededError.
    """

    @web.middleware
    async def take_over(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers
        inherited = None
        if TIMEOUT_MS in headers or RETRY in headers:
            inherited = read_inherited(headers.getall(TIMEOUT_MS, ()), headers.get(RETRY))
        if inherited is None or is_websocket(request):
            return await handler(request)
        with inherited:
            limit = inherited.deadline
            if limit is None:
                return await handler(request)
            cancel = not only_safe or request.method in SAFE
            return await _handle_in_time(request, handler, limit, cancel=cancel)

    return take_over


async def _handle_in_time(
    request: web.Request, handler: Handler, limit: Deadline, *, cancel: bool
) -> web.StreamResponse:
    try:
        if cancel:
            async with in_time(limit):
                return await handler(request)
        with unless_late(limit):
            return await handler(request)
    except GivenUpError:
        if request.writer.output_size:
            # A response has begun, so 504 can't be sent any more. After a cancellation aiohttp closes the
            # connection; any other exception it would log as an error of the handler.
            raise asyncio.CancelledError from None
        return answer(TOO_LATE)
