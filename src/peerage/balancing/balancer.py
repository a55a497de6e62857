"""Power of two choices: draw two instances at random, give the request to the better one.

The cost doesn't depend on the number of instances, callers don't all choose the same instance, and requests
are spread nearly as evenly as by looking at all instances (Mitzenmacher, "The Power of Two Choices in
Randomized Load Balancing").

Both are drawn in proportion to their weights. If the score finds them equal, the one that is further behind
its share gets the request (stride scheduling: Waldspurger and Weihl, 1995). So weights are shares as long as
the instances are equally fast, and a slow instance gets less.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import accumulate
from random import Random
from typing import Final

from peerage.balancing.outcome import Outcome
from peerage.balancing.scores import Score, least_outstanding
from peerage.balancing.stats import Stats
from peerage.records.instance import Instance

#: Seconds for which an instance that accepted no connection is avoided. Then one request tries it again.
AVOID_SECONDS: Final = 1.0

# One tie in eight is decided by the draw: a strict rotation would coincide with callers that alternate light
# and heavy requests, and send all the heavy ones to the same instance.
_CHANCE: Final = 0.125

#: Requests of the lighter of two instances by which one may be behind the other and still catch up.
_LAG: Final = 16

#: Draws in search of instances that aren't avoided, before all are looked through.
_DRAWS: Final = 24

#: Avoided instances among which the one avoided longest is looked for.
_LAST_RESORTS: Final = 16

#: No connection was made, or by mistake: the next request would meet the same.
_AVOIDED: Final = frozenset({Outcome.UNRESOLVED, Outcome.CONNECT_FAILED, Outcome.MISDIRECTED})

#: These say nothing about the instance.
_NEUTRAL: Final = frozenset({Outcome.OUT_OF_RESOURCES, Outcome.CANCELLED})


class Pick:
    """One request given to one instance, counted as under way until :meth:`done`."""

    __slots__ = ("_balancer", "instance", "stats")

    def __init__(self, balancer: "Balancer", instance: Instance, stats: Stats) -> None:
        self.instance = instance
        """The instance chosen."""
        self.stats = stats
        """What is known of it."""
        self._balancer: Balancer | None = balancer

    def connected(self) -> None:
        """Tell the balancer that the instance can be connected to, so that others needn't avoid it."""
        if self.stats.retry_at is not None and self._balancer is not None:
            self._balancer._readmit(self.instance.name, self.stats)  # noqa: SLF001 - as in done()

    def done(self, outcome: Outcome, seconds: float) -> None:
        """Tell the balancer how the request ended, and after how many seconds; only the first call counts."""
        balancer, self._balancer = self._balancer, None
        if balancer is not None:
            balancer._finish(self.instance.name, self.stats, outcome, seconds)  # noqa: SLF001 - a Pick is part of its Balancer


