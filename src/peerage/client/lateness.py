"""Notices when this process itself is late, because it was stopped or gets too little CPU time.

A time limit that passes meanwhile says nothing about the instance: its answer may have been there for long.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Final

#: The share of a request's time in which this process must have been late for the instance to be excused.
_SHARE: Final = 0.25

#: Seconds from which a delay is one, and delays that are remembered: those of half a minute, if each is one.
_DELAY: Final = 0.01
_REMEMBERED: Final = 300

#: Parts in which a countdown waits.
_PARTS: Final = 10


class Lateness:
    """Compares when a timer was due with when it was run.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due = inf
        # When a timer was run, and how many seconds late.
        self._delays: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)

    def expect(self, seconds: float) -> None:
        """Take note that a timer is due in so many *seconds*."""
        self._due = self._clock() + seconds

    def met(self) -> None:
        """Take note that it is run now."""
        now = self._clock()
        if (delay := now - self._due) > _DELAY:
            self._delays.append((now, delay))
        self._due = inf

    def excuses(self, began: float) -> bool:
        """Tell whether a request that *began* then, and took too long, says nothing about its instance."""
        now = self._clock()
        late = max(0.0, now - self._due) + sum(
            min(delay, at - began) for at, delay in self._delays if at > began
        )
        return late > _SHARE * (now - began)


class Countdown:
    """Calls *ended* after some time in which the event loop has run several times.

    What arrived while this process was stopped is read before that.

    Args:
        seconds: how long.
        ended: is called, unless :meth:`cancel` was.
    """

    def __init__(self, seconds: float, ended: Callable[[], object]) -> None:
        self._ended = ended
        self._part = seconds / _PARTS
        self._left = _PARTS
        self._wait()

    def cancel(self) -> None:
        """Don't call it."""
        self._timer.cancel()

    def _wait(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._part, self._count)

    def _count(self) -> None:
        self._left -= 1
        if self._left:
            self._wait()
        else:
            self._ended()


@asynccontextmanager
async def patient_timeout(seconds: float) -> AsyncIterator[None]:
    """Limit a block like :func:`asyncio.timeout`, by a :class:`Countdown`.

    Raises:
        TimeoutError: it took longer.
    """
    async with asyncio.timeout(None) as limit:
        countdown = Countdown(seconds, lambda: limit.reschedule(0.0))
        try:
            yield
        finally:
            countdown.cancel()
