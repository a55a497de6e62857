"""The instances under one ``(key, value)``, grouped by whether requests go to them."""

from collections.abc import Sequence
from enum import Enum, auto
from itertools import chain
from operator import attrgetter
from typing import Final

from peerage.directory.members import Members
from peerage.records.instance import Instance

__all__ = ["PREFERRED", "Bucket", "Standing", "urls_of"]

_urls = attrgetter("urls")


class Standing(Enum):
    """Whether requests go to an instance."""

    READY = auto()
    DRAINING = auto()
    """It is about to stop, and still serves."""
    UNCALLABLE = auto()
    """It has no address to call, or no process owns its record."""


# A look-up in the enumeration takes half as long as everything else that adding to a bucket does.
_READY: Final = Standing.READY

#: Requests go to the first of these standings that an instance has: draining ones if there are no others.
#: This is kube-proxy's rule for terminating endpoints.
PREFERRED: Final = (Standing.READY, Standing.DRAINING)


def urls_of(instances: Sequence[Instance]) -> tuple[str, ...]:
    """Return the URLs of all *instances*; URLs that several records advertise are repeated."""
    if len(instances) == 1:
        # Most buckets hold one instance: its own tuple is shared, since a copy would take 64 bytes.
        return instances[0].urls
    return tuple(chain.from_iterable(map(_urls, instances)))


class Bucket:
    """All visible instances with one id.

    Adding, removing and picking one at random take the same time for one instance and for ten thousand.
    """

    __slots__ = ("_others", "_ready", "_urls")

    def __init__(self) -> None:
        self._ready = Members()
        # Made when it is needed: there are thousands of buckets, and few have instances that aren't ready.
        self._others: dict[Standing, Members] | None = None
        self._urls: tuple[str, ...] | None = None

    def add(self, instance: Instance, standing: Standing) -> None:
        """Add *instance* to the group of *standing*."""
        self._urls = None
        self._group(standing).add(instance)

    def discard(self, instance: Instance, standing: Standing) -> None:
        """Remove *instance* from the group of *standing*, to which it was added."""
        self._urls = None
        self._group(standing).discard(instance)

    def _group(self, standing: Standing) -> Members:
        if standing is _READY:
            return self._ready
        if self._others is None:
            self._others = {}
        group = self._others.get(standing)
        if group is None:
            group = self._others[standing] = Members()
        return group

    def __len__(self) -> int:
        """Return the number of instances of every standing."""
        return len(self._ready) + (sum(map(len, self._others.values())) if self._others else 0)

    @property
    def all(self) -> list[Instance]:
        """The instances of every standing."""
        return [*self._ready, *chain.from_iterable(self._others.values() if self._others else ())]

    @property
    def targets(self) -> Members:
        """Where new requests go. This is the bucket's own list: don't change it, and don't keep it."""
        if self._ready or not self._others:
            return self._ready
        return next((self._others[each] for each in PREFERRED if self._others.get(each)), self._ready)

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of the targets; made once after each change."""
        urls = self._urls
        if urls is None:
            urls = self._urls = urls_of(self.targets)
        return urls
