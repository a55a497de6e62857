"""The same instance for the same key: rendezvous hashing, with a bound on the load of each instance.

Each pair of key and instance has a pseudo-random number, and the instance with the highest one gets the
requests of the key. If an instance leaves, only its own keys move, each to the next in its own order; if one
joins, it takes over just the keys that become its own. Callers need not agree on anything but the instances.

Sources: Thaler and Ravishankar, "A Name-Based Mapping Scheme for Rendezvous" (1996); weights as in
Schindelhauer and Schomaker, "Weighted Distributed Hash Tables" (2005); the bound from Mirrokni, Thorup and
Zadimoghaddam, "Consistent Hashing with Bounded Loads" (2016).
"""

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from heapq import nlargest
from math import ceil, log
from typing import Final

from cachetools import LRUCache

from peerage.records.instance import Instance

#: An instance gets requests for its keys up to so many times the mean load.
BOUND: Final = 1.25

#: Instances that are in question for one key: the chance that all are too busy is less than 0.1 %.
_CANDIDATES: Final = 16

#: Keys of which the order of the instances is remembered.
_REMEMBERED: Final = 4096

_BITS: Final = 64
_MASK: Final = (1 << _BITS) - 1
# The first is of Steele and Vigna, "Computationally Easy, Spectrally Good Multipliers" (2021).
_MULTIPLIER: Final = 0xD1342543DE82EF95
_SHIFT: Final = 32


def capacity(under_way: int, share: float) -> int:
    """Return how many requests an instance may have under way, this one included.

    Args:
        under_way: the requests under way at all instances, without this one.
        share: the share of the instance in the sum of the weights.
    """
    return ceil(BOUND * (under_way + 1) * share)


class Rendezvous:
    """The order of the instances of a service for each key.

    Args:
        instances: in any order. Each is known by its ``instance_id``, so that it has the same keys again
            after a restart; by the name of its record if it has none, or one that others have, too.
    """

    __slots__ = ("_digests", "_equal", "_instances", "_orders", "size", "weight")

    def __init__(self, instances: Sequence[Instance]) -> None:
        ids = [_instance_id(instance) for instance in instances]
        count = Counter(ids)
        self._digests = [
            _digest_of_instance(each.name if own is None or count[own] > 1 else own)
            for own, each in zip(ids, instances, strict=True)
        ]
        self._instances = [*instances]
        self.size = len(instances)
        """How many instances there are."""
        weights = [each.weight for each in instances]
        self.weight = sum(weights)
        """The sum of the weights."""
        self._equal = min(weights) == max(weights)
        self._orders = LRUCache[str, Sequence[Instance]](_REMEMBERED)

    def order(self, key: str) -> Sequence[Instance]:
        """Return the first instances for *key*, the best one first.

        It takes time for each instance when a key is seen first.
        """
        found = self._orders.get(key)
        if found is None:
            digest, instances = _digest(key), self._instances
            # As mix() does, without a call for each.
            scores: list[float] = [
                ((mixed := own ^ digest) ^ mixed >> _SHIFT) * _MULTIPLIER & _MASK for own in self._digests
            ]
            if not self._equal:
                # With equal weights the order is that of the numbers themselves.
                scores = [
                    each.weight / -log((score + 0.5) / (_MASK + 2))
                    for score, each in zip(scores, instances, strict=True)
                ]
            best = nlargest(_CANDIDATES, range(len(scores)), key=scores.__getitem__)
            found = self._orders[key] = [instances[number] for number in best]
        return found


def mix(number: int) -> int:
    """Return a number of 64 bits the higher of which depend on all bits of *number*."""
    return (number ^ number >> _SHIFT) * _MULTIPLIER & _MASK


def _instance_id(instance: Instance) -> str | None:
    # A record has one at most under this key, as its first id.
    ids = instance.ids
    return ids[0][1] if ids and ids[0][0] == "instance_id" else None


def _digest(text: str) -> int:
    # Surrogates occur in texts that came from bytes.
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


_digest_of_instance = lru_cache(maxsize=16384)(_digest)
