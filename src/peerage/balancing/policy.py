"""Which of two instances is the better one for the next request."""

from collections.abc import Mapping
from random import Random
from typing import Final, Protocol

from peerage.records.instance import Instance

__all__ = ["LeastOutstanding", "Policy"]

# One tie in eight is left to chance: a strict rotation would fall into step with a caller that alternates
# light and heavy requests, and send all the heavy ones to the same instance.
_CHANCE: Final = 0.125

#: Instances whose last pick is remembered before the older half of it is forgotten, at least.
_REMEMBERED: Final = 1024


class Policy(Protocol):
    """Decides between two instances drawn at random, and hears of every request that starts and ends."""

    def choose(self, one: Instance, other: Instance, outstanding: Mapping[str, int]) -> Instance:
        """Return the better of the two for the next request.

        Args:
            one: an instance; which of the two comes first is random.
            other: another one.
            outstanding: requests under way by node; 0 is left out.
        """

    def started(self, instance: Instance) -> None:
        """A request was given to *instance*."""

    def finished(self, instance: Instance) -> None:
        """A request given to *instance* has ended, however it ended."""


class LeastOutstanding:
    """Fewest requests under way in proportion to the weight; a tie goes to the one picked longer ago.

    Ties by time since the last pick keep the spread over equal idle instances even, and give a newcomer its
    share without a flood: one request makes it the most recent of all. Between idle instances of different
    weight chance decides, in proportion to the weights of the two.

    Args:
        rng: source of randomness.
    """

    def __init__(self, rng: Random) -> None:
        self._random = rng.random
        self._picks = 0
        self._last_pick: dict[str, int] = {}
        self._forget_above = _REMEMBERED

    def choose(self, one: Instance, other: Instance, outstanding: Mapping[str, int]) -> Instance:
        """Return the better of the two for the next request; see :class:`Policy`."""
        load, other_load = outstanding.get(one.name, 0), outstanding.get(other.name, 0)
        if one.weight != other.weight:
            return self._choose_weighted(one, load, other, other_load)
        if load != other_load:
            return one if load < other_load else other
        last_pick = self._last_pick
        if last_pick.get(one.name, 0) <= last_pick.get(other.name, 0):
            return one
        return one if self._random() < _CHANCE else other

    def _choose_weighted(self, one: Instance, load: int, other: Instance, other_load: int) -> Instance:
        relative, other_relative = load * other.weight, other_load * one.weight
        if relative != other_relative:
            return one if relative < other_relative else other
        return one if self._random() * (one.weight + other.weight) < one.weight else other

    def started(self, instance: Instance) -> None:
        """Remember that *instance* was picked just now."""
        self._picks += 1
        self._last_pick[instance.name] = self._picks
        if len(self._last_pick) > self._forget_above:
            self._forget_older_half()

    def finished(self, instance: Instance) -> None:
        """Nothing to learn from the end of a request; the balancer keeps the count."""

    def _forget_older_half(self) -> None:
        """Let go of nodes that may be long gone; forgotten means picked long ago, so the order stays true."""
        newest = sorted(self._last_pick.items(), key=lambda item: item[1])[len(self._last_pick) // 2 :]
        self._last_pick = dict(newest)
        self._forget_above = max(_REMEMBERED, 2 * len(newest))
