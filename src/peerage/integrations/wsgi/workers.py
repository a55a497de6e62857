"""Where a WSGI application is advertised: in each worker of gunicorn, not in the process above them.

gunicorn tells an application neither whether a worker loads it nor when a worker is ready. A worker loads it
after it has installed its handlers of signals, which shows in them.
"""

import os
import signal
import sys
from collections.abc import Callable
from typing import Final

from peerage.errors import ConfigurationError

#: What to begin in each worker, in a process that has loaded the application before it forks them.
_preloaded: Final[list[Callable[[], object]]] = []


def in_each_worker(start: Callable[[], object]) -> None:
    """Call *start* in each worker of gunicorn: now, if this is one, else when it has been forked.

    Under another server nothing is called.

    Raises:
        ConfigurationError: gunicorn loads the application before it forks, and doesn't have the hook of
            :mod:`peerage.integrations.gunicorn`.
    """
    if in_worker():
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


def in_worker() -> bool:
    """Tell whether this is a worker of gunicorn that has installed its handlers of signals."""
    workers = sys.modules.get("gunicorn.workers.base")
    handler = signal.getsignal(signal.SIGTERM)
    return workers is not None and isinstance(getattr(handler, "__self__", None), workers.Worker)


def _in_supervisor() -> bool:
    # The variable is inherited by every process that a worker starts, and the module is loaded in workers.
    return "gunicorn.arbiter" in sys.modules and os.environ.get("SERVER_SOFTWARE", "").startswith("gunicorn/")
