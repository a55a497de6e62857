"""A server middleware that tells callers with each answer how many requests are under way."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from peerage.calling.answers import LOAD


def report_load() -> Middleware:
    """Return a middleware that reports the number of requests under way, in the header ``Peerage-Load``.

    Callers with ``Discovery(score=peerage.balancing.reported_load)`` choose instances by it. Put it before
    all other middlewares. Responses that a handler streams don't have the header.
    """
    under_way = 0

    @web.middleware
    async def report(request: web.Request, handler: Handler) -> web.StreamResponse:
        nonlocal under_way
        under_way += 1
        try:
            response = await handler(request)
        except web.HTTPException as error:
            error.headers[LOAD] = str(under_way - 1)
            raise
        finally:
            under_way -= 1
        if not response.prepared:
            response.headers[LOAD] = str(under_way)
        return response

    return report
