"""Has a web container of the real asab drain before it stops."""

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from peerage.asab.web.requests import Requests, finish

__all__ = ["drain_before_stop"]

log = logging.getLogger("peerage.asab.api")


def drain_before_stop(container: Any, drained: Callable[[], Awaitable[None]], requests: Requests) -> None:
    """Have *container* close its listener after callers were told, and then finish what is under way.

    Args:
        container: the container.
        drained: returns when callers were told.
        requests: those under way.
    """
    # Not public, and the only step between the end of the program and that of the listener.
    stop = getattr(container, "_stop", None)
    if not inspect.iscoroutinefunction(stop):
        log.warning(
            "This version of asab stops its web containers otherwise than 25.15 does: requests that come as "
            "the service stops may fail"
        )
        return

    async def stop_drained(app: Any) -> None:
        await drained()
        await finish(container.WebAppRunner, requests)
        await stop(app)

    container._stop = stop_drained  # noqa: SLF001 - see above
