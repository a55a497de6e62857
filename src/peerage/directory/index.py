"""The visible instances by each of their ids, and the standing of each."""

from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Final

from peerage.directory.bucket import PREFERRED, Bucket, Standing
from peerage.directory.members import Members, SingleMember
from peerage.records.instance import Instance

__all__ = ["Index"]

_Pair = tuple[str, str]

_READY: Final = Standing.READY

_NO_INSTANCES: Final = Members()
_NO_URLS: Final[tuple[str, ...]] = ()


class Index:
    """The instances under each ``(key, value)``; a pair without instances isn't kept.

    Most pairs belong to one instance, for example its ``instance_id``. Such a pair is mapped to the instance
    itself: a bucket for each would cost 150 bytes and time of the garbage collector.
    """

    def __init__(self) -> None:
        self._found: dict[_Pair, Instance | Bucket] = {}
        # Of the instances that aren't ready: nearly all are.
        self._standings: dict[Instance, Standing] = {}

    def __len__(self) -> int:
        """Return the number of pairs."""
        return len(self._found)

    def standing(self, instance: Instance) -> Standing:
        """Return the standing with which *instance* was added."""
        return self._standings.get(instance, _READY)

    def standings(self) -> dict[Standing, int]:
        """Return how many instances have each standing that isn't READY."""
        return Counter(self._standings.values())

    def add(self, instance: Instance, standing: Standing, replaced: Instance | None = None) -> None:
        """Add *instance* under all its ids.

        Args:
            instance: a new one.
            standing: whether requests go to it.
            replaced: an instance that is discarded next. Where it is alone the new one takes its place.
        """
        if standing is not _READY:
            self._standings[instance] = standing
        for pair in instance.ids:
            found = self._found.get(pair)
            if found is None or found is replaced:
                self._found[pair] = instance
                continue
            if isinstance(found, Bucket):
                bucket = found
            else:
                bucket = self._found[pair] = Bucket()
                bucket.add(found, self.standing(found))
            bucket.add(instance, standing)

    def discard(self, instance: Instance) -> None:
        """Remove *instance*, which was added, from under all its ids."""
        standing = self._standings.pop(instance, _READY)
        for pair in instance.ids:
            found = self._found[pair]
            if isinstance(found, Bucket):
                found.discard(instance, standing)
                if not found:
                    del self._found[pair]
            elif found is instance:  # otherwise its successor has taken its place
                del self._found[pair]

    def targets(self, pair: _Pair) -> Members:
        """Return where requests for *pair* go. The list may be the index's own: don't change or keep it."""
        found = self._found.get(pair)
        if isinstance(found, Bucket):
            return found.targets
        return _NO_INSTANCES if found is None or not self._is_target(found) else SingleMember(found)

    def urls(self, pair: _Pair) -> tuple[str, ...]:
        """Return the URLs of the targets of *pair*; URLs that several records advertise are repeated."""
        found = self._found.get(pair)
        if isinstance(found, Bucket) or (found is not None and self._is_target(found)):
            return found.urls
        return _NO_URLS

    def _is_target(self, instance: Instance) -> bool:
        return not self._standings or self._standings.get(instance, _READY) in PREFERRED

    def matching(self, pairs: Sequence[_Pair]) -> list[Instance]:
        """Return all instances that have all of *pairs*, whatever their standing."""
        groups = [self._found[pair] for pair in pairs if pair in self._found]
        if len(groups) < len(pairs):
            return []
        rarest = min(groups, key=_size)
        candidates = rarest.all if isinstance(rarest, Bucket) else [rarest]
        return [instance for instance in candidates if all(pair in instance.ids for pair in pairs)]

    def preferred(self, instances: Iterable[Instance]) -> list[Instance]:
        """Return those of *instances* to which requests go: ready ones, else draining ones."""
        by_standing: dict[Standing, list[Instance]] = {}
        for instance in instances:
            by_standing.setdefault(self.standing(instance), []).append(instance)
        return next((by_standing[each] for each in PREFERRED if each in by_standing), [])


def _size(group: Instance | Bucket) -> int:
    return len(group) if isinstance(group, Bucket) else 1
