"""A middleware that refuses requests for which there is no capacity, so that the others are served."""

import asyncio

from peerage.calling.misdirected import DIALLED
from peerage.integrations.asgi.messages import (
    App,
    Receive,
    Response,
    Scope,
    Send,
    first,
    refuse,
)
from peerage.serving.gradient import Gradient2
from peerage.serving.overload import Overload
from peerage.serving.refusal import SERVER_ERROR


def limit_concurrency(app: App, limit: Gradient2 | None = None) -> App:
    """Return *app* with a middleware that answers 503 when too many requests are under way.

    It refuses as :func:`peerage.web.limit_concurrency` does. A request counts until its response is complete,
    so background tasks of Starlette don't count, and WebSockets don't either. Each worker process of a server
    has a separate limit.

    Args:
        app: the application.
        limit: the limit; by default ``Gradient2()``, which begins with 20 and adapts itself.
    """
    limit = limit or Gradient2()
    overload = Overload(limit)

    async def refusing(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await app(scope, receive, send)
            return
        clock = asyncio.get_running_loop().time
        began = clock()
        refusal = overload.refuse(began, first(scope, DIALLED))
        if refusal is not None:
            await refuse(send, refusal)
            return

        def on_end() -> None:
            ended = clock()
            # How long a handler took to fail is no measure.
            limit.done(ended, None if response.status == SERVER_ERROR else ended - began)

        response = Response(send, on_end=on_end)
        try:
            await app(scope, receive, response.send)
        finally:
            if not response.complete:
                limit.done(clock(), None)

    return refusing
