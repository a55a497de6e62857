"""A dependency that refuses requests for which there is no capacity, so that the others are served."""

import asyncio
from collections.abc import AsyncIterator, Callable

from fastapi import BackgroundTasks, HTTPException
from fastapi.requests import HTTPConnection

from peerage.calling.misdirected import DIALLED
from peerage.integrations.asgi.messages import first
from peerage.integrations.fastapi.refusing import refused
from peerage.serving.gradient import Gradient2
from peerage.serving.overload import Overload
from peerage.serving.refusal import SERVER_ERROR


def limit_concurrency(limit: Gradient2 | None = None) -> Callable[..., AsyncIterator[None]]:
    """Return a dependency that answers 503 when too many requests are under way.

    It refuses as :func:`peerage.web.limit_concurrency` does, and counts the requests of all operations that
    have this very dependency: so a router with expensive operations gets a limit of its own. A request counts
    until its response is complete; while its body arrives, it doesn't count, because FastAPI reads that
    before. WebSockets don't count either. Each worker process of a server has a separate limit.

    Args:
        limit: the limit; by default ``Gradient2()``, which begins with 20 and adapts itself.
    """
    limit = limit or Gradient2()
    overload = Overload(limit)

    async def refuse(connection: HTTPConnection, background: BackgroundTasks) -> AsyncIterator[None]:
        if connection.scope["type"] != "http":
            yield
            return
        clock = asyncio.get_running_loop().time
        began = clock()
        refusal = overload.refuse(began, first(connection.scope, DIALLED))
        if refusal is not None:
            raise refused(refusal)
        under_way = True

        async def end(*, measured: bool = True) -> None:
            nonlocal under_way
            if under_way:
                under_way = False
                ended = clock()
                limit.done(ended, ended - began if measured else None)

        # The first background task: they run when the response is complete.
        background.add_task(end)
        try:
            yield
        except BaseException as error:
            # How long an operation took to fail is no measure.
            await end(measured=isinstance(error, HTTPException) and error.status_code != SERVER_ERROR)
            raise
        await end()

    return refuse
