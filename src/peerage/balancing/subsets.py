"""A subset of many instances for each caller, so that not every caller connects to every instance.

Each caller ranks the instances by a hash that includes a random number of the caller, and uses the first
ones: random subsetting by rendezvous hashing, gRPC's proposal A68. When one instance joins or leaves, at most
one member of a caller's subset changes. The load is even on average only, because the number of callers that
use an instance is random. So subsets should have at least 20 instances.
"""

from collections.abc import Sequence
from heapq import nsmallest
from typing import Final

from peerage.balancing.rendezvous import mix
from peerage.records.instance import Instance

#: Services with no more instances than this are used as a whole.
WHOLE: Final = 100


def subset(instances: Sequence[Instance], size: int, salt: int) -> Sequence[Instance]:
    """Return *size* of *instances*, or all of them if there are no more than 100.

    Args:
        instances: in any order.
        size: the size of the subset.
        salt: a random number of the caller.
    """
    if len(instances) <= max(size, WHOLE):
        return instances
    # Python caches the hash of a str, so this is quick. Hashes differ between processes, which does no harm.
    salt = mix(salt)
    return nsmallest(size, instances, key=lambda each: mix(mix(hash(each.name) ^ salt)))
