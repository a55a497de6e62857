"""The time that all but a few requests take, estimated without keeping every observation."""

from math import log2
from typing import Final

#: Buckets for each doubling of the time; the estimate is at most a fifth too large.
_FINENESS: Final = 4

#: The upper bound of the first bucket, in seconds, and the number of buckets: up to two hours.
_FIRST: Final = 1e-4
_BUCKETS: Final = 4 * 26

#: Observations after which the estimate is renewed, and those after which all earlier ones count half.
_BATCH: Final = 64
_HALVED: Final = 4096


class Quantile:
    """Estimates a quantile of the latest times by a histogram of buckets that grow geometrically.

    Args:
        share: the share of the times that lies below it, 0.95 for the 95th percentile.
    """

    __slots__ = ("_counts", "_new", "_share", "_total", "value")

    def __init__(self, share: float) -> None:
        self._share = share
        self._counts = [0.0] * _BUCKETS
        self._total = 0.0
        self._new = 0
        self.value: float | None = None
        """The estimate in seconds; None until there are enough observations."""

    def add(self, seconds: float) -> None:
        """Add an observation."""
        position = int(_FINENESS * log2(seconds / _FIRST)) + 1 if seconds > _FIRST else 0
        self._counts[min(position, _BUCKETS - 1)] += 1.0
        self._total += 1.0
        self._new += 1
        if self._new == _BATCH:
            self._new = 0
            self._estimate()

    def _estimate(self) -> None:
        if self._total >= _HALVED:
            self._counts = [count / 2.0 for count in self._counts]
            self._total = sum(self._counts)
        left = self._share * self._total
        for position, count in enumerate(self._counts):
            left -= count
            if left <= 0.0:
                self.value = _FIRST * 2.0 ** (position / _FINENESS)
                return
