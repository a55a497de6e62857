"""The result of the demo, in words and as a list of failures."""

from collections.abc import Iterator

from peerage.cli.demo.score import Member, Score

__all__ = ["complaints", "summary"]


def summary(score: Score, elapsed: float) -> Iterator[str]:
    """Yield the lines of the summary."""
    rate = score.calls / max(elapsed, 0.001)
    yield f"{score.calls:,} calls in {elapsed:.1f} s ({rate:.0f}/s), {score.failed:,} failed"
    for member in score.members.values():
        yield f"  {member.name}  {member.answers:6,} answers  {_outcome(member)}".rstrip()
    yield from complaints(score) or ["No call failed, and every instance answered."]


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


def complaints(score: Score) -> list[str]:
    """Return one sentence for each failure."""
    members = score.members.values()
    found = [f"{member.name} answered no call." for member in members if not member.answers]
    if score.failed:
        found.append(f"{score.failed:,} calls failed, the last one with {score.error}")
    if not any(member.killed_at for member in members):
        found.append("No instance was killed.")
    if not any(member.late for member in members):
        found.append("No instance joined later.")
    return found
