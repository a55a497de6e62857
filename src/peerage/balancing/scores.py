"""Which of two instances is the better one for the next request."""

from collections.abc import Callable
from typing import Final

from peerage.balancing.stats import Stats
from peerage.records.instance import Instance

#: Returns a positive number if the first of two instances is better, a negative one if the second is, and 0
#: if they are equal, so that the balancer's own shares decide.
Score = Callable[[Instance, Stats, Instance, Stats], float]

_EQUAL: Final = 0.0


def least_outstanding(one: Instance, stats: Stats, other: Instance, other_stats: Stats) -> float:
    """Prefer the instance with fewer requests under way, in proportion to the weights.

    With different weights an instance is worse only if it has more under way than the other would have with
    one request more: a request less than that is the grain of the comparison, and deciding by it would give
    the lighter instance more than its share.
    """
    load, other_load = stats.outstanding, other_stats.outstanding
    if load == other_load == 0:
        return _EQUAL
    if one.weight == other.weight:
        return other_load - load
    if load * other.weight > (other_load + 1) * one.weight:
        return -1.0
    return 1.0 if other_load * one.weight > (load + 1) * other.weight else _EQUAL
