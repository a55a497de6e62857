"""Doing some work at the signals to stop, before what the server does at them."""

import asyncio
import logging
import os
import signal
import threading
from collections.abc import Callable, Collection, Coroutine, Sequence
from enum import Enum
from typing import Any, Final
from weakref import WeakSet

from peerage.serving.gunicorn_workers import this_worker
from peerage.serving.loop_signals import loop_handler

log = logging.getLogger(__name__)

#: What supervisors send, and what Ctrl-C sends.
SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

#: Seconds in which further signals belong to the first one. systemd and Ctrl-C send the signal to all
#: processes of a service, and the supervisors of gunicorn and uvicorn then send one to their workers again,
#: uvicorn's after up to half a second; all of them mean one stop.
SAME_STOP: Final = 1.0

#: Seconds that requests under way have, by default; as much as aiohttp gives handlers in ``cleanup()``.
TIMEOUT: Final = 60.0

#: After so many seconds without a new request, none is on its way over a kept-alive connection.
QUIET: Final = 0.1

#: Likewise, where other processes accept the new connections: nothing is lost by waiting then.
QUIET_SHARED: Final = 0.5

#: How many requests one line of the log names.
_SHOWN: Final = 5


def listed(requests: Sequence[str]) -> str:
    """Return a text that names the first of *requests*, and says how many more there are."""
    more = len(requests) - _SHOWN
    return ", ".join(requests[:_SHOWN]) + (f" and {more} more" if more > 0 else "")


class Meaning(Enum):
    """What a signal to stop means."""

    BEGIN = "the work begins"
    SAME = "the signal belongs to the one before"
    CUT_SHORT = "the server is to stop at once"


class StopSignals:
    """Decides what each signal to stop means.

    Args:
        repeated: signals that the supervisor sends again and again, so that further ones mean nothing.
    """

    def __init__(self, repeated: Collection[int] = ()) -> None:
        self._repeated = repeated
        self._begun: float | None = None

    def received(self, number: int, now: float) -> Meaning:
        """Return the meaning of the signal *number* that comes at *now*, in monotonic seconds."""
        if self._begun is None:
            self._begun = now
            return Meaning.BEGIN
        same = number in self._repeated or now - self._begun < SAME_STOP
        return Meaning.SAME if same else Meaning.CUT_SHORT


def intercept_signals(
    work: Callable[[], Coroutine[Any, Any, None]], then: Callable[[], object] | None = None
) -> Callable[[], None]:
    """Do *work* at SIGTERM and SIGINT, before *then* or what is installed for them.

    Call it in the main thread, when the server has installed its handlers.

    Args:
        work: done at the first signal. A second one cancels it, unless it comes within :data:`SAME_STOP`, or
            is a SIGTERM under gunicorn, which repeats that.
        then: called at the end, instead of what is installed.

    Returns:
        A function that ends the interception: what was installed is installed again.

    Raises:
        ConfigurationError: *then* is missing, and the event loop doesn't say what is installed.
    """
    loop = asyncio.get_running_loop()
    handing_on = {number: _handing_on(loop, number, then) for number in SIGNALS}
    interception = _Interception(work, handing_on)
    interception.install(loop)
    return interception.hand_on


class _Interception:
    """Does some work at the first signal, and passes the last one on at its end."""

    def __init__(
        self,
        work: Callable[[], Coroutine[Any, Any, None]],
        handing_on: dict[signal.Signals, Callable[[], object]],
    ) -> None:
        self._work = work
        self._handing_on = handing_on
        # To a worker that is replaced, gunicorn sends it every second.
        self._stop = StopSignals(() if this_worker() is None else {signal.SIGTERM})
        self._last: signal.Signals | None = None
        self._working: asyncio.Task[None] | None = None
        self._cut_short = False
        # By signal, of Python: what is installed now, and what was before.
        self._installed: dict[signal.Signals, tuple[Any, Any]] = {}

    def install(self, loop: asyncio.AbstractEventLoop) -> None:
        """Receive the signals from now on."""
        for number in self._handing_on:
            before = signal.getsignal(number)
            loop.add_signal_handler(number, self.received, number)
            self._installed[number] = signal.getsignal(number), before
        _interceptions.add(self)

    def received(self, number: signal.Signals) -> None:
        loop = asyncio.get_running_loop()
        self._last = number
        meaning = self._stop.received(number, loop.time())
        if meaning is Meaning.BEGIN:
            log.info("%s: the instance drains, and then the server stops", number.name)
            self._working = loop.create_task(self._work(), name="peerage: draining")
            self._working.add_done_callback(self._pass_on)
        elif meaning is Meaning.CUT_SHORT and self._working is not None:
            log.info("%s: the server stops without draining any longer", number.name)
            self._cut_short = True
            self._working.cancel()

    def _pass_on(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() and not self._cut_short:
            # The server has ended for another reason.
            return
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("Draining failed, so the server stops without it", exc_info=error)
        self.hand_on()
        assert self._last is not None  # noqa: S101 - the task was created by a signal
        signal.raise_signal(self._last)

    def hand_on(self) -> None:
        """Install what was installed before; once."""
        _interceptions.discard(self)
        handing_on, self._handing_on = self._handing_on, {}
        for hand_on in handing_on.values():
            hand_on()

    def abandon(self) -> None:
        """Let a forked child handle signals as if nothing was intercepted."""
        for number, (installed, before) in self._installed.items():
            if signal.getsignal(number) == installed:
                # Until Python 3.12, the parent's event loop is told of signals to the child as well, so
                # Pool.terminate() of multiprocessing would stop the server.
                signal.set_wakeup_fd(-1)
                signal.signal(number, before or signal.SIG_DFL)


#: Those that haven't handed on.
_interceptions: WeakSet[_Interception] = WeakSet()


class _Fork(threading.local):
    """Blocks the signals while this thread forks, until the child no longer intercepts them."""

    mask: set[int] | None = None

    def before(self) -> None:
        self.mask = signal.pthread_sigmask(signal.SIG_BLOCK, SIGNALS) if _interceptions else None

    def in_parent(self) -> None:
        if self.mask is not None:
            signal.pthread_sigmask(signal.SIG_SETMASK, self.mask)

    def in_child(self) -> None:
        for each in tuple(_interceptions):
            each.abandon()
        _interceptions.clear()
        self.in_parent()


if hasattr(os, "register_at_fork"):
    _fork = _Fork()
    os.register_at_fork(before=_fork.before, after_in_parent=_fork.in_parent, after_in_child=_fork.in_child)


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
