"""When a request is sent to a second instance because the first takes longer than usual.

A service that asks many others often meets the slowest of their answers. A second request after the time that
nearly all answers take, and the first answer of the two, cut them off (Dean and Barroso, "The Tail at Scale",
2013). If everything becomes slow, more requests than usual exceed that time. Their number is limited to a
share of the answers, so hedging adds no load where load is the reason.

That time must be exceeded by fewer requests than may be hedged. After the 95th percentile, for example, five
of a hundred would compete for two second requests, and most of the slow ones would get none.
"""

from typing import Final

from peerage.balancing.budget import RetryBudget
from peerage.balancing.quantile import Quantile

#: The share of the answers whose time is waited for.
_USUAL: Final = 0.985

#: Second requests, as a share of the answers.
HEDGED_SHARE: Final = 0.02


class Hedging:
    """The usual time of one service, and how many requests may be hedged."""

    __slots__ = ("budget", "usual")

    def __init__(self) -> None:
        self.usual = Quantile(_USUAL)
        self.budget = RetryBudget(HEDGED_SHARE, first=0)

    def answered(self, seconds: float, now: float) -> None:
        """Record that a request was answered at *now* after so many seconds."""
        self.usual.add(seconds)
        self.budget.succeeded(now)
