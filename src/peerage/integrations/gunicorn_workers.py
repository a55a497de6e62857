"""Finds the worker of gunicorn in which an application runs, and why it is stopped; gunicorn tells neither.

A worker loads its application after it has installed its handlers of signals, so the worker is found by them.
With ``--preload`` its supervisor loads the application, before it forks the workers.
"""

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, Final

from peerage.errors import ConfigurationError

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
    """Return the worker that this process is, if its handlers are installed; else None."""
    workers = sys.modules.get("gunicorn.workers.base")
    found = getattr(signal.getsignal(signal.SIGTERM), "__self__", None)
    return found if workers is not None and isinstance(found, workers.Worker) else None


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
    while _supervisor_listens(worker):
        if loop.time() >= ends:
            return False
        await asyncio.sleep(_POLL)
    return True


def _supervisor_listens(worker: Any) -> bool:
    """Tell whether the supervisor has a listening socket of *worker* open, as far as that can be known."""
    # Elsewhere than on Linux there is no such folder, and that of another user can't be read.
    with suppress(OSError):
        folder = Path(f"/proc/{os.getppid()}/fd")
        own = {f"socket:[{os.fstat(each.fileno()).st_ino}]" for each in worker.sockets}
        for link in folder.iterdir():
            with suppress(OSError):  # closed meanwhile
                if str(link.readlink()) in own:
                    return True
    return False
