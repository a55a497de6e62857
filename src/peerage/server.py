"""What the server side does for discovery, for any aiohttp application.

::

    app = aiohttp.web.Application(middlewares=[refuse_misdirected()])
"""

import logging
from collections.abc import Awaitable, Callable
from typing import Final, Protocol

from aiohttp import web

from peerage.calling.misdirected import MARK, STATUS
from peerage.misdirected import OwnIds

__all__ = ["Handler", "Middleware", "OwnIds", "refuse_misdirected"]

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

_TEXT: Final = (
    "This request is for another service, which isn't at this address any more. It was not processed: look "
    "the name up again.\n"
)


class Middleware(Protocol):
    """A middleware of an aiohttp application."""

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer *request*, by *handler* or instead of it."""


def refuse_misdirected(own_ids: OwnIds | None = None) -> Middleware:
    """Return a middleware that doesn't process what is meant for another service.

    A request whose ``Host`` is a logical name of somebody else, ``other.service_id.asab``, is answered with
    a marked 421, and a peerage client sends it elsewhere. It came here by a record that has outlived its
    process, whose port is now ours. Put it first, before anything looks at the request.

    Args:
        own_ids: by what this process is called; ``SERVICE_ID`` and so on of the environment by default.
            Custom ids must be among them, or nobody could call by these.
    """
    ids = OwnIds() if own_ids is None else own_ids

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        if ids.answers_to(request.host):
            return await handler(request)
        log.info("A request for %r was refused: this process has no such id", request.host)
        return web.Response(status=STATUS, headers={MARK: "1"}, text=_TEXT)

    return refuse
