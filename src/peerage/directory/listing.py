"""The records of a directory as rows, for the command line, the page and the API.

The texts are those of the records. Whatever shows them must escape them for its medium.
"""

from typing import Any, NamedTuple

from peerage.directory.directory import Criteria, Directory
from peerage.records.instance import Instance


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
        """Return the row for programs, as values of JSON."""
        return {
            "name": self.name,
            "state": self.state,
            "superseded": self.superseded,
            "unconfirmed": self.unconfirmed,
            "urls": [] if self.instance is None else sorted(self.instance.urls),
            "problems": list(self.problems),
            "record": self.record(),
        }


def listing(directory: Directory, criteria: Criteria = ()) -> list[Row]:
    """Return the records that match all *criteria* (none: all), sorted by service, instance and name.

    Superseded records are included. Unreadable ones are last, and have no ids that could match.
    """
    visible = {instance.name for instance in directory.find(criteria)}
    problems = dict(directory.problems)
    rows = [
        row_of(
            instance,
            problems.pop(instance.name, ()),
            superseded=instance.name not in visible,
            unconfirmed=instance.name in directory.unconfirmed,
        )
        for instance in sorted(
            directory, key=lambda one: (one.service_id or "", one.instance_id or "", one.name)
        )
        if instance.name in visible or all(pair in instance.ids for pair in criteria)
    ]
    return (
        rows if criteria else [*rows, *(Row(name, "unreadable", problems[name]) for name in sorted(problems))]
    )


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
