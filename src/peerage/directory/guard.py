"""Which instances are kept although their records vanished; pure.

The absence of a record doesn't prove that its instance is dead. After a restart of the registry, or if many
services lose touch with it together, all records are gone for seconds, while the services go on serving.
Eureka keeps its instances if more than 15 % miss their renewals (self-preservation), Consul's agents "fail
static", and Prometheus keeps the last targets it knew if discovery fails.

So an instance becomes *suspect* if

- more than a share of all instances vanishes within one session time-out, and at least three, or
- no other instance of one of its names is ready.

Those that vanished shortly before, for the same reason, become suspect as well. A suspect is called only if
there is no other instance. It is dropped when it refuses a connection, when its process or its port has
another record, or after five minutes. One death among several is no reason to keep an instance, and neither
is a withdrawal.
"""

from collections import OrderedDict, deque
from collections.abc import Collection, Iterable, Iterator
from dataclasses import replace
from typing import Final

from peerage.records.instance import SUSPECT, Instance

#: The share of the instances that may vanish within one session time-out, and the least number for a mass.
SHARE: Final = 0.15
LEAST: Final = 3

#: Seconds within which the records of dead processes vanish together, unless the registry says otherwise.
SESSION_TIMEOUT: Final = 10.0

#: Seconds for which a suspect is kept.
SUSPECT_SECONDS: Final = 300.0

#: How many of the latest records are remembered with the places where they listen.
_ARRIVALS: Final = 1024

#: Keys whose values usually belong to one instance, or to the instances of one machine.
_OWN_KEYS: Final = frozenset({"instance_id", "node_id"})

_Pair = tuple[str, str]
_Mark = str | tuple[str, int]


