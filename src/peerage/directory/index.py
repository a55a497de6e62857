"""The visible instances by each of their ids, grouped by whether requests go to them."""

from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from peerage.directory.members import Members, SingleMember
from peerage.records.instance import Instance

_Pair = tuple[str, str]

_NO_INSTANCES: Final = Members()


class Standing(Enum):
    """Whether requests go to an instance."""

    READY = auto()
    DRAINING = auto()
    """It is about to stop, and still serves."""
    SUSPECT = auto()
    """Its record vanished together with others, and it may still serve."""
    UNCALLABLE = auto()
    """It has no address to call, or no process owns its record."""

    @classmethod
    def of(cls, instance: Instance) -> "Standing":
        """Return the standing of *instance*."""
        if not instance.callable:
            return cls.UNCALLABLE
        if instance.suspect:
            return cls.SUSPECT
        return cls.DRAINING if instance.draining else cls.READY


class Index:
    """The instances under each ``(key, value)``; a pair without instances isn't kept.

    Most pairs belong to one instance, for example its ``instance_id``. Such a pair is mapped to the instance
    itself: a list for each would cost 150 bytes and time of the garbage collector.
    """

    def __init__(self) -> None:
        self._groups: dict[Standing, dict[_Pair, Instance | Members]] = {each: {} for each in Standing}
        self._ready, self._draining, self._suspect, _ = self._groups.values()
        self.standings: dict[Instance, Standing] = {}
        """The instances that aren't ready: few, as a rule."""

    def add(self, instance: Instance, standing: Standing, replaced: Instance | None = None) -> None:
        """Add *instance* under all its ids.

        Where *replaced*, an instance that is discarded next, is alone, the new one takes its place.
        """
        if standing is not Standing.READY:
            self.standings[instance] = standing
        group = self._groups[standing]
        for pair in instance.ids:
            found = group.get(pair)
            if found is None or found is replaced:
                group[pair] = instance
            elif isinstance(found, Members):
                found.add(instance)
            else:
                group[pair] = Members((found, instance))

    def discard(self, instance: Instance) -> None:
        """Remove *instance*, which was added, from under all its ids."""
        group = self._groups[self.standings.pop(instance, Standing.READY)]
        for pair in instance.ids:
            found = group[pair]
            if isinstance(found, Members):
                found.discard(instance)
                if not found:
                    del group[pair]
            elif found is instance:  # otherwise its successor has taken its place
                del group[pair]

    def _targets(self, pair: _Pair) -> Instance | Members | None:
        """Return the ready instances, else the draining ones, else the suspects.

        The first two are kube-proxy's rule for terminating endpoints.
        """
        return self._ready.get(pair) or self._draining.get(pair) or self._suspect.get(pair)

    def ready(self, pair: _Pair) -> int:
        """Return how many instances of *pair* are ready."""
        found = self._ready.get(pair)
        return len(found) if isinstance(found, Members) else int(found is not None)

    def count_by(self, key: str) -> dict[str, dict[Standing, int]]:
        """Return how many instances of each standing have each value of *key*."""
        counts: dict[str, dict[Standing, int]] = {}
        for standing, group in self._groups.items():
            # Not the items: as many new tuples would make the garbage collector go through all objects.
            for pair in tuple(group):
                if pair[0] == key and (found := group.get(pair)) is not None:
                    count = len(found) if isinstance(found, Members) else 1
                    counts.setdefault(pair[1], {})[standing] = count
        return counts

    def targets(self, pair: _Pair) -> Members:
        """Return where requests for *pair* go. The list may be the index's own: don't change or keep it."""
        # Asked for each request: the usual group comes first.
        found = self._ready.get(pair) or self._targets(pair)
        if isinstance(found, Members):
            return found
        return _NO_INSTANCES if found is None else SingleMember(found)

    def fallbacks(self, pair: _Pair) -> list[Members]:
        """Return the lists of instances to try, in this order, if the targets of *pair* don't answer.

        They are the draining instances, and then the suspects, unless these are the targets.
        """
        groups = (self._ready, self._draining, self._suspect)
        found = [members for group in groups if (members := group.get(pair))]
        return [each if isinstance(each, Members) else SingleMember(each) for each in found[1:]]

    def urls(self, pair: _Pair) -> tuple[str, ...]:
        """Return the URLs of the targets of *pair*; URLs that several records advertise are repeated."""
        found = self._targets(pair)
        return () if found is None else found.urls

    def matching(self, pairs: Sequence[_Pair]) -> list[Instance]:
        """Return all instances that have all of *pairs*, whatever their standing."""
        rarest = min(map(self._all, pairs), key=lambda lists: sum(map(len, lists)))
        return [one for each in rarest for one in each if all(pair in one.ids for pair in pairs)]

    def _all(self, pair: _Pair) -> list[Sequence[Instance]]:
        found = [group[pair] for group in self._groups.values() if pair in group]
        return [each if isinstance(each, Members) else (each,) for each in found]

    def preferred(self, instances: Sequence[Instance]) -> list[Instance]:
        """Return those of *instances* to which requests go: ready ones, else draining ones, else suspects."""
        ready = [one for one in instances if one not in self.standings]
        if ready:
            return ready
        draining = [one for one in instances if self.standings[one] is Standing.DRAINING]
        return draining or [one for one in instances if self.standings[one] is Standing.SUSPECT]
