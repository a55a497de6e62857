"""What is computed once after each change of a service's instances, and not for each request."""

from collections.abc import Sequence

from peerage.balancing.locality import Group, Levels, Place, levels_of
from peerage.balancing.rendezvous import Rendezvous
from peerage.balancing.subsets import subset
from peerage.records.instance import Instance


class Choices:
    """The instances of a service as one caller sees them, until they change.

    Args:
        instances: those to choose from. If the list changes, make another object.
        version: the version of the list.
        place: where the caller runs.
        salt: a random number of the caller.
    """

    __slots__ = ("_instances", "_levels", "_rendezvous", "_salt", "_subsets", "levels", "place", "version")

    def __init__(self, instances: Sequence[Instance], version: int, place: Place, salt: int) -> None:
        self._instances = instances
        self._salt = salt
        self.version = version
        self.place = place
        self.levels = levels_of(instances, place)
        """The instances grouped by their distance from the caller; None if all are equally far."""
        self._rendezvous: Rendezvous | None = None
        self._subsets: dict[int, tuple[Sequence[Instance], Levels | None]] = {}

    @property
    def rendezvous(self) -> Rendezvous:
        """The order of the instances for each key."""
        found = self._rendezvous
        if found is None:
            found = self._rendezvous = Rendezvous(self._instances)
        return found

    def subset(self, size: int) -> tuple[Sequence[Instance], Levels | None]:
        """Return the caller's subset of *size*, and its levels."""
        found = self._subsets.get(size)
        if found is None:
            some = subset(self._instances, size, self._salt)
            if some is self._instances:
                found = some, self.levels
            else:
                found = Group(some), levels_of(some, self.place)
            self._subsets[size] = found
        return found
