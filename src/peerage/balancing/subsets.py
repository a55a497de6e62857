"""Some of many instances for each caller, so that not every caller connects to every instance.

Each caller ranks the instances by a hash with a random number of its own, and uses the first ones: random
subsetting by rendezvous hashing, gRPC's proposal A68. A change of one instance changes at most one of a
caller's subset. The load is even on average only: an instance is in the subsets of more or fewer callers by
chance, so subsets should have at least 20 instances.
"""

from collections.abc import Sequence
from heapq import nsmallest
from typing import Final

from peerage.balancing.rendezvous import mix
from peerage.records.instance import Instance

#: Services with no more instances than this are used as a whole.
WHOLE: Final = 100


def subset(instances: Sequence[Instance], size: int, salt: int) -> Sequence[Instance]:
    """Return *size* of *instances*, or all if there are few.

    Args:
        instances: in any order.
        size: how many of them.
        salt: a random number of the caller.
    """
    if len(instances) <= max(size, WHOLE):
        return instances
    # Python remembers the hash of each text: this is quick. Other processes have other hashes.
    salt = mix(salt)
    return nsmallest(size, instances, key=lambda each: mix(mix(hash(each.name) ^ salt)))
