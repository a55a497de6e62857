"""Finds the worker of gunicorn in which an application runs, and why it is stopped; gunicorn tells neither.

Whatever a worker runs in its main thread is called by one of its methods, so the worker is found there. With
``--preload`` its supervisor loads the application, before it forks the workers.
"""

import asyncio
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any, Final

from peerage.errors import ConfigurationError
from peerage.serving.listeners import shared_with_parent

#: Seconds between two looks at the sockets of the supervisor.
_POLL: Final = 0.02

#: What to begin in each worker, in a process that has loaded the application before it forks them.
_preloaded: Final[list[Callable[[], object]]] = []


def in_each_worker(start: Callable[[], object]) -> None:
    """Call *start* in each worker of gunicorn: now, if this is one, else when it has been forked.

    Under another server nothing is called.

    Raises:
        ConfigurationError: gunicorn loads the application before it forks, and doesn't have the hook of
            :mod:`peerage.integrations.gunicorn`.
    """
    if this_worker() is not None:
        start()
    elif _in_supervisor():
        if "peerage.integrations.gunicorn" not in sys.modules:
            raise ConfigurationError(
                "gunicorn loads this application before it forks its workers, which can't be advertised then "
                "without a hook: add --config python:peerage.integrations.gunicorn, or to your configuration "
                "file 'from peerage.integrations.gunicorn import post_worker_init', or leave out --preload."
            )
        _preloaded.append(start)


def start_preloaded() -> None:
    """Call in a worker what was passed to :func:`in_each_worker` before the fork."""
    for start in _preloaded:
        start()


def this_worker() -> Any:
    """Return the worker whose method calls this in the end; None if there is none."""
    workers = sys.modules.get("gunicorn.workers.base")
    if workers is None:
        return None
    frame = inspect.currentframe()
    while frame is not None:
        found = frame.f_locals.get("self")
        if isinstance(found, workers.Worker):
            return found
        frame = frame.f_back
    return None


def _in_supervisor() -> bool:
    # The variable is inherited by every process that a worker starts, and the module is loaded in workers.
    return "gunicorn.arbiter" in sys.modules and os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/")


async def server_stops(worker: Any, patience: float) -> bool:
    """Tell whether *worker* got SIGTERM because its whole server stops; else the worker alone is replaced.

    A supervisor that stops closes its listening sockets before it sends SIGTERM. It doesn't if it goes on, as
    after SIGHUP: then it may have begun another worker, which takes seconds to load its application.

    Args:
        worker: of gunicorn.
        patience: seconds that the supervisor has for closing them, because a service manager may send SIGTERM
            to all processes at the same time.
    """
    loop = asyncio.get_running_loop()
    ends = loop.time() + patience
    while shared_with_parent(each.fileno() for each in worker.sockets):
        if loop.time() >= ends:
            return False
        await asyncio.sleep(_POLL)
    return True
