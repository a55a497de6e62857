"""A list of instances, and how requests are shared among them."""

from collections.abc import Iterable, Sequence
from itertools import accumulate, chain
from operator import attrgetter
from typing import Final

from peerage.records.instance import Instance

# Up to this size a search through the list is as quick as a dictionary and takes a third of the memory.
_SEARCHED: Final = 16

_weight = attrgetter("weight")
_urls = attrgetter("urls")


def urls_of(instances: Sequence[Instance]) -> tuple[str, ...]:
    """Return the URLs of all *instances*; URLs that several records advertise are repeated."""
    if len(instances) == 1:
        # Its own tuple is shared, since a copy would take 64 bytes.
        return instances[0].urls
    return tuple(chain.from_iterable(map(_urls, instances)))


class Members(list[Instance]):
    """A list that adds and removes in constant time and doesn't keep its order."""

    __slots__ = ("_common_weight", "_positions", "_shares", "_unequal", "_urls")

    def __init__(self, instances: Iterable[Instance] = ()) -> None:
        super().__init__()
        self._positions: dict[Instance, int] | None = None
        # One weight that most members have, and the number of the members that have another one.
        self._common_weight = 1.0
        self._unequal = 0
        self._shares: list[float] | None = None
        self._urls: tuple[str, ...] | None = None
        for instance in instances:
            self.add(instance)

    def add(self, instance: Instance) -> None:
        """Append *instance*, which isn't in the list."""
        if instance.weight != self._common_weight:
            self._unequal += 1
        self._shares = self._urls = None
        if self._positions is not None:
            self._positions[instance] = len(self)
        elif len(self) >= _SEARCHED:
            self._positions = {member: position for position, member in enumerate(self)}
            self._positions[instance] = len(self)
        self.append(instance)

    def discard(self, instance: Instance) -> None:
        """Remove *instance*, which is in the list; the last member takes its position."""
        if instance.weight != self._common_weight:
            self._unequal -= 1
        self._shares = self._urls = None
        positions = self._positions
        position = self.index(instance) if positions is None else positions.pop(instance)
        last = self.pop()
        if last is not instance:
            self[position] = last
            if positions is not None:
                positions[last] = position

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of the members; made once after each change."""
        urls = self._urls
        if urls is None:
            urls = self._urls = urls_of(self)
        return urls

    @property
    def shares(self) -> list[float] | None:
        """Running sums of the weights in the order of the list; None if all weights are equal.

        Made at the first question after a change. Equal weights cost constant time. Don't change the list.
        """
        if not self._unequal:
            return None
        if self._unequal == len(self):
            # Every member with the former common weight has left.
            self._common_weight = self[0].weight
            self._unequal = sum(member.weight != self._common_weight for member in self)
            if not self._unequal:
                return None
        if self._shares is None:
            self._shares = list(accumulate(map(_weight, self)))
        return self._shares


class SingleMember(Members):
    """The list of an instance that is alone. It doesn't change, and is quickly made for each question."""

    __slots__ = ()

    def __init__(self, instance: Instance) -> None:
        self.append(instance)

    @property
    def urls(self) -> tuple[str, ...]:
        """The URLs of the member."""
        return self[0].urls

    @property
    def shares(self) -> None:
        """Nothing has to be shared."""
        return
