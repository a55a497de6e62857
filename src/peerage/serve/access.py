"""Who may read where a verifier is configured: callers whose token allows it."""

import asyncio
from typing import Final

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware

from peerage.auth.claims import LEEWAY
from peerage.auth.verifier import Verifier
from peerage.serve.sending import abort
from peerage.timing import wall_clock
from peerage.web.authorization import authorize, caller

#: The resource that a token must allow globally; a superuser's token allows everything.
READ: Final = "peerage:read"

#: Names of the routes that need no token: the probes of an orchestrator have none, and they show nothing of
#: the cluster.
OPEN: Final = frozenset({"healthz", "readyz"})


def readers_only(verifier: Verifier) -> Middleware:
    """Return the middleware: 401 without a valid token, and 403 if the token doesn't allow :data:`READ`.

    Answers that don't end by themselves are broken off when the token has expired.
    """
    check = authorize(verifier)

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if request.match_info.route.name in OPEN:
            return await handler(request)

        async def read(request: web.Request) -> web.StreamResponse:
            principal = caller()
            principal.require_resource_access(READ)
            try:
                async with asyncio.timeout(principal.expires_at.timestamp() + LEEWAY - wall_clock()) as limit:
                    return await handler(request)
            except TimeoutError:
                if not limit.expired():
                    raise
                abort(request)
                return web.Response()

        return await check(request, read)

    return middleware
