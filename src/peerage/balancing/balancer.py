"""Power of two choices: draw two instances at random, give the request to the better one.

Constant time whatever the number of instances, no herding, and nearly as even as looking at all of them
(Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing").
"""

from collections.abc import Collection, Mapping, Sequence
from random import Random
from types import MappingProxyType

from peerage.balancing.policy import LeastOutstanding, Policy
from peerage.records.instance import Instance

__all__ = ["Balancer"]


class Balancer:
    """Picks instances and counts the requests under way at each.

    Counts belong to the node, not to the Instance: a record that changes under way keeps its count.

    Args:
        rng: source of randomness.
        policy: decides between the two drawn; :class:`LeastOutstanding` if not given.
    """

    def __init__(self, rng: Random, policy: Policy | None = None) -> None:
        self._random = rng.random
        self._policy = LeastOutstanding(rng) if policy is None else policy
        self._outstanding: dict[str, int] = {}
        self.outstanding: Mapping[str, int] = MappingProxyType(self._outstanding)
        """Requests under way by node, a live view; a node without any isn't in it."""

    def pick(self, instances: Sequence[Instance], avoid: Collection[str] = ()) -> Instance | None:
        """Return the instance for the next request; nothing is counted yet, see :meth:`started`.

        Args:
            instances: those to choose from.
            avoid: nodes of instances that aren't wanted, typically those tried before.

        Returns:
            None if there is none, or all are to be avoided.
        """
        count = len(instances)
        if count < 2:  # noqa: PLR2004 - less than a pair
            return instances[0] if count and instances[0].name not in avoid else None
        place = int(self._random() * count)
        other_place = int(self._random() * (count - 1))
        if other_place >= place:
            other_place += 1
        one, other = instances[place], instances[other_place]
        if avoid:
            if one.name in avoid:
                return other if other.name not in avoid else self._pick_from_rest(instances, avoid)
            if other.name in avoid:
                return one
        return self._policy.choose(one, other, self._outstanding)

    def _pick_from_rest(self, instances: Sequence[Instance], avoid: Collection[str]) -> Instance | None:
        return self.pick([instance for instance in instances if instance.name not in avoid])

    def started(self, instance: Instance) -> None:
        """A request is given to *instance*; :meth:`finished` must follow, once."""
        node = instance.name
        self._outstanding[node] = self._outstanding.get(node, 0) + 1
        self._policy.started(instance)

    def finished(self, instance: Instance) -> None:
        """A request given to *instance* has ended, however it ended. One too many is ignored."""
        node = instance.name
        count = self._outstanding.get(node, 0)
        if count == 0:
            return
        if count == 1:
            del self._outstanding[node]
        else:
            self._outstanding[node] = count - 1
        self._policy.finished(instance)
