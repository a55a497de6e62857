"""The visible instances by each of their ids, grouped by whether requests go to them."""

from collections.abc import Sequence
from itertools import chain
from operator import attrgetter
from typing import Final

from peerage.directory.members import Members, SingleMember
from peerage.records.instance import Instance

__all__ = ["Bucket", "Index", "preferred", "urls_of"]

_Pair = tuple[str, str]

_urls = attrgetter("urls")

_NO_INSTANCES: Final = Members()


def preferred(instances: Sequence[Instance]) -> list[Instance]:
    """Return those of *instances* to which requests go: ready ones, or draining ones if there are no others.

    This is kube-proxy's rule for terminating endpoints.
    """
    callable_ones = [instance for instance in instances if instance.callable]
    return [instance for instance in callable_ones if not instance.draining] or callable_ones


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

    __slots__ = ("_draining", "_ready", "_uncallable", "_urls")

    def __init__(self) -> None:
        self._ready = Members()
        # Made when they are needed: there are thousands of buckets, and few have instances that aren't ready.
        self._draining = self._uncallable = _NO_INSTANCES
        self._urls: tuple[str, ...] | None = None

    def add(self, instance: Instance) -> None:
        """Add *instance*."""
        self._urls = None
        self._group(instance).add(instance)

    def discard(self, instance: Instance) -> None:
        """Remove *instance*, which was added."""
        self._urls = None
        self._group(instance).discard(instance)

    def _group(self, instance: Instance) -> Members:
        if not instance.callable:
            self._uncallable = self._uncallable or Members()
            return self._uncallable
        if instance.draining:
            self._draining = self._draining or Members()
            return self._draining
        return self._ready

    def __len__(self) -> int:
        """Return the number of instances, those that aren't called included."""
        return len(self._ready) + len(self._draining) + len(self._uncallable)

    @property
    def all(self) -> list[Instance]:
        """The instances, those that aren't called included."""
        return [*self._ready, *self._draining, *self._uncallable]

    @property
    def targets(self) -> Members:
        """Those that :func:`preferred` selects. This is the bucket's own list: don't change or keep it."""
        return self._ready or self._draining

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of the targets; made once after each change."""
        urls = self._urls
        if urls is None:
            urls = self._urls = urls_of(self.targets)
        return urls


class Index:
    """The instances under each ``(key, value)``; a pair without instances isn't kept.

    Most pairs belong to one instance, for example its ``instance_id``. Such a pair is mapped to the instance
    itself: a bucket for each would cost 150 bytes and time of the garbage collector.
    """

    def __init__(self) -> None:
        self._found: dict[_Pair, Instance | Bucket] = {}

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._found)

    def add(self, instance: Instance, replaced: Instance | None = None) -> None:
        """Add *instance* under all its ids; where *replaced*, discarded next, is alone, instead of it."""
        for pair in instance.ids:
            found = self._found.get(pair)
            if found is None or found is replaced:
                self._found[pair] = instance
                continue
            if not isinstance(found, Bucket):
                bucket = self._found[pair] = Bucket()
                bucket.add(found)
                found = bucket
            found.add(instance)

    def discard(self, instance: Instance) -> None:
        """Remove *instance*, which was added, from under all its ids."""
        for pair in instance.ids:
            found = self._found[pair]
            if isinstance(found, Bucket):
                found.discard(instance)
                if not found:
                    del self._found[pair]
            elif found is instance:  # otherwise its successor has taken its place
                del self._found[pair]

    def targets(self, pair: _Pair) -> Members:
        """Return where requests for *pair* go. The list may be the index's own: don't change or keep it."""
        found = self._found.get(pair)
        if isinstance(found, Bucket):
            return found.targets
        return _NO_INSTANCES if found is None or not found.callable else SingleMember(found)

    def urls(self, pair: _Pair) -> tuple[str, ...]:
        """Return the URLs of the targets of *pair*; URLs that several records advertise are repeated."""
        found = self._found.get(pair)
        return found.urls if isinstance(found, Bucket) or (found is not None and found.callable) else ()

    def matching(self, pairs: Sequence[_Pair]) -> list[Instance]:
        """Return all instances that have all of *pairs*, those that aren't called included."""
        groups = [self._found[pair] for pair in pairs if pair in self._found]
        if len(groups) < len(pairs):
            return []
        rarest = min(groups, key=_size)
        candidates = rarest.all if isinstance(rarest, Bucket) else [rarest]
        return [instance for instance in candidates if all(pair in instance.ids for pair in pairs)]


def _size(group: Instance | Bucket) -> int:
    return len(group) if isinstance(group, Bucket) else 1
