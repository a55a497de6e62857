"""Noticing that the machine was suspended: the session has probably ended, and nothing has said so.

Python's monotonic clock stands still while a machine is suspended, and so does every time limit. After an
hour the session is long over, but the connection looks as it did before, and seconds pass until a ping isn't
answered. Two clocks have gone on: the one that counts from the start of the machine, and the one that shows
the time of day. The latter may have been set, which looks the same. Connecting again does no harm then: the
session survives it.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Final

#: Seconds between two looks at the clocks, and by which they must have gone on: few sessions are shorter.
PERIOD: Final = 2.0
_LEAST: Final = 2.0


def read_clocks() -> tuple[float, ...]:
    """Return by how many seconds each clock that goes on in suspension is ahead of the one that doesn't."""
    now = time.monotonic()
    ahead = time.time() - now
    # Linux has the second one.
    return (
        (ahead, time.clock_gettime(time.CLOCK_BOOTTIME) - now)
        if hasattr(time, "CLOCK_BOOTTIME")
        else (ahead,)
    )


class SuspensionWatch:
    """Calls *suspended* with the number of seconds, on the event loop, between start() and stop()."""

    def __init__(self, suspended: Callable[[float], None]) -> None:
        self._suspended = suspended
        self._clocks: tuple[float, ...] = ()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Begin; may be called again."""
        self.stop()
        self._clocks = read_clocks()
        self._timer = asyncio.get_running_loop().call_later(PERIOD, self._look)

    def stop(self) -> None:
        """End; may be called twice."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _look(self) -> None:
        before = self._clocks
        self.start()
        seconds = max(now - then for now, then in zip(self._clocks, before, strict=True))
        if seconds >= _LEAST:
            self._suspended(seconds)
