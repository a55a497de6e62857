"""Detects when this process itself is late, because it was stopped or gets too little CPU time.

A time limit that passes meanwhile says nothing about the instance, whose answer may have arrived long before.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from math import inf
from typing import Final

#: The instance of a request is excused if this process was late for more than this share of its time.
_SHARE: Final = 0.25

#: Seconds from which a delay counts, and how many delays are remembered: those of at least half a minute.
_DELAY: Final = 0.01
_REMEMBERED: Final = 300

#: How many timers a countdown consists of.
_PARTS: Final = 10


class Lateness:
    """Compares when a timer was due with when it ran.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._due = inf
        # When a timer ran, and how many seconds late it was.
        self._delays: deque[tuple[float, float]] = deque(maxlen=_REMEMBERED)

    def expect(self, seconds: float) -> None:
        """Take note that a timer is due in *seconds*."""
        self._due = self._clock() + seconds

    def met(self) -> None:
        """Take note that the timer runs now."""
        now = self._clock()
        if (delay := now - self._due) > _DELAY:
            self._delays.append((now, delay))
        self._due = inf

    def excuses(self, began: float) -> bool:
        """Tell whether a time-out of a request that began at *began* says nothing about its instance."""
        now = self._clock()
        late = max(0.0, now - self._due) + sum(
            min(delay, at - began) for at, delay in self._delays if at > began
        )
        return late > _SHARE * (now - began)


class Countdown:
    """Calls *ended* after some seconds, in which the event loop has run several times.

    So what arrived while this process was stopped is read before.

    Args:
        seconds: after which *ended* is called.
        ended: called without arguments, unless :meth:`cancel` was called before.
    """

    def __init__(self, seconds: float, ended: Callable[[], object]) -> None:
        self._ended = ended
        self._part = seconds / _PARTS
        self._left = _PARTS
        self._wait()

    def cancel(self) -> None:
        """Stop counting; *ended* isn't called."""
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
        TimeoutError: the block took longer than *seconds*.
    """
    async with asyncio.timeout(None) as limit:
        countdown = Countdown(seconds, lambda: limit.reschedule(0.0))
        try:
            yield
        finally:
            countdown.cancel()
