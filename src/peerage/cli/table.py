"""Rows of the directory as text, and tables: plain ones for files and pipes, rich ones for a terminal."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from peerage.cli.text import age, clean, shorten
from peerage.directory.listing import Row

if TYPE_CHECKING:
    from rich.console import Group

#: The headings of what :func:`cells` returns.
COLUMNS = ("service", "instance", "host", "URLs", "appclass", "state", "since", "ids")

#: Ids that have a separate column.
_SHOWN = ("service_id", "instance_id", "node_id")

#: No column is padded beyond this: one long cell doesn't widen all the others.
_WIDEST = 60

#: States that are shown in colour.
_STYLES = {
    "ready": "green",
    "draining": "yellow",
    "suspect": "red",
    "not callable": "dim",
    "left by hand": "dim",
}


def cells(row: Row, now: datetime) -> tuple[str, ...]:
    """Return one row of the table; of an unreadable record none."""
    if row.instance is None:
        return ()
    shown = row.summary()
    state = shorten(row.state)
    ids = " ".join(f"{key}={value}" for key, value in row.instance.advertised_ids() if key not in _SHOWN)
    return (
        shorten(shown["service"] or ""),
        shorten(shown["instance"] or ""),
        _host(shown["node"], shown["host"]),
        " ".join(map(clean, shown["urls"])),
        shorten(shown["appclass"] or ""),
        f"{state}{', superseded' * row.superseded}{', unconfirmed' * row.unconfirmed}",
        age(shown["launch_time"], now),
        shorten(ids),
    )


def _host(node: str | None, host: str | None) -> str:
    node, host = shorten(node or ""), shorten(host or "")
    return f"{node} ({host})" if node and host and node != host else node or host


def problem_lines(rows: Iterable[Row]) -> Iterator[str]:
    """Yield one line for each record that can't be used as it is, by the name of the record."""
    for row in sorted(rows, key=lambda row: row.name):
        if row.problems:
            yield problem_line(row.name, row.problems)


def problem_line(name: str, problems: Iterable[str]) -> str:
    """Return the line of one record that can't be used as it is."""
    return f"{shorten(name)}: {shorten(' '.join(problems), 400)}"


def plain_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return the lines of a table; nothing is cut or wrapped, so that they can be searched."""
    table = [tuple(heading.upper() for heading in headings), *rows]
    widths = [min(_WIDEST, max(map(len, column))) for column in zip(*table, strict=True)]
    return ["  ".join(map(str.ljust, row, widths)).rstrip() for row in table]


def rich_table(headings: Sequence[str], rows: Iterable[Sequence[str]], below: Iterable[str] = ()) -> "Group":
    """Return a table for a terminal; the cells of *rows* and the lines *below* it are cleaned text."""
    # Loaded here, because rich takes longer than everything else that 'peerage ls' does.
    from rich import box  # noqa: PLC0415 - see above
    from rich.console import Group  # noqa: PLC0415 - see above
    from rich.table import Table  # noqa: PLC0415 - see above
    from rich.text import Text  # noqa: PLC0415 - see above

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, header_style="bold")
    for heading in headings:
        table.add_column(heading, overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell, style=_STYLES.get(cell, "")) for cell in row))
    return Group(table, *map(Text, below))
