"""The records of a directory as rows, for the command line, the page and the API.

The texts are those of the records. Whatever shows them must escape them for its medium.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from peerage.directory.criteria import Criteria
from peerage.directory.directory import Directory
from peerage.records.instance import Instance
from peerage.records.names import BUILTIN_KEYS


class Row(NamedTuple):
    """One record."""

    name: str
    """Name of the record in the registry."""
    state: str
    """``ready``, ``draining``, ``suspect`` (its record vanished) or another word of the record;
    ``not callable``, ``left by hand`` (no process owns it) or ``unreadable``."""
    problems: tuple[str, ...] = ()
    """What can't be used of the record, a sentence each."""
    superseded: bool = False
    """Whether its instance has a newer record."""
    unconfirmed: bool = False
    """Whether it is known from the disk cache only: the registry wasn't read since."""
    instance: Instance | None = None
    """What the record says; None if it is unreadable."""

    def record(self) -> dict[str, Any] | None:
        """Return the record as it was advertised; None if it is unreadable."""
        try:
            return None if self.instance is None else self.instance.record()
        except ValueError:
            # It was readable when it arrived: it is nested so deeply that this depends on the stack's depth.
            return {}

    def entry(self) -> dict[str, Any]:
        """Return the row for programs, as values of JSON: :meth:`summary` and the whole record."""
        record = self.record()
        return {**self._summary(record or {}), "record": record}

    def summary(self) -> dict[str, Any]:
        """Return what a table shows of the row, as values of JSON; texts are those of the record.

        ``ids`` are the custom ids, ``{key: [value, …]}``. ``launch_time``, ``version`` and
        ``attention_required`` are what the record says, whatever its type, and None if it says nothing.
        """
        return self._summary(self.record() or {})

    def _summary(self, record: dict[str, Any]) -> dict[str, Any]:
        instance = self.instance
        ids: dict[str, list[Any]] = {}
        for key, value in () if instance is None else instance.advertised_ids():
            if key not in BUILTIN_KEYS:
                ids.setdefault(key, []).append(value)
        return {
            "name": self.name,
            "service": None if instance is None else instance.service_id,
            "instance": None if instance is None else instance.instance_id,
            "node": None if instance is None else instance.node_id,
            "site": None if instance is None else instance.id("site_id"),
            "host": None if instance is None else instance.host,
            "appclass": None if instance is None else instance.appclass,
            "version": record.get("version"),
            "launch_time": record.get("launch_time"),
            "state": self.state,
            "superseded": self.superseded,
            "unconfirmed": self.unconfirmed,
            "urls": [] if instance is None else sorted(instance.urls),
            "ids": ids,
            "attention_required": record.get("attention_required"),
            "problems": list(self.problems),
        }


def listing(directory: Directory, criteria: Criteria = ()) -> list[Row]:
    """Return the records that match all *criteria* (none: all), in the :func:`order` of a table.

    Superseded records are included. Unreadable ones have no ids that could match.
    """
    return sorted(matching_rows(directory, criteria), key=order)


def matching_rows(directory: Directory, criteria: Criteria = ()) -> Iterator[Row]:
    """Yield the rows of :func:`listing`, in no order.

    The directory may change between two rows: then each row is as it is when it is yielded.
    """
    for name in directory.names():
        instance = directory.get(name)
        if criteria and not (instance is not None and all(pair in instance.ids for pair in criteria)):
            continue
        found = row(directory, name)
        if found is not None:
            yield found


def order(shown: Row) -> tuple[bool, str, str, str]:
    """Return the key by which rows are sorted: service, instance and name; unreadable ones are last."""
    instance = shown.instance
    if instance is None:
        return True, "", "", shown.name
    return False, instance.service_id or "", instance.instance_id or "", shown.name


def row(directory: Directory, name: str) -> Row | None:
    """Return the row of the record *name*; None if there is no such record."""
    instance, problems = directory.get(name), directory.problems.get(name, ())
    if instance is not None:
        return row_of(
            instance,
            problems,
            superseded=not directory.is_visible(instance),
            unconfirmed=name in directory.unconfirmed,
        )
    return Row(name, "unreadable", problems) if problems else None


def row_of(
    instance: Instance,
    problems: tuple[str, ...] = (),
    *,
    superseded: bool = False,
    unconfirmed: bool = False,
) -> Row:
    """Return the row of one record."""
    state = (instance.state or "ready") if instance.callable else "not callable"
    state = state if instance.ephemeral else "left by hand"
    return Row(instance.name, state, problems, superseded, unconfirmed, instance)
