"""``peerage ls --watch``: every change, until Ctrl-C."""

import asyncio
import sys
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from peerage.cli.ls import SUSPECTED, empty, matching, out_of_touch, parse_criteria
from peerage.cli.run import Exit, opened, show_outages
from peerage.cli.table import COLUMNS, cells, problem_line, problem_lines, rich_table
from peerage.cli.text import shorten
from peerage.directory import Change, Criteria, DirectoryEvent
from peerage.directory.listing import Row, listing
from peerage.directory.listing import row as row_named
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
            await _Lines(discovery, criteria, as_json=as_lines).write()
    return Exit.OK


# One line a change


class _Lines:
    """Writes a line for each row at the start and for each change of one, so that they add up to ``ls``.

    Each event but ``left`` says how the row of its record is now. ``problem`` is a row that can't be used as
    it is, or can't be read; it follows ``joined`` or ``changed`` if it can be read.
    """

    def __init__(self, discovery: Discovery, criteria: Criteria, *, as_json: bool) -> None:
        self._discovery = discovery
        self._criteria = criteria
        self._as_json = as_json
        self._written: dict[str, Row] = {}
        self._waiting = {row.name: None for row in listing(discovery.directory)}
        self._changed = asyncio.Event()

    async def write(self) -> None:
        """Write until cancelled."""
        unsubscribe = self._discovery.directory.subscribe(self._note)
        try:
            await first_of(self._follow(), self._follow_touch())
        finally:
            unsubscribe()

    def _note(self, event: DirectoryEvent) -> None:
        # Of two records the newer one first: it supersedes the other one.
        names = [each.name for each in reversed(event) if each] if isinstance(event, Change) else [event.name]
        self._wait_for(names)

    def _wait_for(self, names: Iterable[str]) -> None:
        self._waiting.update(dict.fromkeys(names))
        self._changed.set()

    async def _follow_touch(self) -> None:
        """Look again at what the disk cache had: the directory doesn't publish that it was confirmed."""
        while True:
            await self._discovery.membership.wait_changed()
            self._wait_for([name for name, row in self._written.items() if row.unconfirmed])

    async def _follow(self) -> None:
        while True:
            while self._waiting:
                name = next(iter(self._waiting))
                del self._waiting[name]
                self._write(name)
            sys.stdout.flush()
            self._changed.clear()
            await self._changed.wait()

    def _write(self, name: str) -> None:
        before, now = self._written.get(name), row_named(self._discovery.directory, name)
        if now is None:
            self._written.pop(name, None)
        else:
            self._written[name] = now
        if self._criteria and not any(
            row is not None and row.instance is not None and matching((row.instance,), self._criteria)
            for row in (before, now)
        ):
            return
        for word, row in _events(before, now):
            line = self._object(word, row, before) if self._as_json else _line(word, row)
            sys.stdout.write(f"{line}\n")

    @staticmethod
    def _object(word: str, row: Row, before: Row | None) -> str:
        more = {"before": before.entry()} if word == "changed" and before is not None else {}
        return as_json({"event": word, **row.entry(), **more})


def _events(before: Row | None, now: Row | None) -> Iterator[tuple[str, Row]]:
    """Yield what happened to the row of a record, a word and a row each."""
    if before == now:
        return
    known = before is not None and before.instance is not None
    if before is not None and (now is None or (known and now.instance is None)):
        yield "left", before
    elif now is not None and now.instance is not None:
        yield "changed" if known else "joined", now
    if now is not None and now.problems and (before is None or before.problems != now.problems):
        yield "problem", now


def _line(word: str, row: Row) -> str:
    if word == "problem":
        return f"problem {problem_line(row.name, row.problems)}"
    shown = [cell for cell in cells(row, datetime.now(UTC)) if cell] or [shorten(row.name), row.state]
    return f"{word:8}{'  '.join(shown)}"


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
