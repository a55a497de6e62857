"""The trace of a call as tables for a terminal: ``peerage get --explain``."""

from collections.abc import Iterator

from peerage.calling.trace import AttemptTrace, CallTrace, Wait
from peerage.cli.table import plain_table
from peerage.cli.text import clean, shorten

#: The outcomes of attempts in plain words; the problem follows.
_ENDINGS = {
    "answered": "answered",
    "unresolved": "its host has no address",
    "connect_failed": "no connection",
    "connection_lost": "the connection broke",
    "timed_out": "no answer in time",
    "unavailable": "it failed",
    "gateway_timeout": "it got no answer in time from a service that it called",
    "throttled": "it asks for fewer requests",
    "overloaded": "it is overloaded, and didn't process the request",
    "misdirected": "another service answers there",
    "out_of_resources": "this process or host has no descriptor, port or memory left",
    "not_retryable": "it failed, and another instance wouldn't help",
    "cancelled": "given up",
}


def explain(trace: CallTrace) -> Iterator[str]:
    """Yield the lines that show what a call did."""
    known = "1 instance is" if trace.known == 1 else f"{trace.known} instances are"
    yield f"{clean(trace.method)} {clean(trace.name)}: {known} known by that name"
    steps: list[AttemptTrace | Wait] = [*trace.attempts, *trace.waits]
    rows = [_row(step) for step in sorted(steps, key=lambda step: step.started)]
    if rows:
        yield ""
        yield from plain_table(("began", "took", "asked", "at", "how it ended", "why it was chosen"), rows)
    if trace.left_out:
        yield ""
        left = [(shorten(each.instance), shorten(each.reason)) for each in trace.left_out]
        yield from plain_table(("not asked", "why"), left)
        hidden = trace.known - len(left) - len({attempt.record for attempt in trace.attempts})
        if hidden > 0:
            yield f"and {hidden} more"


def _row(step: AttemptTrace | Wait) -> tuple[str, ...]:
    began, took = _milliseconds(step.started), _milliseconds(step.seconds)
    if isinstance(step, Wait):
        return began, took, "(waited)", "", "", shorten(step.reason)
    ended = _ENDINGS.get(step.outcome or "", "under way")
    if step.problem:
        ended = f"{ended}: {step.problem}"
    if step.body_seconds is not None:
        ended = f"{ended}, body after {_milliseconds(step.body_seconds)}"
    return began, took, shorten(step.instance), clean(step.address), shorten(ended, 200), shorten(step.reason)


def _milliseconds(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds * 1e3:.1f} ms"
