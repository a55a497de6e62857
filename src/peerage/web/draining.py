"""Draining on a signal, before what the server does at that signal.

A server stops listening as soon as it gets SIGTERM, and its shutdown hooks run after that. So a hook can't
drain: callers would still choose an instance that refuses connections. Therefore the signal is intercepted,
and passed on to the server when the instance has drained.
"""

import asyncio
from collections.abc import Callable
from typing import Protocol

from peerage.registration import LAME_DUCK
from peerage.serving.signals import TIMEOUT, intercept_signals
from peerage.web.stopping import GracefulStop


class Advertised(Protocol):
    """What can be drained: a :class:`peerage.Discovery`, or one :class:`peerage.Registration`."""

    async def drain(self, lame_duck: float = LAME_DUCK) -> None:
        """Publish that no new requests are wanted, wait *lame_duck* seconds, withdraw."""


def drain_on_signals(
    graceful: GracefulStop,
    *advertised: Advertised,
    lame_duck: float = LAME_DUCK,
    timeout: float = TIMEOUT,
    then: Callable[[], object] | None = None,
) -> None:
    """Drain at SIGTERM and SIGINT, and then do what the server had installed for them.

    ::

        app = web.Application()
        graceful = GracefulStop(app)

        async def advertised(app):
            async with Discovery(service_id="orders") as discovery:
                drain_on_signals(graceful, discovery)
                await discovery.advertise(port=8080)
                yield  # here it serves

        app.cleanup_ctx.append(advertised)
        web.run_app(app, port=8080)

    At the signal, the records say that no new requests are wanted, and are withdrawn after *lame_duck*
    seconds. Then the requests under way are finished and WebSockets closed, as :meth:`GracefulStop.finish`
    does, within *timeout* seconds. After that the server gets the signal. A second signal goes to the server
    at once, unless it comes within a second.

    Call it in the main thread, once the server has installed its handlers and before anything is advertised:
    at the startup of the application. :func:`run_app` does all this by itself.

    Args:
        graceful: follows the requests of the application.
        advertised: what says where the application is found: a Discovery, or single registrations.
        lame_duck: seconds to wait between publishing that it drains and withdrawing.
        timeout: seconds that requests under way have after that.
        then: called at the end, instead of what the server had installed.

    Raises:
        ConfigurationError: *then* is missing, and the event loop doesn't say what is installed; those of
            asyncio and uvloop do.
    """

    async def drain() -> None:
        graceful.close_connections()
        await asyncio.gather(*(each.drain(lame_duck) for each in advertised))
        await graceful.finish(timeout=timeout)

    intercept_signals(drain, then)
