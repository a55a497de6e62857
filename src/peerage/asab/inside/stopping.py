"""Makes a web container of the real asab drain before it stops."""

import inspect
import logging
from collections.abc import Awaitable, Callable
from typing import Any

from peerage.web.stopping import GracefulStop

__all__ = ["drain_before_stop"]

log = logging.getLogger("peerage.asab.api")


def drain_before_stop(container: Any, drained: Callable[[], Awaitable[None]], graceful: GracefulStop) -> None:
    """Make *container* close its listener once callers know, and then finish the requests under way.

    Args:
        container: the container.
        drained: returns when callers have had the time to go elsewhere.
        graceful: follows its requests.
    """
    # Private, but the only step between the end of the program and the close of the listener.
    stop = getattr(container, "_stop", None)
    if not inspect.iscoroutinefunction(stop):
        log.warning(
            "This version of asab stops its web containers in another way than 25.15 does: requests that "
            "arrive while the service stops may fail"
        )
        return

    async def stop_drained(app: Any) -> None:
        await drained()
        await graceful.finish(container.WebAppRunner)
        await stop(app)

    container._stop = stop_drained  # noqa: SLF001 - see above
