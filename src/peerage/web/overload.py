"""A server middleware that refuses requests for which there is no capacity, so that the others are served."""

import asyncio
import logging
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from peerage.calling.answers import OVERLOADED
from peerage.calling.misdirected import DIALLED
from peerage.web.gradient import Gradient2
from peerage.web.upgrade import is_websocket

log = logging.getLogger(__name__)

_TEXT: Final = "Too many requests are under way here. This one was not processed: ask another instance.\n"

#: Seconds for which callers should avoid this instance; the header has whole seconds only.
_RETRY_AFTER: Final = "1"

#: Seconds after which a refusal is logged again.
_LOGGED_EVERY: Final = 60.0


def limit_concurrency(limit: Gradient2 | None = None) -> Middleware:
    """Return a middleware that answers 503 when too many requests are under way.

    ::

        app = web.Application(middlewares=[limit_concurrency(), …])

    Put it before anything that takes long. The answer is marked with the header ``Peerage-Overloaded``, which
    says that the request was not processed: peerage's callers then ask another instance, whatever the method,
    as far as their retry budget allows. WebSockets aren't counted, because they last as long as
    their clients want. Everything else counts until its handler is done, also while its body arrives: if
    clients outside of the cluster can reach the service, a proxy must receive bodies first.

    Args:
        limit: the limit; by default ``Gradient2()``, which begins with 20 and adapts itself. A service whose
            handlers mostly wait for other services needs more to begin with: ``Gradient2(initial=100)``.
    """
    limit = limit or Gradient2()
    log_from = 0.0

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal log_from
        if is_websocket(request):
            return await handler(request)
        clock = asyncio.get_running_loop().time
        began = clock()
        if not limit.admit():
            if began >= log_from:
                log_from = began + _LOGGED_EVERY
                log.warning(
                    "Requests are refused with 503: the limit of %d requests under way is reached",
                    limit.limit,
                )
            mark = request.headers.get(DIALLED, "1")
            return web.Response(
                status=503, headers={OVERLOADED: mark, "Retry-After": _RETRY_AFTER}, text=_TEXT
            )
        answered = False
        try:
            response = await handler(request)
            answered = True
        except web.HTTPException:
            answered = True
            raise
        finally:
            ended = clock()
            limit.done(ended, ended - began if answered else None)
        return response

    return refuse