class Balancer:
    """Picks instances, and keeps one table of what is known about each.

    The table is kept by the name of the record: an Instance whose record changes keeps its figures.

    Args:
        rng: source of randomness.
        clock: monotonic time in seconds.
        score: compares the two instances drawn.
        avoid_seconds: how long an instance that accepted no connection is avoided.
    """

    def __init__(
        self,
        rng: Random,
        clock: Callable[[], float],
        *,
        score: Score = least_outstanding,
        avoid_seconds: float = AVOID_SECONDS,
    ) -> None:
        self._random = rng.random
        self._clock = clock
        self._score = score
        self._avoid_seconds = avoid_seconds
        self._stats: dict[str, Stats] = {}
        self._avoided: dict[str, Stats] = {}

    def stats(self, name: str) -> Stats | None:
        """Return what is known about the instance with this record; None before its first request."""
        return self._stats.get(name)

    @property
    def outstanding(self) -> Mapping[str, int]:
        """The number of requests under way, by the name of the record; instances without any are left out."""
        return {name: stats.outstanding for name, stats in self._stats.items() if stats.outstanding}

    @property
    def avoided(self) -> Collection[str]:
        """The names of the records of instances that accepted no connection a moment ago."""
        return self._avoided.keys()

    def __len__(self) -> int:
        """Return the number of instances in the table."""
        return len(self._stats)

    def pick(
        self, instances: Sequence[Instance], tried: Collection[str] = (), *, last_resort: bool = False
    ) -> Pick | None:
        """Choose the instance for the next request.

        Args:
            instances: those to choose from; they may have running sums of their weights as ``shares``.
            tried: names of records that aren't wanted, because the same request was there before.
            last_resort: choose among the avoided instances the one that has been avoided longest.

        Returns:
            None if there is none, or each was tried or is avoided.
        """
        if last_resort:
            return self._pick_avoided(instances, tried)
        if tried or self._avoided:
            return self._pick_eligible(instances, tried)
        count = len(instances)
        if count > 1:
            return self._pick_of_many(instances, count)
        return self._give(instances[0]) if count else None

    def forget(self, name: str) -> None:
        """Drop what is known about an instance whose record was removed, once no request is under way."""
        stats = self._stats.get(name)
        if stats is None:
            return
        self._avoided.pop(name, None)
        stats.retry_at = None
        if stats.outstanding:
            stats.retired = True
        else:
            del self._stats[name]

    # Drawing

    def _pick_of_many(self, instances: Sequence[Instance], count: int) -> Pick:
        """Give the request to the better one of two instances drawn at random."""
        random, shares = self._random, _shares_of(instances)
        if shares is None:
            first = int(random() * count)
            second = int(random() * (count - 1))
            if second >= first:
                second += 1
            return self._pick_better(instances[first], instances[second])
        # The second is drawn from what is left of the line when the first one's share is cut out of it.
        last, total = count - 1, shares[-1]
        first = min(bisect_right(shares, random() * total), last)
        begin = shares[first - 1] if first else 0.0
        width = shares[first] - begin
        point = random() * (total - width)
        second = min(bisect_right(shares, point if point < begin else point + width), last)
        if second == first:
            # Rounding at an edge of a share.
            second = first - 1 if first else 1
        return self._pick_better(instances[first], instances[second])

    def _pick_eligible(self, instances: Sequence[Instance], tried: Collection[str]) -> Pick | None:
        """Give the request to an instance that neither was tried nor is avoided."""
        now, count = self._clock(), len(instances)
        if count > _DRAWS:
            shares, one = _shares_of(instances), None
            for _ in range(_DRAWS):
                drawn = self._draw_one(instances, shares)
                if drawn is not one and self._is_eligible(drawn.name, tried, now):
                    if one is not None:
                        return self._pick_better(one, drawn)
                    one = drawn
            if one is not None:
                return self._give(one)
        eligible = [each for each in instances if self._is_eligible(each.name, tried, now)]
        if len(eligible) > 1:
            return self._pick_of_many(eligible, len(eligible))
        return self._give(eligible[0]) if eligible else None

    def _draw_one(self, instances: Sequence[Instance], shares: Sequence[float] | None) -> Instance:
        if shares is None:
            return instances[int(self._random() * len(instances))]
        return instances[min(bisect_right(shares, self._random() * shares[-1]), len(shares) - 1)]

    def _is_eligible(self, name: str, tried: Collection[str], now: float) -> bool:
        if name in tried:
            return False
        stats = self._avoided.get(name)
        return stats is None or stats.retry_at is None or stats.retry_at <= now

    def _pick_avoided(self, instances: Sequence[Instance], tried: Collection[str]) -> Pick | None:
        """Give the request to the instance avoided longest, of some drawn at random if there are many."""
        if len(instances) > _LAST_RESORTS:
            instances = [self._draw_one(instances, None) for _ in range(_LAST_RESORTS)]
        untried = [each for each in instances if each.name not in tried]
        return self._give(min(untried, key=self._retry_at)) if untried else None

    def _retry_at(self, instance: Instance) -> float:
        stats = self._avoided.get(instance.name)
        return 0.0 if stats is None or stats.retry_at is None else stats.retry_at

    # Comparing

    def _pick_better(self, one: Instance, other: Instance) -> Pick:
        """Give the request to the better one of two instances."""
        known = self._stats
        stats, other_stats = known.get(one.name), known.get(other.name)
        if stats is None or other_stats is None:
            stats, other_stats = self._begin_together(one, other)
        ahead = other_stats.position - stats.position
        if (
            stats.outstanding == other_stats.outstanding
            and (not stats.outstanding or one.weight == other.weight)
            and self._score is least_outstanding
        ):
            # The way of most requests, without the call.
            score = 0.0
        else:
            score = self._score(one, stats, other, other_stats)
        if score < 0.0 or (score == 0.0 and ahead < 0.0 and self._random() >= _CHANCE):
            # Equal ones: the one further behind its share, or as drawn.
            one, stats, other, ahead = other, other_stats, one, -ahead
        weight = one.weight
        if ahead * weight > _LAG and ahead * other.weight > _LAG:
            stats.position += ahead - _LAG / min(weight, other.weight)
        stats.position += 1.0 / weight
        return self._give(one, stats)

    def _begin_together(self, one: Instance, other: Instance) -> tuple[Stats, Stats]:
        """Return the figures of both; a newcomer begins where the other is, so it gets just its share."""
        known = self._stats
        stats, other_stats = known.get(one.name), known.get(other.name)
        if stats is None:
            stats = known[one.name] = Stats(other_stats.position if other_stats is not None else 0.0)
        if other_stats is None:
            other_stats = known[other.name] = Stats(stats.position)
        return stats, other_stats

    def _give(self, instance: Instance, stats: Stats | None = None) -> Pick:
        """Count the request as under way at *instance*."""
        if stats is None:
            stats = self._stats.get(instance.name)
            if stats is None:
                stats = self._stats[instance.name] = Stats()
        stats.outstanding += 1
        if stats.retry_at is not None:
            # One request tries it; the others go on avoiding it until that one is answered.
            stats.retry_at = self._clock() + self._avoid_seconds
        return Pick(self, instance, stats)

    # The way back

    def _finish(self, name: str, stats: Stats, outcome: Outcome, seconds: float) -> None:
        stats.outstanding -= 1
        if stats.retired:
            if not stats.outstanding and self._stats.get(name) is stats:
                del self._stats[name]
        elif outcome is Outcome.ANSWERED:
            stats.answered(seconds)
            if stats.retry_at is not None:
                self._readmit(name, stats)
        elif outcome in _AVOIDED:
            stats.failures += 1
            stats.retry_at = self._clock() + self._avoid_seconds
            self._avoided[name] = stats
        elif outcome not in _NEUTRAL:
            stats.failures += 1
            # A connection was made.
            self._readmit(name, stats)

    def _readmit(self, name: str, stats: Stats) -> None:
        stats.retry_at = None
        self._avoided.pop(name, None)


def _shares_of(instances: Sequence[Instance]) -> Sequence[float] | None:
    """Return running sums of the weights; None if all weights are equal."""
    try:
        shares: Sequence[float] | None = instances.shares  # type: ignore[attr-defined] # the directory's own lists have them
    except AttributeError:
        weights = [instance.weight for instance in instances]
        return None if min(weights) == max(weights) else [*accumulate(weights)]
    return shares
