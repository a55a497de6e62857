"""The retry budget of a service: how many requests may be retried, as a share of those that succeeded.

Retries help as long as few requests fail. If a service fails because it is overloaded, they keep it
overloaded. So each success earns a fraction of a retry, and there is no constant part: the load on a service
that is down grows by at most that fraction of its earlier successes. The idea is that of gRPC's retry
throttling (proposal A6). A budget with a constant number of retries per second would multiply the load that
callers with few requests cause.
"""

from typing import Final

from peerage.balancing.window import Window

#: Retries that one success earns.
RETRY_SHARE: Final = 0.1

#: Retries that a caller has at the beginning; they are used once.
FIRST_RETRIES: Final = 5


class RetryBudget:
    """The retries that the requests to one service may have; earned ones expire after 5 to 10 seconds.

    Args:
        share: retries that one success earns; 0 switches retries off.
        first: retries at the beginning.
    """

    __slots__ = ("_first", "_share", "_spent", "_successes", "succeeded")

    def __init__(self, share: float = RETRY_SHARE, first: int = FIRST_RETRIES) -> None:
        self._share = share
        self._first = first if share else 0
        self._successes = Window()
        self._spent = Window()
        # Not a method, which would cost each request one more call.
        self.succeeded: Final = self._successes.add
        """Counts a request that was answered at a time, in seconds."""

    def balance(self, now: float) -> int:
        """Return how many requests may be retried at *now*; never negative."""
        return self._earned(now) + self._first

    def spend(self, now: float) -> bool:
        """Take one retry; False if there is none."""
        if self._earned(now):
            self._spent.add(now)
            return True
        if self._first > 0:
            self._first -= 1
            return True
        return False

    def _earned(self, now: float) -> int:
        """Return how many of the earned retries are left."""
        return max(0, int(self._share * self._successes.total(now)) - self._spent.total(now))
