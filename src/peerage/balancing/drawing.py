"""Drawing instances in proportion to their weights, by random numbers from 0 to 1."""

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate

from peerage.records.instance import Instance


def draw_one(instances: Sequence[Instance], shares: Sequence[float] | None, chance: float) -> Instance:
    """Return one of *instances*; *shares* are the running sums of their weights, None if these are equal."""
    position = int(chance * len(instances)) if shares is None else bisect_right(shares, chance * shares[-1])
    # Rounding, or a random number of 1, may lead beyond the end.
    return instances[min(position, len(instances) - 1)]


def draw_two(shares: Sequence[float], chance: float, other_chance: float) -> tuple[int, int]:
    """Return the positions of two instances, drawn in proportion to their weights by two random numbers."""
    # The second is drawn from what is left of the line when the first one's share is cut out of it.
    last, total = len(shares) - 1, shares[-1]
    first = min(bisect_right(shares, chance * total), last)
    begin = shares[first - 1] if first else 0.0
    width = shares[first] - begin
    point = other_chance * (total - width)
    second = min(bisect_right(shares, point if point < begin else point + width), last)
    if second == first:
        # Rounding at an edge of a share.
        second = first - 1 if first else 1
    return first, second


def shares_of(instances: Sequence[Instance]) -> Sequence[float] | None:
    """Return the running sums of the weights; None if all weights are equal."""
    try:
        shares: Sequence[float] | None = instances.shares  # type: ignore[attr-defined] # the directory's own lists have them
    except AttributeError:
        weights = [instance.weight for instance in instances]
        return None if min(weights) == max(weights) else [*accumulate(weights)]
    return shares
