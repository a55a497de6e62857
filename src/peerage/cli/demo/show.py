"""What the demo shows: a live table on a terminal, lines elsewhere, and a summary at the end."""

import asyncio
import sys
from collections.abc import Iterator
from typing import TYPE_CHECKING

from peerage.cli.demo.score import Member, Score
from peerage.cli.table import rich_table

if TYPE_CHECKING:
    from rich.console import Group

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
    await (_draw(score) if sys.stdout.isatty() else _write(score))


async def _write(score: Score) -> None:
    written = 0
    next_counts = _LINE
    sys.stdout.writelines(f"{line}\n" for line in _page_lines(score))
    try:
        while True:
            if score.elapsed >= next_counts:
                next_counts = score.elapsed + _LINE
                score.note(_counts(score))
            written = _write_events(score, written)
            await asyncio.sleep(_FRAME)
    finally:
        _write_events(score, written)


def _write_events(score: Score, written: int) -> int:
    """Write the events beyond the first *written*, and return how many there are."""
    sys.stdout.writelines(f"{_event_line(*event)}\n" for event in score.events[written:])
    sys.stdout.flush()
    return len(score.events)


async def _draw(score: Score) -> None:
    from rich.live import Live  # noqa: PLC0415 - without a terminal it isn't needed

    with Live(auto_refresh=False) as live:
        try:
            while True:
                live.update(_picture(score), refresh=True)
                await asyncio.sleep(_FRAME)
        finally:
            live.update(_picture(score), refresh=True)


def _counts(score: Score) -> str:
    return f"{score.calls:,} calls, {score.rate:.0f}/s, {score.failed:,} failed"


def _picture(score: Score) -> "Group":
    rows = (_row(member, score) for member in score.members.values())
    return rich_table(_COLUMNS, rows, _below(score))


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
    yield f"The shop calls http://pricing.service_id.asab: {_counts(score)}   Ctrl-C ends it"
    yield from _page_lines(score)
    for event in score.events[-_EVENTS:]:
        yield _event_line(*event)


def _page_lines(score: Score) -> list[str]:
    return [] if score.page is None else [f"The page that shows the registry: {score.page}"]


def _event_line(when: float, sentence: str) -> str:
    return f"{when:6.1f} s  {sentence}"


def summary(score: Score, elapsed: float) -> Iterator[str]:
    """Yield the lines of the summary."""
    rate = score.calls / max(elapsed, 0.001)
    yield f"{score.calls:,} calls in {elapsed:.1f} s ({rate:.0f}/s), {score.failed:,} failed"
    for member in score.members.values():
        yield f"  {member.name}  {member.answers:6,} answers  {_outcome(member)}".rstrip()
    yield from failures(score) or ["No call failed, and every instance answered."]
    if score.page is None:
        yield "See it in a browser as well: peerage demo --page, or make demo ARGS=--page"


def _outcome(member: Member) -> str:
    if member.killed_at is not None:
        if member.gone_at is None:
            return "killed, still in the registry"
        return f"killed, gone from the registry after {_ms(member.killed_at, member.gone_at)}"
    if member.late and member.ready_at is not None and member.first_answer_at is not None:
        return f"joined later, its first answer after {_ms(member.ready_at, member.first_answer_at)}"
    return ""


def _ms(begin: float, end: float) -> str:
    # A service may answer before it knows that it is registered.
    return f"{max(0.0, end - begin) * 1000:.1f} ms"


def failures(score: Score) -> list[str]:
    """Return one sentence for each failure."""
    members = score.members.values()
    found = [f"{member.name} answered no call." for member in members if not member.answers]
    if score.failed:
        found.append(f"{score.failed:,} calls failed, the last one with {score.error}")
    return found
