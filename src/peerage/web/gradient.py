"""How many requests a server takes at the same time, learnt from how long they last; pure.

A server that takes more requests than it can serve makes each of them wait, until callers give up and nothing
that it does is of use. The time that requests last shows it: with more of them under way than the server can
work on, each lasts longer than usual.

The rules are those of Netflix' concurrency-limits: ``Gradient2Limit``, with the windows of ``WindowedLimit``
and their defaults.
"""

from typing import Final

from peerage.errors import ConfigurationError

#: Seconds after which the limit is computed again, and the least number of requests that it is computed from.
_WINDOW: Final = 1.0
_FEWEST: Final = 10

#: Requests that may wait beside those that the server can work on, so that the limit can grow.
_QUEUE: Final = 4

#: Windows over which the usual duration is smoothed, and how many of the first have the same weight.
_LONG: Final = 600
_WARM_UP: Final = 10

#: Durations below the usual one by this factor pull it down, for it was learnt while there was too much load.
_FAR_BELOW: Final = 2.0
_PULL: Final = 0.95

#: The limit is multiplied by this, at the least, in one step.
_STEEPEST: Final = 0.5


class Gradient2:
    """A limit for the requests under way, which adapts.

    It grows while requests last as long as they usually do, and shrinks when they last longer than that by
    the factor *tolerance*. It stays as it is while less than half of it is used.

    Requests wait in front of a busy server for the limit divided by the requests that it serves in a second.
    A server that serves fewer than about 50 in a second needs smaller limits than these, or callers give up.

    Args:
        initial: the limit at first.
        least: below this it never falls.
        most: above this it never rises.
        tolerance: how many times longer than usual requests may last.
        smoothing: weight of what one window says, 0 to 1.

    Raises:
        ConfigurationError: an argument is out of its range.
    """

    def __init__(
        self,
        *,
        initial: int = 20,
        least: int = 20,
        most: int = 200,
        tolerance: float = 1.5,
        smoothing: float = 0.2,
    ) -> None:
        if not 1 <= least <= initial <= most:
            raise ConfigurationError(
                f"Gradient2(least={least}, initial={initial}, most={most}): the limits must be at least 1 "
                "and in this order."
            )
        if not (tolerance >= 1 and 0 < smoothing <= 1):
            raise ConfigurationError(
                f"Gradient2(tolerance={tolerance}, smoothing={smoothing}): the tolerance must be at least 1, "
                "the smoothing between 0 and 1."
            )
        self._limit = float(initial)
        self._least, self._most = least, most
        self._tolerance, self._smoothing = tolerance, smoothing
        self._under_way = 0
        self._usual = 0.0
        self._windows = 0
        self._window_ends = 0.0
        self._sum, self._count = 0.0, 0
        self._peak = 0

    @property
    def limit(self) -> int:
        """How many requests may be under way at the moment."""
        return int(self._limit)

    @property
    def under_way(self) -> int:
        """How many requests are under way."""
        return self._under_way

    def admit(self) -> bool:
        """Take one more request, which :meth:`done` ends; False if it must be refused."""
        if self._under_way >= self.limit:
            return False
        self._under_way += 1
        self._peak = max(self._peak, self._under_way)
        return True

    def done(self, now: float, seconds: float | None) -> None:
        """End a request.

        Args:
            now: seconds of a clock that never goes back.
            seconds: how long the request lasted; None if that says nothing, such as after an error.
        """
        self._under_way -= 1
        if seconds is None:
            return
        self._sum += seconds
        self._count += 1
        if now >= self._window_ends and self._count >= _FEWEST:
            self._adapt(self._sum / self._count)
            self._begin_window(now)

    def _begin_window(self, now: float) -> None:
        self._window_ends = now + _WINDOW
        self._sum, self._count = 0.0, 0
        self._peak = self._under_way

    def _adapt(self, duration: float) -> None:
        """Compute the limit again, after a window in which requests lasted *duration* on average."""
        self._learn(duration)
        if self._peak < self._limit / 2:
            return
        gradient = 1.0 if duration <= 0 else self._tolerance * self._usual / duration
        wanted = self._limit * max(_STEEPEST, min(1.0, gradient)) + _QUEUE
        smoothed = self._limit * (1 - self._smoothing) + wanted * self._smoothing
        self._limit = max(self._least, min(self._most, smoothed))

    def _learn(self, duration: float) -> None:
        self._windows = min(self._windows + 1, _LONG)
        weight = 1 / self._windows if self._windows <= _WARM_UP else 2 / (_LONG + 1)
        self._usual += weight * (duration - self._usual)
        if self._usual > _FAR_BELOW * duration:
            self._usual *= _PULL
