"""How much of the traffic near instances get: levels by distance, and when nearness is set aside.

The levels are Envoy's priority levels with its overprovisioning factor ("Priority levels" in its manual): the
nearest level gets the traffic, and gives up a part of it when less than 1 / 1.4 = 72 % of it is healthy. Two
rules are added, because Envoy's configuration says where all callers are, and a caller here knows only where
it runs itself:

- No level gets more than twice the share that it would have without levels. One near instance beside nine
  distant ones carries the load of two, even if all callers are in one place.
- A level is set aside for one request if an instance drawn from it has more than twice the load of a distant
  one, or takes more than twice the time: nearness isn't worth waiting for. One request in twenty ignores the
  levels, so that distant instances are known well enough to be compared.
"""

from bisect import bisect_right
from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import accumulate
from typing import Final, NamedTuple

from peerage.balancing.drawing import draw_one
from peerage.balancing.stats import Stats
from peerage.records.instance import Instance

#: The factor by which each level is assumed to be larger than necessary.
OVERPROVISIONING: Final = 1.4

#: How many times the share that it would have without levels a level may get.
MOST: Final = 2.0

#: A level is set aside if an instance of it has more than so many times the load or latency of a distant one.
_WORSE: Final = 2.0

#: The share of the requests that ignore the levels.
_IGNORING: Final = 0.05

#: Seconds after which it is computed again how much of each level is healthy.
_JUDGED_SECONDS: Final = 0.25


class Place(NamedTuple):
    """Where the caller runs; both ids folded. Whether an instance is on the same host, the instance says."""

    node_id: str | None = None
    site_id: str | None = None


#: The place of a caller of which nothing is known.
NOWHERE: Final = Place()


class Group(list[Instance]):
    """An unchanging list of instances, with the sums of weights by which the balancer draws from it."""

    __slots__ = ("shares", "weight")

    def __init__(self, instances: Iterable[Instance]) -> None:
        super().__init__(instances)
        weights = {instance.weight for instance in self}
        equal = len(weights) == 1
        self.shares = None if equal else [*accumulate(instance.weight for instance in self)]
        """Running sums of the weights; None if all are equal."""
        self.weight = len(self) * weights.pop() if self.shares is None else self.shares[-1]
        """The sum of the weights."""

    def draw(self, chance: float) -> Instance:
        """Return one instance, in proportion to the weights, by a random number from 0 to 1."""
        return draw_one(self, self.shares, chance)


def traffic(levels: Sequence[tuple[float, float]]) -> list[float]:
    """Return the share of the traffic that each level gets.

    Args:
        levels: for each level, the nearest first, the weight of its healthy instances and of all of them.

    Returns:
        shares that add up to 1; an empty list if no instance is healthy.
    """
    healthy = sum(each for each, _ in levels)
    if not healthy:
        return []
    shares, left = [0.0] * len(levels), 1.0
    # If the levels aren't healthy enough for all the traffic, the second round distributes what is left.
    for factor in (OVERPROVISIONING, float("inf")):
        for number, (well, weight) in enumerate(levels):
            if well:
                most = min(factor * well / weight, MOST * well / healthy)
                more = min(left, max(0.0, most - shares[number]))
                shares[number] += more
                left -= more
    return shares


