"""``peerage ls --watch``: every change, until Ctrl-C."""

import asyncio
import sys
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from peerage.changes import Changed, PeerEvent
from peerage.cli.ls import SUSPECTED, empty, matching, out_of_touch, parse_criteria
from peerage.cli.run import Exit, opened, show_outages
from peerage.cli.table import COLUMNS, cells, problem_line, problem_lines, rich_table
from peerage.directory import Criteria, DirectoryEvent, Problems
from peerage.directory.listing import Row, listing, row_of
from peerage.discovery import Discovery
from peerage.records.text import as_json
from peerage.waiting import first_of

if TYPE_CHECKING:
    from rich.console import RenderableType

#: Seconds after which the ages in a live table are computed again.
_TICK = 1.0

#: Seconds between two drawings: a thousand services that start together are one change of the table.
_PAUSE = 0.05

#: Lines of the screen that the table's head and the lines below it take.
_AROUND = 6


async def watch(registry: str | None, words: list[str], *, timeout: float, as_lines: bool) -> int:  # noqa: ASYNC109 - an option of the command, handed on
    """Show the instances and every change, until cancelled; the arguments are those of list_once().

    *as_lines* writes JSON objects, one a line; *timeout* is the time to answer at the start.
    """
    criteria = parse_criteria(words)
    async with opened(registry, timeout) as discovery:
        show_outages()
        if sys.stdout.isatty() and not as_lines:
            await _draw_changes(discovery, criteria)
        else:
            parts = [_write_events(discovery, criteria, as_lines=as_lines)]
            if not criteria:
                parts.append(_write_problems(discovery, as_lines=as_lines))
            await first_of(*parts)
    return Exit.OK


# One line a change


async def _write_events(discovery: Discovery, criteria: Criteria, *, as_lines: bool) -> None:
    async for event in discovery.changes():
        both = (event.before, event.instance) if isinstance(event, Changed) else (event.instance,)
        if matching(both, criteria):
            _write(_json_event(discovery, event) if as_lines else _plain_event(discovery, event))


async def _write_problems(discovery: Discovery, *, as_lines: bool) -> None:
    """Write the problems of each record, now and whenever they change."""
    waiting = dict(discovery.directory.problems)
    changed = asyncio.Event()

    def note(event: DirectoryEvent) -> None:
        if isinstance(event, Problems):
            waiting[event.name] = event.sentences
            changed.set()

    unsubscribe = discovery.directory.subscribe(note)
    try:
        while True:
            for name, problems in waiting.items():
                if problems and as_lines:
                    _write(as_json({"event": "problem", "name": name, "problems": problems}))
                elif problems:
                    _write(f"problem {problem_line(name, problems)}")
            waiting.clear()
            changed.clear()
            await changed.wait()
    finally:
        unsubscribe()


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _word(event: PeerEvent) -> str:
    return type(event).__name__.lower()


def _row(discovery: Discovery, event: PeerEvent) -> Row:
    name, directory = event.instance.name, discovery.directory
    return row_of(event.instance, directory.problems.get(name, ()), unconfirmed=name in directory.unconfirmed)


def _plain_event(discovery: Discovery, event: PeerEvent) -> str:
    shown = (cell for cell in cells(_row(discovery, event), datetime.now(UTC)) if cell)
    return f"{_word(event):8}{'  '.join(shown)}"


def _json_event(discovery: Discovery, event: PeerEvent) -> str:
    line = {"event": _word(event), **_row(discovery, event).entry()}
    if isinstance(event, Changed):
        line["before"] = row_of(event.before).entry()
    return as_json(line)


# A live table


async def _draw_changes(discovery: Discovery, criteria: Criteria) -> None:
    from rich.console import Console  # noqa: PLC0415 - without a terminal it isn't needed
    from rich.live import Live  # noqa: PLC0415 - likewise

    changed = asyncio.Event()
    unsubscribe = discovery.directory.subscribe(lambda _: changed.set())
    console = Console()
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                changed.clear()
                live.update(_picture(discovery, criteria, console.height), refresh=True)
                await asyncio.sleep(_PAUSE)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_TICK):
                        await changed.wait()
    finally:
        unsubscribe()


def _picture(discovery: Discovery, criteria: Criteria, height: int) -> "RenderableType":
    """Return the table as it is now; of a long one what fits on the screen."""
    rows = listing(discovery.directory, criteria)
    readable = [row for row in rows if row.instance is not None]
    now = datetime.now(UTC)
    fitting = max(1, height - _AROUND - sum(bool(row.problems) for row in rows))
    below = _below(discovery, criteria, rows, hidden=len(readable[fitting:]))
    return rich_table(COLUMNS, [cells(row, now) for row in readable[:fitting]], below)


def _below(discovery: Discovery, criteria: Criteria, rows: list[Row], hidden: int) -> Iterator[str]:
    if hidden:
        yield f"… and {hidden} more: 'peerage ls' shows them all."
    if not rows:
        yield empty(discovery, criteria)
    if discovery.stale is not None:
        yield out_of_touch(discovery)
    if any(row.instance is not None and row.instance.suspect for row in rows):
        yield SUSPECTED
    for line in problem_lines(rows):
        yield f"Can't be used: {line}"
    yield f"{discovery.registry.url}   Ctrl-C ends"
