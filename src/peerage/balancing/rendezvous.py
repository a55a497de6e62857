"""The same instance for the same key: rendezvous hashing, with a bound on the load of each instance.

Each pair of key and instance has a pseudo-random number, and the instance with the highest number gets the
requests of the key. If an instance leaves, only its keys move, each to the next instance in the order of that
key; an instance that joins takes over only the keys for which it has the highest number. Callers that know
the same instances choose the same one, without talking to each other.

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

#: How many times the mean load an instance may have and still get requests for its keys.
BOUND: Final = 1.25

#: Requests that a healthy instance may always have under way: what one task group asks at once for one key
#: finds the same cache, however little else is asked.
TOGETHER: Final = 4

#: Instances that are candidates for one key: the chance that all of them are too busy is below 0.1 %.
_CANDIDATES: Final = 16

#: Keys whose order of instances is remembered.
_REMEMBERED: Final = 4096

#: Characters of a key that is remembered as it is; a longer one, such as a prompt, by its digest.
_LONGEST: Final = 100

_BITS: Final = 64
_MASK: Final = (1 << _BITS) - 1
# The first is of Steele and Vigna, "Computationally Easy, Spectrally Good Multipliers" (2021).
_MULTIPLIER: Final = 0xD1342543DE82EF95
_SHIFT: Final = 32


def capacity(under_way: int, share: float) -> int:
    """Return how many requests an instance may have under way, this one included.

    Args:
        under_way: the requests under way at all instances, this one excluded.
        share: the weight of the instance as a share of all weights.
    """
    return ceil(BOUND * (under_way + 1) * share)


class Rendezvous:
    """The order of the instances of a service for each key.

    Args:
        instances: in any order. Each is identified by its ``instance_id``, so that it has the same keys again
            after a restart, or by the name of its record if it has no ``instance_id`` or shares it.
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
        self._orders = LRUCache[str | int, Sequence[Instance]](_REMEMBERED)

    def order(self, key: str) -> Sequence[Instance]:
        """Return the first instances for *key*, the best one first.

        The first time that a key is seen, this takes time in proportion to the number of instances.
        """
        short = key if len(key) <= _LONGEST else _digest(key)
        found = self._orders.get(short)
        if found is None:
            digest, instances = _digest(key), self._instances
            # This is mix(), inlined because a call for each instance takes too long.
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
            found = self._orders[short] = [instances[number] for number in best]
        return found


def mix(number: int) -> int:
    """Return a number of 64 bits, of which the higher ones depend on all bits of *number*."""
    return (number ^ number >> _SHIFT) * _MULTIPLIER & _MASK


def _instance_id(instance: Instance) -> str | None:
    # A record has at most one id with this key, and that is its first one.
    ids = instance.ids
    return ids[0][1] if ids and ids[0][0] == "instance_id" else None


def _digest(text: str) -> int:
    # Surrogates occur in texts that came from bytes.
    return int.from_bytes(blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


_digest_of_instance = lru_cache(maxsize=16384)(_digest)
