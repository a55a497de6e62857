"""The instances under one ``(key, value)``, by whether they can be called.

Adding, removing and picking one at random cost the same for one instance and for ten thousand.
"""

from collections.abc import Sequence
from enum import Enum, auto
from itertools import chain
from operator import attrgetter
from typing import Final

from peerage.records.instance import Instance

__all__ = ["Bucket", "Members", "Standing", "prefer_ready", "standing_of", "urls_of"]

# Up to here a search through the list is as quick as a dictionary, and a third of the memory: most buckets
# hold one instance, because every instance has an instance_id of its own.
_SEARCHED: Final = 16

_urls = attrgetter("urls")

_NOBODY: Final[Sequence[Instance]] = ()


class Standing(Enum):
    """Whether requests go to an instance."""

    READY = auto()
    DRAINING = auto()
    UNCALLABLE = auto()
    """It can't be called."""


# To look a member up in its enumeration takes as long as half of an entry into a bucket.
_READY: Final = Standing.READY
_DRAINING: Final = Standing.DRAINING


def standing_of(instance: Instance) -> Standing:
    """Return how *instance* stands; it never changes, a changed record is another Instance."""
    if not instance.callable:
        return Standing.UNCALLABLE
    return Standing.DRAINING if instance.draining else Standing.READY


class Members(list[Instance]):
    """A list that removes in constant time and doesn't keep its order."""

    __slots__ = ("_places",)

    def __init__(self) -> None:
        super().__init__()
        self._places: dict[Instance, int] | None = None

    def add(self, instance: Instance) -> None:
        """Append *instance*, which isn't there."""
        if self._places is not None:
            self._places[instance] = len(self)
        elif len(self) >= _SEARCHED:
            self._places = {member: place for place, member in enumerate(self)}
            self._places[instance] = len(self)
        self.append(instance)

    def discard(self, instance: Instance) -> None:
        """Remove *instance*, which is there; the last one takes its place."""
        places = self._places
        place = self.index(instance) if places is None else places.pop(instance)
        last = self.pop()
        if last is not instance:
            self[place] = last
            if places is not None:
                places[last] = place


def prefer_ready(instances: Sequence[Instance]) -> list[Instance]:
    """Return where new requests go: whoever isn't draining; if all are, they still serve, so all of them.

    The same rule as kube-proxy's for terminating endpoints.
    """
    reachable = [instance for instance in instances if instance.callable]
    return [instance for instance in reachable if not instance.draining] or reachable


def urls_of(instances: Sequence[Instance]) -> tuple[str, ...]:
    """Return the URLs of all *instances*; those of records that say the same are repeated."""
    if len(instances) == 1:
        # Shared with the instance: most buckets hold one, and a copy would cost each 64 bytes.
        return instances[0].urls
    return tuple(chain.from_iterable(map(_urls, instances)))


class Bucket(Members):
    """All visible instances with one id; as a list, those that are ready for requests.

    The others stand aside. It is one object and not several, because there are more buckets than instances,
    and the garbage collector looks at each.
    """

    __slots__ = ("_draining", "_idle", "_urls")

    def __init__(self) -> None:
        super().__init__()
        self._draining: Members | None = None
        self._idle: Members | None = None
        self._urls: tuple[str, ...] | None = None

    def enter(self, instance: Instance, standing: Standing) -> None:
        """Take *instance* in, which stands as :func:`standing_of` says."""
        self._urls = None
        if standing is _READY:
            self.add(instance)
        elif standing is _DRAINING:
            if self._draining is None:
                self._draining = Members()
            self._draining.add(instance)
        else:
            if self._idle is None:
                self._idle = Members()
            self._idle.add(instance)

    def leave(self, instance: Instance, standing: Standing) -> None:
        """Let *instance* go, which entered with the same standing."""
        self._urls = None
        if standing is _READY:
            self.discard(instance)
        else:
            group = self._draining if standing is _DRAINING else self._idle
            if group is not None:
                group.discard(instance)

    @property
    def size(self) -> int:
        """How many there are, the ones that can't be called included."""
        return len(self) + len(self._draining or ()) + len(self._idle or ())

    @property
    def targets(self) -> Sequence[Instance]:
        """Where new requests go: the rule of :func:`prefer_ready`. Look, don't keep: it is the own list."""
        return self or self._draining or _NOBODY

    @property
    def everybody(self) -> list[Instance]:
        """All of them, the ones that can't be called included."""
        return [*self, *(self._draining or ()), *(self._idle or ())]

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of the targets; made once after each change."""
        urls = self._urls
        if urls is None:
            urls = self._urls = urls_of(self.targets)
        return urls
