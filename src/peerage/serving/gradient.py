"""How many requests a server takes at the same time, learnt from how long they last; pure.

If a server takes more requests than it can serve, each of them waits, until callers give up and its work is
wasted. This shows in how long requests last: if more of them are under way than the server can work on, each
lasts longer than usual.

The rules are those of Netflix' concurrency-limits: ``Gradient2Limit``, with the windows of ``WindowedLimit``
and their defaults.
"""

from typing import Final

from peerage.errors import ConfigurationError

#: Seconds after which the limit is computed again, and the least number of requests that it is computed from.
_WINDOW: Final = 1.0
_FEWEST: Final = 10

#: Requests that may wait in addition to those that the server can work on, so that the limit can grow.
_QUEUE: Final = 4

#: Windows over which the usual duration is smoothed, and how many of the first have the same weight.
_LONG: Final = 600
_WARM_UP: Final = 10

#: If requests last shorter than usual by this factor, the usual duration was learnt under too much load, and
#: is reduced.
_FAR_BELOW: Final = 2.0
_PULL: Final = 0.95

#: The smallest factor by which the limit is multiplied in one step.
_STEEPEST: Final = 0.5


class Gradient2:
    """A limit for the requests under way that adapts itself.

    It grows while requests last as long as they usually do, and shrinks when they last longer than that by
    the factor *tolerance*. It stays as it is while less than half of it is used.

    At a busy server, a request waits for as many seconds as the limit divided by the requests served in a
    second. A server that serves fewer than about 50 in a second needs smaller limits, or callers give up.

    Args:
        initial: the limit at first.
        least: the smallest limit.
        most: the largest limit.
        tolerance: how many times as long as usual requests may last.
        smoothing: the weight of one window, from 0 to 1.

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
            seconds: how long the request lasted; None if that is no measure, for example after an error.
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
