"""The records of a registry as rows: of a table, and for programs."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any, NamedTuple

from peerage.cli.text import age, clean, shorten
from peerage.directory import Criteria, Directory
from peerage.records.instance import Instance

__all__ = ["COLUMNS", "Row", "cells", "listing", "problem_lines"]

#: The headings of what :func:`cells` yields.
COLUMNS = ("service", "instance", "host", "URLs", "appclass", "state", "since", "ids")

#: Ids that have a column of their own.
_SHOWN = ("service_id", "instance_id", "node_id")


class Row(NamedTuple):
    """One record. Its texts must be escaped for the medium in which they are shown."""

    name: str
    """Name of the record in the registry."""
    instance: Instance | None
    """None if the record is unreadable."""
    problems: tuple[str, ...] = ()
    """What can't be used of the record, a sentence each."""
    superseded: bool = False
    """Whether its instance has a newer record."""

    @property
    def state(self) -> str:
        """``ready``, ``draining``, another word of the record, or why it isn't called."""
        if self.instance is None:
            return "unreadable"
        if not self.instance.ephemeral:
            return "left by hand"
        return (self.instance.state or "ready") if self.instance.callable else "not callable"

    def entry(self) -> dict[str, Any]:
        """Return the row for programs, as values of JSON."""
        return {
            "name": self.name,
            "state": self.state,
            "superseded": self.superseded,
            "urls": sorted(self.instance.urls) if self.instance else [],
            "problems": list(self.problems),
            "record": _record(self.instance) if self.instance else None,
        }


def listing(directory: Directory, criteria: Criteria = ()) -> list[Row]:
    """Return the records that match all *criteria* (none: all), sorted by service, instance and name.

    Superseded records are included. Unreadable ones are last, and have no ids that could match.
    """
    visible = set(directory.find(criteria))
    problems = directory.problems
    found = [each for each in directory if each in visible or all(pair in each.ids for pair in criteria)]
    found.sort(key=lambda each: (each.service_id or "", each.instance_id or "", each.name))
    rows = [
        Row(each.name, each, problems.get(each.name, ()), superseded=each not in visible) for each in found
    ]
    if not criteria:
        unreadable = sorted(problems.keys() - {row.name for row in rows})
        rows += [Row(name, None, problems[name]) for name in unreadable]
    return rows


def cells(rows: Iterable[Row], now: datetime) -> Iterator[tuple[str, ...]]:
    """Yield the cleaned cells of each row whose record is readable."""
    for row in rows:
        if (instance := row.instance) is not None:
            ids = (f"{key}={value}" for key, value in instance.advertised_ids() if key not in _SHOWN)
            state = shorten(row.state)
            yield (
                shorten(instance.service_id or ""),
                shorten(instance.instance_id or ""),
                _host(instance),
                " ".join(map(clean, sorted(instance.urls))),
                shorten(instance.appclass or ""),
                f"{state}, superseded" if row.superseded else state,
                age(_record(instance).get("launch_time"), now),
                shorten(" ".join(ids)),
            )


def _host(instance: Instance) -> str:
    node, host = shorten(instance.node_id or ""), shorten(instance.host or "")
    return f"{node} ({host})" if node and host and node != host else node or host


def _record(instance: Instance) -> dict[str, Any]:
    try:
        return instance.record()
    except ValueError:
        # It was readable when it arrived: it is nested so deeply that this depends on the depth of the stack.
        return {}


def problem_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield one line for each record that can't be used as it is, by the name of the record."""
    for row in sorted(rows, key=lambda row: row.name):
        if row.problems:
            yield f"{shorten(row.name)}: {shorten(' '.join(row.problems), 400)}"
