"""``peerage ls --watch``: every change, until Ctrl-C."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from peerage.changes import Changed, PeerEvent
from peerage.cli.criteria import parse_criteria
from peerage.cli.ls import empty
from peerage.cli.rows import COLUMNS, Row, cells, listing, problem_lines
from peerage.cli.run import Exit, first_of, opened, show_outages
from peerage.cli.table import on_terminal, rich_table
from peerage.cli.text import as_json, shorten
from peerage.directory import Criteria, DirectoryEvent, Problems
from peerage.discovery import Discovery

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["watch"]

#: Seconds after which the ages in a live table are computed again.
_TICK = 1.0

#: Seconds between two drawings: a thousand services that start together are one change of the table.
_PAUSE = 0.05

#: Lines of the screen that the table's head and the lines below it take.
_AROUND = 6


async def watch(registry: str | None, words: list[str], *, timeout: float, as_lines: bool) -> int:  # noqa: ASYNC109 - an option of the command, handed on
    """Show the instances that match the criteria ``key=value`` and every change, until cancelled.

    Args:
        registry: URL of the registry.
        words: the criteria.
        timeout: seconds within which it must answer at the start.
        as_lines: whether to write JSON objects, one a line.
    """
    criteria = parse_criteria(words)
    async with opened(registry, timeout) as discovery:
        show_outages()
        if on_terminal() and not as_lines:
            await _draw_changes(discovery, criteria)
        else:
            parts = [_write_events(discovery, criteria, _json_line if as_lines else _plain_line)]
            if not criteria:
                parts.append(_write_problems(discovery, as_objects=as_lines))
            await first_of(*parts)
    return Exit.OK


# One line a change


async def _write_events(
    discovery: Discovery, criteria: Criteria, line_of: Callable[[Discovery, PeerEvent], str]
) -> None:
    wanted = set(criteria)
    async for event in discovery.changes():
        both = (event.before, event.instance) if isinstance(event, Changed) else (event.instance,)
        if any(wanted <= set(each.ids) for each in both):
            _write(line_of(discovery, event))


async def _write_problems(discovery: Discovery, *, as_objects: bool) -> None:
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
                if problems:
                    row = Row(name, None, problems)
                    _write(
                        as_json({"event": "problem", "name": name, "problems": problems})
                        if as_objects
                        else f"problem {next(problem_lines([row]))}"
                    )
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


def _plain_line(_discovery: Discovery, event: PeerEvent) -> str:
    (shown,) = cells([Row(event.instance.name, event.instance)], datetime.now(UTC))
    return f"{_word(event):8}{'  '.join(filter(None, shown))}"


def _json_line(discovery: Discovery, event: PeerEvent) -> str:
    name = event.instance.name
    problems = discovery.directory.problems.get(name, ())
    line = {"event": _word(event), **Row(name, event.instance, problems).entry()}
    if isinstance(event, Changed):
        line["before"] = Row(event.before.name, event.before).entry()
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
    room = max(1, height - _AROUND - sum(bool(row.problems) for row in rows))
    below = _below(discovery, criteria, rows, hidden=len(readable[room:]))
    return rich_table(COLUMNS, cells(readable[:room], datetime.now(UTC)), below)


def _below(discovery: Discovery, criteria: Criteria, rows: list[Row], hidden: int) -> Iterator[str]:
    if hidden:
        yield f"… and {hidden} more: 'peerage ls' shows them all."
    if not rows:
        yield empty(discovery, criteria)
    if discovery.stale is not None:
        yield f"Out of touch for {discovery.age:.0f} s: {shorten(discovery.stale, 400)}"
    for line in problem_lines(rows):
        yield f"Can't be used: {line}"
    yield f"{discovery.registry.url}   Ctrl-C ends"
