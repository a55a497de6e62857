"""How hypercorn's supervisor stops a worker, so that the worker can drain before.

Unless it is run with ``--workers 0``, hypercorn has a supervisor, which sends no signal to its workers at
SIGTERM: it sets an event of multiprocessing, which each worker reads ten times a second. None of that is
documented, so everything is looked for with care, and a version that works otherwise loses draining only.
"""

import asyncio
import logging
import multiprocessing
import signal
import sys
from collections.abc import Callable
from multiprocessing.synchronize import Event
from typing import Any

from peerage.serving.loop_signals import loop_handler

log = logging.getLogger(__name__)


def stop_of_supervisor() -> Callable[[], None] | None:
    """Make the supervisor's event raise SIGTERM here; return what then lets this worker of hypercorn stop.

    Call it in the event loop, when the application starts and before SIGTERM is intercepted.

    Returns:
        None if this isn't a worker with a supervisor, or if hypercorn works otherwise than 0.17 and 0.18 do;
        the log says so.
    """
    hypercorn = sys.modules.get("hypercorn.asyncio.run")
    if hypercorn is None or multiprocessing.parent_process() is None:
        return None
    event = _event_of_worker(hypercorn)
    if event is None:
        log.warning(
            "This version of hypercorn tells its workers to stop in a way that peerage doesn't know, so the "
            "server stops without draining, and calls may fail: use hypercorn 0.17 or 0.18, or --workers 0."
        )
        return None
    return _EventOfSupervisor(event, asyncio.get_running_loop()).let_stop


def _event_of_worker(hypercorn: Any) -> Event | None:
    """Return the event that the function which serves here will read."""
    for task in asyncio.all_tasks():
        coroutine: Any = task.get_coro()
        if getattr(coroutine, "cr_code", None) is hypercorn.worker_serve.__code__:
            # A partial of hypercorn.utils.check_multiprocess_shutdown_event().
            trigger = coroutine.cr_frame.f_locals.get("shutdown_trigger")
            for argument in getattr(trigger, "args", ()):
                if isinstance(argument, Event):
                    return argument
    return None


class _EventOfSupervisor:
    """Takes the place of what the worker reads, in this process only."""

    def __init__(self, event: Event, loop: asyncio.AbstractEventLoop) -> None:
        self._is_set = event.is_set
        self._loop = loop
        self._told = False
        self._may_stop = False
        event.is_set = self._read  # type: ignore[method-assign]  # the worker reads it through this method

    def let_stop(self) -> None:
        self._may_stop = True

    def _read(self) -> bool:
        if not self._told and self._is_set():
            self._told = True
            received = loop_handler(self._loop, signal.SIGTERM)
            if received is None:
                # The application hasn't been started, or it has let go of the signal.
                self._may_stop = True
            else:
                received()
                # When the first worker ends, the supervisor sends SIGTERM to all others, and that isn't a
                # request to be quicker.
                self._loop.add_signal_handler(signal.SIGTERM, lambda: None)
        return self._may_stop