class Levels:
    """The instances of a service by their distance from the caller.

    Args:
        groups: at least two, the nearest first.
    """

    __slots__ = ("_groups", "_healthy_until", "_judged_until", "_others", "_until", "_weights")

    def __init__(self, groups: Sequence[Group]) -> None:
        self._groups = groups
        # The other levels of each, and the sums of their weights.
        self._others: list[tuple[list[Group], float]] = []
        for group in groups:
            others = [other for other in groups if other is not group]
            self._others.append((others, sum(other.weight for other in others)))
        self._until = _bounds(traffic([(group.weight, group.weight) for group in groups]))
        self._healthy_until = self._until
        self._judged_until = float("-inf")
        self._weights: dict[str, tuple[int, float]] | None = None

    def choose(
        self,
        known: Callable[[str], Stats | None],
        avoided: Collection[str],
        now: float,
        random: Callable[[], float],
    ) -> Group | None:
        """Return the level from which to choose the instance for the next request; None: from all instances.

        Args:
            known: returns the figures of an instance by the name of its record.
            avoided: the names of the records of the instances that get no requests at the moment.
            now: the time in seconds.
            random: returns random numbers from 0 to 1.
        """
        until = self._until if not avoided else self._judge(avoided, now)
        number = bisect_right(until, random())
        if number >= len(until):
            return None
        group = self._groups[number]
        near = group.draw(random())
        if near.name in avoided or (stats := known(near.name)) is None:
            return group
        # A busy instance is compared with two distant ones, of which one is more likely to be idle.
        for _ in range(2 if stats.outstanding else 1):
            other = self._draw_other(number, random(), random())
            if other.name not in avoided and _is_worse(stats, near, known(other.name), other, now):
                return None
        return group

    def _draw_other(self, number: int, chance: float, other_chance: float) -> Instance:
        """Return an instance of another level than that with this number."""
        others, weight = self._others[number]
        point = chance * weight
        for each in others[:-1]:
            if point < each.weight:
                return each.draw(other_chance)
            point -= each.weight
        return others[-1].draw(other_chance)

    def _judge(self, avoided: Collection[str], now: float) -> Sequence[float]:
        """Return the running sums of the shares when only the instances that aren't avoided count."""
        if now >= self._judged_until:
            self._judged_until = now + _JUDGED_SECONDS
            weights = self._weights
            if weights is None:
                weights = self._weights = _weights_of(self._groups)
            healthy = [group.weight for group in self._groups]
            for name in avoided:
                if (found := weights.get(name)) is not None:
                    number, weight = found
                    healthy[number] -= weight
            self._healthy_until = _bounds(
                # After the subtractions a rounding error may be left instead of 0.
                traffic(
                    [
                        (left if left > 1e-9 * group.weight else 0.0, group.weight)
                        for left, group in zip(healthy, self._groups, strict=True)
                    ]
                )
            )
        return self._healthy_until


def levels_of(instances: Sequence[Instance], place: Place) -> Levels | None:
    """Group *instances* by distance from *place*: same host, node, site; None if all are equally far."""
    node = None if place.node_id is None else ("node_id", place.node_id)
    site = None if place.site_id is None else ("site_id", place.site_id)
    found: tuple[list[Instance], ...] = ([], [], [], [])
    host_level, node_level, site_level, others = found
    for instance in instances:
        if instance.same_host:
            host_level.append(instance)
        elif node is not None and node in instance.ids:
            node_level.append(instance)
        elif site is not None and site in instance.ids:
            site_level.append(instance)
        else:
            others.append(instance)
    groups = [Group(each) for each in found if each]
    return Levels(groups) if len(groups) > 1 else None


def _bounds(shares: Sequence[float]) -> Sequence[float]:
    """Return running sums of *shares*, scaled so that some requests ignore the levels."""
    return [*accumulate(share * (1.0 - _IGNORING) for share in shares)]


def _weights_of(groups: Sequence[Group]) -> dict[str, tuple[int, float]]:
    return {each.name: (number, each.weight) for number, group in enumerate(groups) for each in group}


def _is_worse(stats: Stats, near: Instance, others: Stats | None, other: Instance, now: float) -> bool:
    """Tell whether *near* has so much more load or latency than *other* that it shouldn't be preferred."""
    load = 0.0 if others is None else others.load(now)
    if stats.load(now) * other.weight > _WORSE * load * near.weight:
        return True
    if others is None or others.latency is None or stats.latency is None:
        return False
    return stats.latency > _WORSE * others.latency
