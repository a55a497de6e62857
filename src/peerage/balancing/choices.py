"""What is computed once after each change of a service's instances, and not for each request."""

from collections.abc import Sequence
from typing import Final

from peerage.balancing.locality import Group, Levels, Place, levels_of
from peerage.balancing.rendezvous import Rendezvous
from peerage.balancing.subsets import subset
from peerage.records.instance import Instance

#: Seconds for each instance until the instances are grouped again: a hundred times what grouping takes.
_PAUSE: Final = 1e-4


class Choices:
    """The instances of a service as one caller sees them, until they change.

    Grouping thousands of instances by distance takes milliseconds. So it isn't done after each of many
    successive changes, and until it is done, all instances count as equally far.

    Args:
        instances: those to choose from. If the list changes, make another object.
        version: the version of the list.
        place: where the caller runs.
        salt: a random number of the caller.
        group_at: when they may be grouped by distance, as the previous object says.
    """

    __slots__ = (
        "_instances",
        "_rendezvous",
        "_salt",
        "_subsets",
        "group_at",
        "is_grouped",
        "levels",
        "place",
        "version",
    )

    def __init__(
        self,
        instances: Sequence[Instance],
        version: int,
        place: Place,
        salt: int,
        group_at: float = float("-inf"),
    ) -> None:
        self._instances = instances
        self._salt = salt
        self.version = version
        self.place = place
        self.levels: Levels | None = None
        """The instances grouped by their distance from the caller; None if all are equally far."""
        self.is_grouped = False
        """Whether they were grouped."""
        self.group_at = group_at
        self._rendezvous: Rendezvous | None = None
        self._subsets: dict[int, tuple[Sequence[Instance], Levels | None]] = {}

    def group(self, now: float) -> None:
        """Group the instances by distance, unless the previous object has just done so."""
        if now >= self.group_at:
            self.levels, self.is_grouped = levels_of(self._instances, self.place), True
            self.group_at = now + _PAUSE * len(self._instances)

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
                return some, self.levels
            found = self._subsets[size] = Group(some), levels_of(some, self.place)
        return found
