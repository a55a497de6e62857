"""Tables: plain ones for files and pipes, rich ones for a terminal."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Group

#: No column is padded beyond this: one long cell doesn't widen all the others.
_WIDEST = 60


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


#: States that are shown in colour.
_STYLES = {"ready": "green", "draining": "yellow", "not callable": "dim", "left by hand": "dim"}
