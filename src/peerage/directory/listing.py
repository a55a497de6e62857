"""The records of a directory as rows, for the command line, the page and the API.

The texts are those of the records. Whatever shows them must escape them for its medium.
"""

from typing import Any, NamedTuple

from peerage.directory.directory import Criteria, Directory
from peerage.records.instance import Instance

__all__ = ["Row", "listing", "row_of"]

#: Ids that have a field of their own.
_SHOWN = ("service_id", "instance_id")


class Row(NamedTuple):
    """One record. Every text is empty where the record has none."""

    name: str
    """Name of the record in the registry."""
    state: str
    """``ready``, ``draining`` or another word of the record; ``not callable``, ``left by hand`` (no process
    owns it) or ``unreadable``."""
    problems: tuple[str, ...] = ()
    """What can't be used of the record, a sentence each."""
    superseded: bool = False
    """Whether its instance has a newer record."""
    service_id: str = ""
    instance_id: str = ""
    node_id: str = ""
    host: str = ""
    urls: tuple[str, ...] = ()
    """Where it can be called, sorted."""
    appclass: str = ""
    ids: tuple[tuple[str, str | int | float], ...] = ()
    """All other ids: keys folded, values in the spelling of the record."""
    record: dict[str, Any] | None = None
    """The record as it was advertised; None if it is unreadable."""

    def entry(self) -> dict[str, Any]:
        """Return the row for programs, as values of JSON."""
        return {
            "name": self.name,
            "state": self.state,
            "superseded": self.superseded,
            "urls": list(self.urls),
            "problems": list(self.problems),
            "record": self.record,
        }


def listing(directory: Directory, criteria: Criteria = ()) -> list[Row]:
    """Return the records that match all *criteria* (none: all), sorted by service, instance and name.

    Superseded records are included. Unreadable ones are last, and have no ids that could match.
    """
    visible = {instance.name for instance in directory.find(criteria)}
    problems = directory.problems
    rows = [
        row_of(instance, problems.get(instance.name, ()), superseded=instance.name not in visible)
        for instance in directory
        if instance.name in visible or all(pair in instance.ids for pair in criteria)
    ]
    rows.sort(key=_order)
    if not criteria:
        unreadable = sorted(problems.keys() - {row.name for row in rows})
        rows += [Row(name, "unreadable", problems[name]) for name in unreadable]
    return rows


def row_of(instance: Instance, problems: tuple[str, ...] = (), *, superseded: bool = False) -> Row:
    """Return the row of one record."""
    return Row(
        name=instance.name,
        service_id=instance.service_id or "",
        instance_id=instance.instance_id or "",
        node_id=instance.node_id or "",
        host=instance.host or "",
        urls=tuple(sorted(instance.urls)),
        appclass=instance.appclass or "",
        state=_state(instance),
        superseded=superseded,
        ids=tuple(pair for pair in instance.advertised_ids() if pair[0] not in _SHOWN),
        problems=problems,
        record=_record(instance),
    )


def _order(row: Row) -> tuple[str, str, str]:
    return row.service_id, row.instance_id, row.name


def _state(instance: Instance) -> str:
    if not instance.ephemeral:
        return "left by hand"
    return (instance.state or "ready") if instance.callable else "not callable"


def _record(instance: Instance) -> dict[str, Any]:
    try:
        return instance.record()
    except ValueError:
        # It was readable when it arrived: it is nested so deeply that this depends on the depth of the stack.
        return {}
