"""``peerage ls --watch``: who comes and who goes, until Ctrl-C."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from peerage.changes import Changed, PeerEvent
from peerage.cli.jsontext import as_json
from peerage.cli.ls import nobody
from peerage.cli.run import Exit, first_of
from peerage.cli.table import on_terminal, rich_table
from peerage.cli.text import shorten
from peerage.cli.view import COLUMNS, Listing, cells, entry_of, listing, problem_lines
from peerage.discovery import Discovery

if TYPE_CHECKING:
    from rich.console import RenderableType

__all__ = ["watch"]

#: Seconds after which the ages in a live table, and problems, are looked at again.
_TICK = 1.0

#: Seconds between two drawings: a thousand services that start together are one change.
_PAUSE = 0.05

#: Lines of the screen that the table's head and the lines below it take.
_AROUND = 6


async def watch(registry: str | None, *, timeout: float, as_lines: bool) -> int:  # noqa: ASYNC109 - an option of the command, handed on
    """Show all instances and every change, until cancelled.

    Args:
        registry: URL of the registry.
        timeout: seconds within which it must answer at the start.
        as_lines: whether to write JSON objects, one a line.
    """
    async with Discovery(registry) as discovery:
        await discovery.ready(timeout)
        if as_lines:
            await _write_changes(discovery, _json_event, _json_problem)
        elif on_terminal():
            await _draw_changes(discovery)
        else:
            await _write_changes(discovery, _plain_event, _plain_problem)
    return Exit.OK


# One line a change


async def _write_changes(
    discovery: Discovery,
    line_of: Callable[[Discovery, PeerEvent], str],
    problem_of: Callable[[str, tuple[str, ...]], str],
) -> None:
    await first_of(_write_events(discovery, line_of), _write_problems(discovery, problem_of))


async def _write_events(discovery: Discovery, line_of: Callable[[Discovery, PeerEvent], str]) -> None:
    async for event in discovery.changes():
        _write(line_of(discovery, event))


async def _write_problems(discovery: Discovery, line_of: Callable[[str, tuple[str, ...]], str]) -> None:
    """Write what can't be used, each once; it need not come with a change of an instance."""
    told: dict[str, tuple[str, ...]] = {}
    while True:
        known = dict(discovery.directory.problems)
        for node, problems in known.items():
            if problems != told.get(node):
                _write(line_of(node, problems))
        told = known
        await asyncio.sleep(_TICK)


def _write(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _word(event: PeerEvent) -> str:
    return type(event).__name__.lower()


def _plain_event(_discovery: Discovery, event: PeerEvent) -> str:
    shown = (cell for cell in cells(event.instance, datetime.now(UTC)) if cell)
    return f"{_word(event):8}{'  '.join(shown)}"


def _plain_problem(node: str, problems: tuple[str, ...]) -> str:
    return f"problem {next(problem_lines({node: problems}))}"


def _json_event(discovery: Discovery, event: PeerEvent) -> str:
    problems = discovery.directory.problems
    line = {"event": _word(event), **entry_of(event.instance, problems.get(event.instance.name, ()))}
    if isinstance(event, Changed):
        line["before"] = entry_of(event.before, ())
    return as_json(line)


def _json_problem(node: str, problems: tuple[str, ...]) -> str:
    return as_json({"event": "problem", "node": node, "problems": problems})


# A live table


async def _draw_changes(discovery: Discovery) -> None:
    from rich.console import Console  # noqa: PLC0415 - without a terminal it isn't needed
    from rich.live import Live  # noqa: PLC0415 - likewise

    changed = asyncio.Event()
    unsubscribe = discovery.directory.subscribe(lambda _: changed.set())
    console = Console()
    try:
        with Live(console=console, auto_refresh=False) as live:
            while True:
                changed.clear()
                live.update(_picture(discovery, console.height), refresh=True)
                await asyncio.sleep(_PAUSE)
                with suppress(TimeoutError):
                    async with asyncio.timeout(_TICK):
                        await changed.wait()
    finally:
        unsubscribe()


def _picture(discovery: Discovery, height: int) -> "RenderableType":
    """Return the table as it is now; of a long one what fits on the screen."""
    found = listing(discovery.directory)
    now = datetime.now(UTC)
    room = max(1, height - _AROUND - len(found.problems))
    shown = [cells(each, now, hidden=each.name in found.hidden) for each in found.instances[:room]]
    return rich_table(COLUMNS, shown, _below(discovery, found, len(shown)))


def _below(discovery: Discovery, found: Listing, shown: int) -> Iterator[str]:
    if hidden := len(found.instances) - shown:
        yield f"… and {hidden} more: 'peerage ls' shows them all."
    if not found.instances:
        yield nobody(discovery)
    if discovery.stale is not None:
        yield f"Out of touch for {discovery.age:.0f} s: {shorten(discovery.stale, 400)}"
    for line in problem_lines(found.problems):
        yield f"Can't be used: {line}"
    yield f"{discovery.registry.url}   Ctrl-C ends"
