"""Rows of the directory as text for a terminal: shared by ``peerage ls`` and ``peerage ls --watch``."""

from collections.abc import Iterable, Iterator
from datetime import datetime

from peerage.cli.text import age, clean, shorten
from peerage.directory.listing import Row
from peerage.records.instance import Instance

#: The headings of what :func:`cells` returns.
COLUMNS = ("service", "instance", "host", "URLs", "appclass", "state", "since", "ids")

#: Ids that have a separate column.
_SHOWN = ("service_id", "instance_id", "node_id")


def cells(row: Row, now: datetime) -> tuple[str, ...]:
    """Return one row of the table; of an unreadable record none."""
    instance = row.instance
    if instance is None:
        return ()
    state = shorten(row.state)
    ids = " ".join(f"{key}={value}" for key, value in instance.advertised_ids() if key not in _SHOWN)
    return (
        shorten(instance.service_id or ""),
        shorten(instance.instance_id or ""),
        _host(instance),
        " ".join(map(clean, sorted(instance.urls))),
        shorten(instance.appclass or ""),
        f"{state}, superseded" if row.superseded else state,
        age((row.record() or {}).get("launch_time"), now),
        shorten(ids),
    )


def _host(instance: Instance) -> str:
    node, host = shorten(instance.node_id or ""), shorten(instance.host or "")
    return f"{node} ({host})" if node and host and node != host else node or host


def problem_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield one line for each record that can't be used as it is, by the name of the record."""
    for row in sorted(rows, key=lambda row: row.name):
        if row.problems:
            yield problem_line(row.name, row.problems)


def problem_line(name: str, problems: Iterable[str]) -> str:
    """Return the line of one record that can't be used as it is."""
    return f"{shorten(name)}: {shorten(' '.join(problems), 400)}"
