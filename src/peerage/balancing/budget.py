"""How many requests to one service may be repeated: a share of those that succeeded.

Repetitions help as long as few requests fail, and keep a service overloaded that fails because it is
overloaded. So each success earns a fraction of a repetition, and there is no constant part: the load on a
service that is down grows by at most that fraction of what succeeded before. The idea is that of gRPC's retry
throttling (proposal A6); a budget with a constant number of repetitions per second multiplies the load of
callers that make few requests.
"""

from typing import Final

from peerage.balancing.window import Window

#: Repetitions that one success earns.
RETRY_SHARE: Final = 0.1

#: Repetitions that a caller has before its first success; used once.
FIRST_RETRIES: Final = 5


class RetryBudget:
    """The repetitions that the requests to one service may have; they are lost after 10 seconds.

    Args:
        share: repetitions that one success earns; 0 switches repetitions off.
        first: repetitions at the beginning.
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
        """Return how many requests may be repeated at *now*; never negative."""
        return self._earned(now) + self._first

    def spend(self, now: float) -> bool:
        """Take one repetition; False if there is none."""
        if self._earned(now):
            self._spent.add(now)
            return True
        if self._first > 0:
            self._first -= 1
            return True
        return False

    def _earned(self, now: float) -> int:
        """Return how many of the repetitions that successes earned are left."""
        return max(0, int(self._share * self._successes.total(now)) - self._spent.total(now))
