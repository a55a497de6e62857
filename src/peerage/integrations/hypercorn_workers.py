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
from collections.abc import Callable, Mapping
from functools import partial
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
    worker = _Worker.find(hypercorn)
    if worker is None:
        log.warning(
            "This version of hypercorn tells its workers to stop in a way that peerage doesn't know, so the "
            "server stops without draining, and calls may fail: use hypercorn 0.17 or 0.18, or --workers 0."
        )
        return None
    return worker.let_stop


class _Worker:
    """Takes the place of what tells a worker to stop, in this process only.

    Args:
        event: the supervisor's.
        serving: the variables of the function that serves here.
    """

    def __init__(self, event: Event, serving: Callable[[], Mapping[str, Any]]) -> None:
        self._is_set = event.is_set
        self._serving = serving
        self._loop = asyncio.get_running_loop()
        self._limit_followed = False
        self._server_stops = False
        self._stop_begun = False
        self._may_stop = False
        event.is_set = self._read  # type: ignore[method-assign]  # the worker reads it through this method

    @classmethod
    def find(cls, hypercorn: Any) -> "_Worker | None":
        """Return the one of this process; None if it isn't found."""
        for task in asyncio.all_tasks():
            coroutine: Any = task.get_coro()
            if getattr(coroutine, "cr_code", None) is hypercorn.worker_serve.__code__:
                # A partial of hypercorn.utils.check_multiprocess_shutdown_event().
                trigger = coroutine.cr_frame.f_locals.get("shutdown_trigger")
                for argument in getattr(trigger, "args", ()):
                    if isinstance(argument, Event):
                        return cls(argument, partial(_variables, coroutine))
        return None

    def let_stop(self) -> None:
        self._may_stop = True

    def _read(self) -> bool:
        if not self._limit_followed:
            self._limit_followed = True
            self._follow_limit()
        if not self._server_stops and self._is_set():
            self._server_stops = True
            if self._begin_stop():
                # When the first worker ends, the supervisor sends SIGTERM to all others. It must not cut
                # their draining short.
                self._loop.add_signal_handler(signal.SIGTERM, lambda: None)
        return self._may_stop

    def _follow_limit(self) -> None:
        """Begin to drain when the worker has had --max-requests: by itself it would stop at once."""
        terminate: Any = getattr(self._serving().get("context"), "terminate", None)
        if hasattr(terminate, "set"):

            async def reached() -> None:
                self._begin_stop()

            terminate.set = reached

    def _begin_stop(self) -> bool:
        """Begin to stop, once; return whether the application does something first."""
        received = loop_handler(self._loop, signal.SIGTERM)
        if received is None:
            # The application hasn't started yet, or doesn't intercept the signal any more.
            self._may_stop = True
        elif not self._stop_begun:
            self._stop_begun = True
            received()
        return received is not None


def _variables(coroutine: Any) -> Mapping[str, Any]:
    frame = coroutine.cr_frame
    return {} if frame is None else frame.f_locals
