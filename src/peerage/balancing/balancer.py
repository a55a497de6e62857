"""Power of two choices: draw two instances at random, give the request to the better one.

The cost doesn't depend on the number of instances, callers don't all choose the same instance, and requests
are spread nearly as evenly as if all instances were compared (Mitzenmacher, "The Power of Two Choices in
Randomized Load Balancing").

Both are drawn in proportion to their weights. If the score finds them equal, the one that is further behind
its share gets the request (stride scheduling: Waldspurger and Weihl, 1995). So weights are shares as long as
the instances are equally fast, and a slow instance gets less.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from copy import copy
from random import Random
from typing import Final, Self

from peerage.balancing.counts import Observer
from peerage.balancing.drawing import draw_one, draw_two, shares_of
from peerage.balancing.ejection import Ejection
from peerage.balancing.locality import Group, Levels
from peerage.balancing.rendezvous import TOGETHER, Rendezvous, capacity
from peerage.balancing.scores import Score, least_outstanding
from peerage.balancing.service import Service
from peerage.balancing.stats import Stats
from peerage.balancing.table import Pick, Probe, Table
from peerage.records.instance import Instance

# One tie in eight is decided by the draw: a strict rotation would coincide with callers that alternate light
# and heavy requests, and send all the heavy ones to the same instance.
_CHANCE: Final = 0.125

#: How far an instance may fall behind another and still catch up, in requests of the lighter of the two. What
#: exceeds this is forgotten.
_LAG: Final = 16

#: More instances than the two drawn are compared if the better one has more requests under way than the mean;
#: above so many requests, where that helps less, than so many times the mean.
_FEW: Final = 2
_MUCH: Final = 1.5

#: Draws made to find two eligible instances, before the whole list is searched.
_DRAWS: Final = 24

#: How many avoided instances a request checks for a due probe, if most of many are avoided.
_TRIALS: Final = 4

#: The size of the sample from which the least loaded instance, or the one avoided longest, is taken.
_LOOKED_AT: Final = 16


class Balancer:
    """Picks instances by the figures that its :class:`~peerage.balancing.table.Table` keeps of each.

    Args:
        rng: source of randomness.
        clock: monotonic time in seconds.
        score: compares the two instances drawn.
        ejection: when instances that fail are ejected.
        observer: counts what happens.
    """

    def __init__(
        self,
        rng: Random,
        clock: Callable[[], float],
        *,
        score: Score = least_outstanding,
        ejection: Ejection | None = None,
        observer: Observer | None = None,
    ) -> None:
        self.observer = Observer() if observer is None else observer
        """Counts what happens."""
        self._random = rng.random
        self._clock = clock
        self._score = score
        ejection = Ejection() if ejection is None else ejection
        self._table = Table(rng, ejection=ejection, observer=self.observer)
        self.service = self._table.service
        """Returns what is known about all instances of a name together."""
        self.due: Collection[Instance] = self._table.due
        """The instances to be probed in the background; see :meth:`take_due`."""
        # For callers that don't name a service.
        self._unnamed = self._table.service(("", ""))

    def scoring(self, score: Score) -> Self:
        """Return a balancer that compares instances by *score*; it shares all that is known with this one."""
        other = copy(self)
        other._score = score  # noqa: SLF001 - of the same class
        return other

    def stats(self, name: str) -> Stats | None:
        """Return what is known about the instance with this record; None before its first request."""
        return self._table.stats.get(name)

    @property
    def services(self) -> Mapping[tuple[str, str], Service]:
        """What is known about each name that was called, by key and value."""
        return self._table.services

    def was_called(self, name: tuple[str, str]) -> bool:
        """Tell whether *name* has been called."""
        return name in self._table.services

    @property
    def outstanding(self) -> Mapping[str, int]:
        """The number of requests under way, by the name of the record; instances without any are left out."""
        return self._table.outstanding

    @property
    def avoided(self) -> Collection[str]:
        """The names of the records of the instances that get no requests at the moment."""
        return self._table.avoided.keys()

    def take_due(self) -> Mapping[Instance, Probe]:
        """Return the instances to be probed, each once, and how; report each result to :meth:`probed`."""
        return self._table.take_due()

    def probed(self, name: str, *, passed: bool) -> None:
        """Record whether the instance with this record passed its probe."""
        self._table.probed(name, self._clock(), passed=passed)

    def check_stalled(self, pick: Pick) -> bool:
        """Tell whether the instance of a request under way is avoided or dead; probe it if it may be.

        Call this from time to time for requests that are older than a second.
        """
        return self._table.check_stalled(pick, self._clock())

    def joined(self, name: str) -> None:
        """Give an instance that has just been started few requests at first: it is probably still cold."""
        self._table.joined(name, self._clock())

    def forget(self, name: str, *, drained: bool = False) -> None:
        """Drop the figures of an instance whose record was removed, once it has no request under way.

        Unless it has *drained*, it is probably dead, and those requests aren't answered.
        """
        self._table.forget(name, drained=drained)

    def __len__(self) -> int:
        """Return the number of instances that are known."""
        return len(self._table.stats)

    def pick(
        self,
        instances: Sequence[Instance],
        service: Service | None = None,
        *,
        size: int | None = None,
        tried: Collection[str] = (),
        safe: bool = True,
        last_resort: bool = False,
    ) -> Pick | None:
        """Choose the instance for the next request.

        Args:
            instances: those to choose from; their attribute ``shares``, if any, has running sums of their
                weights.
            service: what is known about all of them together.
            size: how many instances the service has, if *instances* are only a part of them.
            tried: the names of the records of instances to which this request was sent before.
            safe: whether the request may probe an ejected instance.
            last_resort: choose the instance that has been avoided longest.

        Returns:
            None if every instance was tried or is avoided, or if there are none.
        """
        if service is None:
            service = self._unnamed
        now, count = self._clock(), len(instances)
        service.size = size or count
        if last_resort:
            return self._pick_avoided(instances, tried, service, now)
        if tried or self._table.avoided:
            return self._pick_eligible(instances, tried, service, now, safe=safe)
        if count > 1:
            return self._pick_of_many(instances, count, service, now)
        return Pick(self._table, instances[0], None, service, now) if count else None

    def pick_for_key(
        self,
        key: str,
        rendezvous: Rendezvous,
        service: Service,
        *,
        tried: Collection[str] = (),
        safe: bool = True,
    ) -> Pick | None:
        """Choose the first instance in the order of *key* that is eligible and isn't too busy.

        Returns:
            None if there is none; use :meth:`pick` then.
        """
        now, known = self._clock(), self._table.stats
        service.size = rendezvous.size
        for each in rendezvous.order(key):
            if each.name in tried or not self._table.is_eligible(each, now, safe=safe):
                continue
            stats = known.get(each.name)
            most = capacity(service.outstanding, each.weight / rendezvous.weight)
            if stats is None or stats.pending(now) < (most if stats.trouble else max(most, TOGETHER)):
                return Pick(self._table, each, stats, service, now)
        return None

    def pick_near(
        self,
        levels: Levels,
        service: Service,
        *,
        size: int,
        tried: Collection[str] = (),
        safe: bool = True,
    ) -> Pick | None:
        """Choose an instance of one of *levels*.

        Returns:
            None if there is none, or if nearness is set aside for this request; use :meth:`pick` then.
        """
        group = levels.choose(self.stats, self._table.avoided, self._clock(), self._random)
        return None if group is None else self.pick(group, service, size=size, tried=tried, safe=safe)

    # Drawing

    def _pick_of_many(self, instances: Sequence[Instance], count: int, service: Service, now: float) -> Pick:
        """Give the request to the better one of two instances drawn at random."""
        random, shares = self._random, shares_of(instances)
        if shares is None:
            first = int(random() * count)
            second = int(random() * (count - 1))
            if second >= first:
                second += 1
        else:
            first, second = draw_two(shares, random(), random())
        chosen, stats = self._better(instances[first], instances[second], now)
        # Both may be failing, or slow, so that they hold more than their share of the requests under way.
        if (stats.trouble is not None and stats.trouble.penalty(now)) or (
            stats.outstanding
            and stats.outstanding * service.size
            > service.outstanding * (_MUCH if stats.outstanding > _FEW else 1.0)
            and shares is None
            and self._score is least_outstanding
        ):
            chosen, stats = self._least_loaded(instances, chosen, stats, now)
        return Pick(self._table, chosen, stats, service, now)

    def _least_loaded(
        self, instances: Sequence[Instance], chosen: Instance, stats: Stats, now: float
    ) -> tuple[Instance, Stats]:
        """Return the least loaded instance, of a sample if there are many, or *chosen* if none is better."""
        known, least = self._table.stats, stats.load(now) / chosen.weight
        if (count := len(instances)) > _LOOKED_AT:
            instances = [draw_one(instances, None, self._random()) for _ in range(_LOOKED_AT)]
        else:
            # Of equal ones the first is taken: that must not always be the same one.
            begin = int(self._random() * count)
            instances = [*instances[begin:], *instances[:begin]]
        stats.position -= 1.0 / chosen.weight
        for each in instances:
            others = known.get(each.name)
            if others is None:
                others, _ = self._table.begin_together(each, chosen)
            load = others.load(now) / each.weight
            if load < least:
                chosen, stats, least = each, others, load
        stats.position += 1.0 / chosen.weight
        return chosen, stats

    def _pick_eligible(
        self,
        instances: Sequence[Instance],
        tried: Collection[str],
        service: Service,
        now: float,
        *,
        safe: bool,
    ) -> Pick | None:
        """Give the request to an instance that is neither tried nor avoided."""
        is_eligible, avoided, count = self._table.is_eligible, self._table.avoided, len(instances)
        if count > _DRAWS and len(avoided) * 2 > count:
            # Most may be avoided. Each request checks a few of them for a due probe.
            for _ in range(_TRIALS):
                drawn = draw_one(instances, None, self._random())
                name = drawn.name
                if name in avoided and name not in tried and is_eligible(drawn, now, safe=safe):
                    return Pick(self._table, drawn, None, service, now)
            instances = self._not_avoided(instances, service)
        if len(instances) > _DRAWS:
            pick = self._draw_eligible(instances, tried, service, now, safe=safe)
            if pick is not None:
                return pick
        eligible = [
            each for each in instances if each.name not in tried and is_eligible(each, now, safe=safe)
        ]
        if len(eligible) > 1:
            return self._pick_of_many(eligible, len(eligible), service, now)
        return Pick(self._table, eligible[0], None, service, now) if eligible else None

    def _not_avoided(self, instances: Sequence[Instance], service: Service) -> Sequence[Instance]:
        """Return those of *instances* that aren't avoided; the list is searched after changes only."""
        avoided, known = self._table.avoided, service.not_avoided
        state = (getattr(instances, "version", None), len(instances), self._table.changes)
        if known is None or known[0] is not instances or known[1] != state:
            rest = [each for each in instances if each.name not in avoided]
            known = service.not_avoided = instances, state, Group(rest) if rest else ()
        return known[2]

    def _draw_eligible(
        self,
        instances: Sequence[Instance],
        tried: Collection[str],
        service: Service,
        now: float,
        *,
        safe: bool,
    ) -> Pick | None:
        """Give the request to the better of two eligible instances drawn; None if none was drawn."""
        is_eligible, avoided = self._table.is_eligible, self._table.avoided
        shares, found = shares_of(instances), None
        for _ in range(_DRAWS):
            drawn = draw_one(instances, shares, self._random())
            name = drawn.name
            if name in tried or (name in avoided and not is_eligible(drawn, now, safe=safe)):
                continue
            if found is None:
                found = drawn
            elif drawn is not found:
                chosen, stats = self._better(found, drawn, now)
                return Pick(self._table, chosen, stats, service, now)
        return None if found is None else Pick(self._table, found, None, service, now)

    def _pick_avoided(
        self, instances: Sequence[Instance], tried: Collection[str], service: Service, now: float
    ) -> Pick | None:
        """Give the request to the instance avoided longest, of a sample if there are many."""
        if len(instances) > _LOOKED_AT:
            instances = [draw_one(instances, None, self._random()) for _ in range(_LOOKED_AT)]
        untried = [each for each in instances if each.name not in tried]
        if not untried:
            return None
        return Pick(self._table, min(untried, key=self._retry_at), None, service, now)

    def _retry_at(self, instance: Instance) -> float:
        trouble = self._table.avoided.get(instance.name)
        return 0.0 if trouble is None or trouble.retry_at is None else trouble.retry_at

    # Comparing

    def _better(self, one: Instance, other: Instance, now: float) -> tuple[Instance, Stats]:
        """Return the better one of two instances, and count that it was chosen."""
        known = self._table.stats
        stats, other_stats = known.get(one.name), known.get(other.name)
        if stats is None or other_stats is None:
            stats, other_stats = self._table.begin_together(one, other)
        ahead = other_stats.position - stats.position
        if (
            stats.outstanding == other_stats.outstanding
            and (not stats.outstanding or one.weight == other.weight)
            and stats.trouble is other_stats.trouble
            and self._score is least_outstanding
        ):
            # Most requests take this branch, which saves them the call.
            score = 0.0
        else:
            score = self._score(one, stats, other, other_stats, now)
        if score < 0.0 or (score == 0.0 and ahead < 0.0 and self._random() >= _CHANCE):
            # If both are equal, the one further behind its share, save for the ties that the draw decides.
            one, stats, other, ahead = other, other_stats, one, -ahead
        weight = one.weight
        if ahead * weight > _LAG and ahead * other.weight > _LAG:
            stats.position += ahead - _LAG / min(weight, other.weight)
        stats.position += 1.0 / weight
        return one, stats