class Guard:
    """Remembers what vanished lately, and decides what is kept.

    Args:
        session_timeout: seconds within which instances must vanish to have vanished together.
        share: the share of the instances that may vanish in that time.
        least: the least number of instances that are a mass.
        keep: seconds for which a suspect is kept.
    """

    def __init__(
        self,
        *,
        session_timeout: float = SESSION_TIMEOUT,
        share: float = SHARE,
        least: int = LEAST,
        keep: float = SUSPECT_SECONDS,
    ) -> None:
        self.session_timeout = session_timeout
        self._share = share
        self._least = least
        self._keep = keep
        # When each instance vanished, and which of them weren't kept, for the last session time-out.
        self._times: deque[float] = deque()
        self._removed: OrderedDict[str, tuple[float, Instance]] = OrderedDict()
        # Until when each suspect is kept, in this order.
        self._suspects: OrderedDict[str, float] = OrderedDict()
        # Suspects and those that weren't kept, by the marks that another record of them would have, too.
        self._marks: dict[_Mark, dict[str, None]] = {}
        self._arrivals: OrderedDict[_Mark, str] = OrderedDict()

    @property
    def suspects(self) -> Collection[str]:
        """The names of the records of suspects."""
        return self._suspects.keys()

    @property
    def expiry(self) -> float | None:
        """When the first suspect is dropped; None without any."""
        return next(iter(self._suspects.values()), None)

    def arrived(self, instance: Instance) -> list[str]:
        """Take note of a record, and return the suspects that it replaces, for the caller to drop.

        They have the same instance id, or listened at the same host and port.
        """
        for mark in _places(instance):
            self._arrivals[mark] = instance.name
            self._arrivals.move_to_end(mark)
        while len(self._arrivals) > _ARRIVALS:
            self._arrivals.popitem(last=False)
        if not self._marks:
            return []
        # A record that is there again under its own name replaces what is known of it, whatever it says.
        if (removed := self._removed.pop(instance.name, None)) is not None:
            self._unmark(removed[1])
        replaced = dict.fromkeys(name for mark in _marks(instance) for name in self._marks.get(mark, ()))
        for name in replaced:
            if (removed := self._removed.pop(name, None)) is not None:
                self._unmark(removed[1])
        return [name for name in replaced if name in self._suspects and name != instance.name]

    def vanished(
        self, instance: Instance, others: int, ended: Collection[_Pair], now: float, *, replaced: bool = False
    ) -> list[Instance]:
        """Take note that a record vanished, and return which instances are suspect from now on.

        Args:
            instance: the instance of the record.
            others: how many other instances there are.
            ended: the names of *instance* under which no other instance is ready.
            now: the time in seconds.
            replaced: whether another record of the instance is known.

        Returns:
            *instance* itself, as a suspect, and others that vanished before; nothing if it isn't kept.
        """
        self._forget_old(now)
        self._times.append(now)
        count = len(self._times)
        mass = count >= self._least and count > self._share * (others + len(self._removed) + 1)
        names = {pair for pair in ended if pair[0] not in _OWN_KEYS}
        if replaced or any(
            self._arrivals.get(mark, instance.name) != instance.name for mark in _places(instance)
        ):
            kept = []
        elif mass or names:
            kept = [instance]
        else:
            kept = []
            self._removed[instance.name] = now, instance
            self._mark(instance)
        for _, each in [*self._removed.values()] if mass or names else []:
            if mass or not names.isdisjoint(each.ids):
                del self._removed[each.name]
                self._unmark(each)
                kept.append(each)
        return [self.suspect(each, now) for each in kept]

    @staticmethod
    def is_another(new: Instance | None, old: Instance, sequence: int) -> bool:
        """Tell whether a record with the name of *old* is of another instance, *new*.

        A registry that has lost its data gives names and numbers again. An update of a record keeps its
        number, but so may a record of another instance, by chance.

        Args:
            new: None if the record can't be read.
            old: what was known by that name.
            sequence: that of the new record.
        """
        if new is None:
            return sequence != old.sequence
        told = old.instance_id is not None and new.instance_id is not None
        return (told or sequence != old.sequence) and {*_marks(old)}.isdisjoint(_marks(new))

    def renamed(self, instance: Instance, aside: Instance) -> None:
        """Take note that *instance*, whose record's name another one has now, is called *aside*."""
        self.left(instance)
        until = self._suspects.get(instance.name)
        if until is not None:
            self.drop(instance)
            self._suspects[aside.name] = until
            # Those that became suspect with it, and have a later end, stand behind it.
            self._suspects.move_to_end(aside.name, last=False)
            self._mark(aside)

    def left(self, instance: Instance) -> None:
        """Take note that an instance is no longer known, so that no other one is taken for its successor."""
        for mark in _places(instance):
            if self._arrivals.get(mark) == instance.name:
                del self._arrivals[mark]

    def drop(self, instance: Instance) -> None:
        """Forget a suspect: it is removed, or its record is there again."""
        if self._suspects.pop(instance.name, None) is not None:
            self._unmark(instance)

    def expired(self, now: float) -> list[str]:
        """Return the suspects whose time is over, for the caller to drop."""
        expired = []
        for name, until in self._suspects.items():
            if until > now:
                break
            expired.append(name)
        return expired

    def suspect(self, instance: Instance, now: float) -> Instance:
        """Return *instance* as a suspect, which it is from now on."""
        self._suspects[instance.name] = now + self._keep
        self._mark(instance)
        return replace(instance, state=SUSPECT)

    def _forget_old(self, now: float) -> None:
        begin = now - self.session_timeout
        while self._times and self._times[0] < begin:
            self._times.popleft()
        while self._removed:
            name, (since, instance) = next(iter(self._removed.items()))
            if since >= begin:
                break
            del self._removed[name]
            self._unmark(instance)

    def _mark(self, instance: Instance) -> None:
        for mark in _marks(instance):
            self._marks.setdefault(mark, {})[instance.name] = None

    def _unmark(self, instance: Instance) -> None:
        for mark in _marks(instance):
            if (names := self._marks.get(mark)) is not None:
                names.pop(instance.name, None)
                if not names:
                    del self._marks[mark]


def _places(instance: Instance) -> Iterable[tuple[str, int]]:
    return {(endpoint.host, endpoint.port) for endpoint in instance.endpoints}


def _marks(instance: Instance) -> Iterator[_Mark]:
    """Yield the marks that another record of the same process, or of one that took its port, has, too."""
    yield from _places(instance)
    yield from (value for key, value in instance.ids if key == "instance_id")
