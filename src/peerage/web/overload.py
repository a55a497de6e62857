"""A server middleware that refuses requests for which there is no capacity, so that the others are served."""

import asyncio

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from peerage.calling.misdirected import DIALLED
from peerage.serving.gradient import Gradient2
from peerage.serving.overload import Overload
from peerage.web.refusing import answer
from peerage.web.upgrade import is_websocket


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
    overload = Overload(limit)

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_websocket(request):
            return await handler(request)
        clock = asyncio.get_running_loop().time
        began = clock()
        refusal = overload.refuse(began, request.headers.get(DIALLED))
        if refusal is not None:
            return answer(refusal)
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
