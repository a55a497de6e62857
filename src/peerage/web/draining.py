"""Draining on a signal, before what the server does at that signal.

A server stops listening as soon as it gets SIGTERM, and its shutdown hooks run after that. So a hook can't
drain: callers would still choose an instance that refuses connections. Therefore the signal is intercepted,
and passed on to the server when the instance has drained.
"""

import asyncio
import logging
import signal
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol

from peerage.registration import LAME_DUCK
from peerage.web.loop_signals import loop_handler
from peerage.web.stopping import TIMEOUT, GracefulStop

log = logging.getLogger(__name__)

#: What supervisors send, and what Ctrl-C sends.
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

#: Seconds in which further signals belong to the first one. systemd sends SIGTERM to all processes of a
#: service, and gunicorn's master then sends it to its workers again; both mean one stop.
SAME_STOP: Final = 0.5


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
    at once, unless it comes within :data:`SAME_STOP` seconds.

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


def intercept_signals(
    work: Callable[[], Coroutine[Any, Any, None]], then: Callable[[], object] | None = None
) -> None:
    """Do *work* at SIGTERM and SIGINT, before *then* or what is installed; see :func:`drain_on_signals`.

    Raises:
        ConfigurationError: *then* is missing, and the event loop doesn't say what is installed.
    """
    loop = asyncio.get_running_loop()
    handing_on = {number: _handing_on(loop, number, then) for number in SIGNALS}
    interception = _Interception(work, handing_on)
    for number in SIGNALS:
        loop.add_signal_handler(number, interception.received, number)


class _Interception:
    """Does some work at the first signal, and passes the last one on at its end."""

    def __init__(
        self,
        work: Callable[[], Coroutine[Any, Any, None]],
        handing_on: dict[signal.Signals, Callable[[], object]],
    ) -> None:
        self._work = work
        self._handing_on = handing_on
        self._last: signal.Signals | None = None
        self._working: asyncio.Task[None] | None = None
        self._begun = 0.0
        self._cut_short = False

    def received(self, number: signal.Signals) -> None:
        loop = asyncio.get_running_loop()
        self._last = number
        if self._working is None:
            self._begun = loop.time()
            log.info("%s: the instance drains, and then the server stops", number.name)
            self._working = loop.create_task(self._work(), name="peerage.web: draining")
            self._working.add_done_callback(self._pass_on)
        elif loop.time() - self._begun >= SAME_STOP:
            log.info("%s: the server stops without draining any longer", number.name)
            self._cut_short = True
            self._working.cancel()

    def _pass_on(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() and not self._cut_short:
            # The server has ended for another reason.
            return
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("Draining failed, so the server stops without it", exc_info=error)
        for hand_on in self._handing_on.values():
            hand_on()
        assert self._last is not None  # noqa: S101 - the task was created by a signal
        signal.raise_signal(self._last)


def _handing_on(
    loop: asyncio.AbstractEventLoop, number: signal.Signals, then: Callable[[], object] | None
) -> Callable[[], object]:
    """Return what makes *number* call *then*, else what is installed for it now."""
    if then is not None:
        return lambda: loop.add_signal_handler(number, then)
    run = loop_handler(loop, number)
    if run is not None:
        return lambda: loop.add_signal_handler(number, run)
    # None: it was installed by something else than Python.
    before = signal.getsignal(number) or signal.SIG_DFL

    def restore() -> None:
        loop.remove_signal_handler(number)
        signal.signal(number, before)

    return restore
