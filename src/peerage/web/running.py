"""Running an aiohttp application that others find, from its start to an end without a failed call."""

import asyncio
import ssl
from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from aiohttp import web

from peerage.records.advert import Advert
from peerage.registration import LAME_DUCK
from peerage.serving.signals import TIMEOUT, intercept_signals
from peerage.web.misdirected import refuse_misdirected
from peerage.web.propagation import propagate
from peerage.web.stopping import GracefulStop

if TYPE_CHECKING:
    from peerage.discovery import Discovery


def run_app(
    app: web.Application,
    discovery: "Discovery",
    advert: Advert | None = None,
    *,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    ssl_context: ssl.SSLContext | None = None,
    backlog: int = 128,
    lame_duck: float = LAME_DUCK,
    timeout: float = TIMEOUT,
    **kwargs: Any,
) -> None:
    """Serve *app* and advertise it until SIGTERM or SIGINT, then stop without a failed call.

    ::

        run_app(app, Discovery(service_id="orders"), port=8080)

    This takes the place of :func:`aiohttp.web.run_app`. *discovery* is open from before the application's
    startup until after its cleanup, so handlers may call others by it. Requests that are meant for another
    service are refused, see :func:`refuse_misdirected`; deadlines of callers hold, see :func:`propagate`.

    At the signal the record says that no new requests are wanted, and is withdrawn after *lame_duck* seconds.
    Then the server stops as :meth:`GracefulStop.stop` does. At a second signal it stops without draining, at
    a third one without waiting for requests, at a fourth one without cleaning up.

    Args:
        app: the outermost application, before it is started.
        discovery: advertises it; not opened yet.
        advert: what is advertised beside the addresses on which it listens.
        host: one address to listen on, or several; by default all interfaces.
        port: by default 8080, or 8443 with TLS; 0: a free one.
        ssl_context: of the server, to serve https.
        backlog: connections that may wait to be accepted.
        lame_duck: seconds to wait between publishing that it drains and withdrawing.
        timeout: seconds that requests under way have after that, and again as long for a response that has
            begun; that is the default of *shutdown_timeout*.
        kwargs: go to :class:`aiohttp.web.AppRunner`.

    Raises:
        OSError: it can't listen there.
        RecordError: something of *advert* can't be advertised.
        RegistryDeniedError: the registry refuses it: access, size or path.
    """
    with suppress(asyncio.CancelledError):
        asyncio.run(
            serve_app(
                app,
                discovery,
                advert,
                host=host,
                port=port,
                ssl_context=ssl_context,
                backlog=backlog,
                lame_duck=lame_duck,
                timeout=timeout,
                **kwargs,
            )
        )


async def serve_app(
    app: web.Application,
    discovery: "Discovery",
    advert: Advert | None = None,
    *,
    host: str | Sequence[str] | None = None,
    port: int | None = None,
    ssl_context: ssl.SSLContext | None = None,
    backlog: int = 128,
    lame_duck: float = LAME_DUCK,
    timeout: float = TIMEOUT,  # noqa: ASYNC109 - as run_app()
    **kwargs: Any,
) -> None:
    """Do what :func:`run_app` does, on the event loop that runs; it ends by being cancelled."""
    app.middlewares[:0] = (refuse_misdirected(discovery), propagate())
    graceful = GracefulStop(app)
    runner = web.AppRunner(app, **{"shutdown_timeout": timeout, **kwargs})

    async def drain() -> None:
        graceful.close_connections()
        await discovery.drain(lame_duck)

    running = asyncio.current_task()
    assert running is not None  # noqa: S101 - a coroutine that awaits runs in a task
    steps = iter((running.cancel, graceful.break_off))

    def go_on() -> None:
        next(steps, running.cancel)()

    intercept_signals(drain, go_on)
    async with discovery:
        try:
            await runner.setup()
            for each in [host] if host is None or isinstance(host, str) else host:
                await web.TCPSite(runner, each, port, ssl_context=ssl_context, backlog=backlog).start()
            await discovery.advertise(advert, web=bound_web(runner))
            await asyncio.Event().wait()
        finally:
            await graceful.stop(runner, timeout)


def bound_web(runner: web.AppRunner) -> list[tuple[str, int, str]]:
    """Return address, port and scheme (``http``, ``https``) of each socket on which *runner* listens."""
    # A site knows one port; of a line with port 0 and several addresses each socket has another one.
    schemes = {getattr(site, "port", None): urlsplit(site.name).scheme for site in runner.sites}
    default = next(iter(schemes.values()), "http")
    return [(address, port, schemes.get(port, default)) for address, port, *_ in runner.addresses]
