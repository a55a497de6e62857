"""When a request is hedged: sent to a second instance because its answer takes longer than usual.

A service that calls many others often has to wait for the slowest of their answers. If a request is sent to a
second instance after the time that nearly all answers take, and the first answer of the two is used, the slow
ones no longer matter (Dean and Barroso, "The Tail at Scale", 2013). When everything becomes slow, more
requests than usual exceed that time. So the number of hedges is limited to a share of the answers, and
hedging adds no load where load is the cause.

Fewer requests must exceed that time than may be hedged. After the 95th percentile, for example, five requests
of a hundred would compete for two hedges, and most of the slow ones would get none.
"""

from typing import Final

from peerage.balancing.budget import RetryBudget
from peerage.balancing.quantile import Quantile

#: The share of the answers that arrive before a request is hedged.
_USUAL: Final = 0.985

#: Hedges, as a share of the answers.
HEDGED_SHARE: Final = 0.02


class Hedging:
    """How long answers to the hedged requests of one service usually take, and how many may be hedged."""

    __slots__ = ("budget", "usual")

    def __init__(self) -> None:
        self.usual = Quantile(_USUAL)
        self.budget = RetryBudget(HEDGED_SHARE, first=0)

    def answered(self, seconds: float, now: float) -> None:
        """Record that a request was answered at *now*, after *seconds*."""
        self.usual.add(seconds)
        self.budget.succeeded(now)
