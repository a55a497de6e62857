"""Which of two instances is the better one for the next request."""

from collections.abc import Callable
from typing import Final

from peerage.balancing.stats import Stats
from peerage.records.instance import Instance

#: Returns a positive number if the first of two instances is better, a negative one if the second is, and 0
#: if they are equal, so that the instances' shares decide. The last argument is the time in seconds.
Score = Callable[[Instance, Stats, Instance, Stats, float], float]

_EQUAL: Final = 0.0

#: Seconds of latency below which instances count as equally fast, because differences are mostly noise.
LATENCY_FLOOR: Final = 0.01

#: Seconds for which the load that an instance reported counts.
REPORTED_SECONDS: Final = 3.0


def least_outstanding(one: Instance, stats: Stats, other: Instance, other_stats: Stats, now: float) -> float:
    """Prefer the instance with fewer requests under way, in proportion to the weights; failures count, too.

    With different weights, an instance is worse only if it has more under way than the other would have with
    one more request. To decide by smaller differences would give the lighter instance more than its share.
    """
    load, other_load = stats.load(now), other_stats.load(now)
    if load == other_load == 0:
        return _EQUAL
    if one.weight == other.weight:
        return other_load - load
    if load * other.weight > (other_load + 1) * one.weight:
        return -1.0
    return 1.0 if other_load * one.weight > (load + 1) * other.weight else _EQUAL


def peak_ewma(one: Instance, stats: Stats, other: Instance, other_stats: Stats, now: float) -> float:
    """Prefer the instance at which a request is likely to take less time, by latency and requests under way.

    The latency of an instance rises at once when an answer takes longer, and falls slowly, also while it gets
    no requests (Finagle's Peak EWMA). Use it for instances whose latencies differ by much more than 10 ms;
    among others it spreads requests unevenly. With different weights, differences of less than one request
    don't count, as in :func:`least_outstanding`.
    """
    latency = max(LATENCY_FLOOR, stats.expected_latency(now))
    other_latency = max(LATENCY_FLOOR, other_stats.expected_latency(now))
    load, other_load = stats.load(now), other_stats.load(now)
    weight, other_weight = one.weight, other.weight
    if weight == other_weight:
        return other_latency * (other_load + 1) - latency * (load + 1)
    # So much one request of its own counts for.
    own = max(weight, other_weight)
    if latency * (load * other_weight + own) > other_latency * ((other_load + 1) * weight + own):
        return -1.0
    return (
        1.0
        if other_latency * (other_load * weight + own) > latency * ((load + 1) * other_weight + own)
        else _EQUAL
    )


def reported_load(one: Instance, stats: Stats, other: Instance, other_stats: Stats, now: float) -> float:
    """Prefer the instance that has fewer requests under way, those of other callers included.

    Instances report the number with each answer, by the middleware :func:`peerage.web.report_load`. For an
    instance that has reported nothing for three seconds, only the requests of this process count. Use it if
    many callers make few requests each, so that none can tell from its own requests which instance is busy.
    The idea is that of Prequal (arXiv 2312.10172), which asks the instances in separate requests.
    """
    load, other_load = _reported(one, stats, now), _reported(other, other_stats, now)
    return _EQUAL if load == other_load else other_load - load


def _reported(instance: Instance, stats: Stats, now: float) -> float:
    reported = stats.reported if now < stats.reported_at + REPORTED_SECONDS else 0.0
    return (stats.load(now) + reported) / instance.weight
