"""The incarnations of each instance: several records, of which the newest counts.

After a quick restart the record of the dead process stays in ZooKeeper until its session times out, beside
the record of its successor with the same instance id, host and port. Only the newest is visible, and the
others are superseded. Should the newest be removed first, the one before it is visible again.
"""

from collections.abc import Iterator
from operator import attrgetter

from peerage.records.instance import Instance

_sequence = attrgetter("sequence")

_Key = str | tuple[str, str, int]
_Change = tuple[Instance | None, Instance | None]


class Incarnations:
    """All records, grouped by the instance that they describe; it counts and yields the visible ones."""

    def __init__(self) -> None:
        # Nearly all records are alone in their group, and then there is no dictionary, which takes 200 bytes.
        self._groups: dict[_Key, Instance | dict[str, Instance]] = {}

    def __len__(self) -> int:
        return len(self._groups)

    def __iter__(self) -> Iterator[Instance]:
        return map(_newest, self._groups.values())

    def is_alone(self, instance: Instance) -> bool:
        """Tell whether *instance* has no other record."""
        return self._groups.get(_key(instance)) is instance

    def is_newest(self, instance: Instance) -> bool:
        """Tell whether *instance*, which is one of these, is the visible one of its group."""
        group = self._groups.get(_key(instance))
        return group is not None and _newest(group) is instance

    def replace(self, old: Instance | None, new: Instance | None) -> list[_Change]:
        """Exchange two versions of one record, either of which may be None.

        It returns the changes of what is visible, as pairs (before, after); None where there is no instance.
        """
        present = new or old
        if present is None:
            return []
        key = _key(present)
        if old is not None and new is not None and (old_key := _key(old)) != key:
            # Its host, port or instance_id changed, so it moves to another group.
            match [*self._exchange(key, None, new), *self._exchange(old_key, old, None)]:
                case [(None, after), (before, None)]:
                    return [(before, after)]
                case changes:
                    return changes
        return self._exchange(key, old, new)

    def _exchange(self, key: _Key, old: Instance | None, new: Instance | None) -> list[_Change]:
        group = self._groups.get(key)
        if group is None or group is old:
            # Nearly every record is alone in its group, before and after.
            if new is None:
                del self._groups[key]
            else:
                self._groups[key] = new
            return [(old, new)]
        before = _newest(group)
        records = group if isinstance(group, dict) else {group.name: group}
        if old is not None:
            del records[old.name]
        if new is not None:
            records[new.name] = new
        self._groups[key] = records if len(records) > 1 else next(iter(records.values()))
        after = _newest(records)
        return [] if before is after else [(before, after)]


def _key(instance: Instance) -> _Key:
    if instance.host is not None:
        for key, value in instance.ids:
            if key == "instance_id":
                return value, instance.host, _lowest_port(instance)
    return instance.name


def _lowest_port(instance: Instance) -> int:
    endpoints = instance.endpoints
    # Most records have one endpoint, and min() takes four times as long.
    return endpoints[0].port if len(endpoints) == 1 else min((each.port for each in endpoints), default=0)


def _newest(group: Instance | dict[str, Instance]) -> Instance:
    return max(group.values(), key=_sequence) if isinstance(group, dict) else group
