"""The monotonic clock that calls, deadlines and the directory read.

In tests a virtual clock takes its place (:mod:`peerage.testing.clock`) and that of the event loop, so that
deadlines, time-outs and ejections agree with ``asyncio.sleep``. Backends, which talk to servers, files and
other processes, read the machine's clock.
"""

import time
from collections.abc import Callable

_read: Callable[[], float] = time.monotonic  # noqa: TID251 - this is that function


def monotonic() -> float:
    """Return monotonic time in seconds, of which only differences mean something."""
    return _read()


def set_clock(read: Callable[[], float]) -> Callable[[], float]:
    """Let :func:`monotonic` return what *read* does, for objects that exist already as well.

    Returns what it read before.
    """
    global _read
    before, _read = _read, read
    return before


def wall_clock() -> float:
    """Return the seconds since the epoch, by the clock of this machine, which may be set at any time."""
    return time.time()
