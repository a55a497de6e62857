"""A server middleware that refuses requests which are meant for another service."""

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from peerage.calling.misdirected import DIALLED
from peerage.serving.misdirected import Callee, Misdirected
from peerage.web.refusing import answer


def refuse_misdirected(callee: Callee, *others: Callee) -> Middleware:
    """Return a middleware that refuses requests which are meant for another service.

    ::

        app = web.Application(middlewares=[refuse_misdirected(discovery), …])

    Put it first, before anything reads the request. It answers with a marked 421 (RFC 9110, 15.5.20), and the
    client, which is always one of peerage's, asks another instance. Everything else is let through: see
    :func:`peerage.serving.misdirected.is_for_another`.

    Args:
        callee: the :class:`peerage.Discovery` by which this process is found.
        others: further ones, if it is found by several.
    """
    misdirected = Misdirected((callee, *others))

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        dialled = request.headers.getall(DIALLED, ())
        if dialled:
            refusal = misdirected.refuse(dialled, request.get_extra_info("sockname"), request.host)
            if refusal is not None:
                return answer(refusal)
        return await handler(request)

    return refuse
