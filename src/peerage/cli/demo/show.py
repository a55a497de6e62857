"""What the demo shows while it runs: a live table on a terminal, lines elsewhere."""

import asyncio
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from peerage.cli.demo.score import Member, Score
from peerage.cli.table import on_terminal, rich_table

if TYPE_CHECKING:
    from rich.console import Group

__all__ = ["show"]

_COLUMNS = ("instance", "state", "pid", "joined", "answers", "share")

#: Seconds between two drawings.
_FRAME = 0.25

#: Seconds between two lines of counts.
_LINE = 1.0

#: Events that are shown below the table, the last ones.
_EVENTS = 10

_BAR = 30


async def show(score: Score) -> None:
    """Show *score* until cancelled, and a last time then."""
    await (_draw(score) if on_terminal() else _write(score))


async def _write(score: Score) -> None:
    written = 0
    next_counts = _LINE

    def catch_up() -> None:
        nonlocal written
        for when, sentence in score.events[written:]:
            sys.stdout.write(f"{when:6.1f} s  {sentence}\n")
        written = len(score.events)
        sys.stdout.flush()

    try:
        while True:
            catch_up()
            if score.elapsed >= next_counts:
                next_counts = score.elapsed + _LINE
                sys.stdout.write(f"{score.elapsed:6.1f} s  {counts(score)}\n")
                sys.stdout.flush()
            await asyncio.sleep(_FRAME)
    finally:
        catch_up()


async def _draw(score: Score) -> None:
    from rich.live import Live  # noqa: PLC0415 - without a terminal it isn't needed

    with Live(auto_refresh=False) as live:
        try:
            while True:
                live.update(_picture(score), refresh=True)
                await asyncio.sleep(_FRAME)
        finally:
            live.update(_picture(score), refresh=True)


def counts(score: Score) -> str:
    """Return the counts in a line."""
    return f"{score.calls:,} calls, {score.rate:.0f}/s, {score.failed:,} failed"


def _picture(score: Score) -> "Group":
    return rich_table(
        _COLUMNS,
        (_row(member, score) for member in score.members.values()),
        _below(score),
    )


def _row(member: Member, score: Score) -> tuple[str, ...]:
    share = member.answers / max(1, score.calls)
    joined = ""
    if member.joined_at is not None and score.opened_at is not None:
        joined = f"{max(0.0, member.joined_at - score.opened_at):.1f} s"
    return (
        member.name,
        member.state,
        str(member.pid),
        joined,
        f"{member.answers:,}",
        "█" * round(share * _BAR),
    )


def _below(score: Score) -> Iterator[str]:
    yield f"The shop calls http://pricing.service_id.asab: {counts(score)}   Ctrl-C ends it"
    for when, sentence in score.events[-_EVENTS:]:
        yield f"{when:6.1f} s  {sentence}"
