"""What a call did, recorded when a program asks for it: ``with peerage.trace_calls() as traces:``."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

__all__ = ["AttemptTrace", "CallTrace", "LeftOut", "Wait", "begin_trace", "collecting", "trace_calls"]


@dataclass(slots=True)
class AttemptTrace:
    """One request that was sent, or should have been sent, to one address of an instance."""

    instance: str
    """``instance_id`` of the instance, or the name of its record if it has none."""
    record: str
    """Name of its record."""
    address: str
    """``address:port`` as written in a URL."""
    reason: str
    """Why it was chosen."""
    started: float
    """Seconds from the beginning of the call."""
    seconds: float | None = None
    """Until it was answered or failed; None while it is under way."""
    outcome: str | None = None
    """How it ended, in the words of :attr:`peerage.CallCounts.attempts`; None while it is under way."""
    problem: str = ""
    """What failed."""
    body_seconds: float | None = None
    """From the head of the answer to the end of its body; None before."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An instance of the name that wasn't asked."""

    instance: str
    record: str
    reason: str


@dataclass(slots=True)
class Wait:
    """What the call waited for between attempts."""

    reason: str
    started: float
    """Seconds from the beginning of the call."""
    seconds: float | None = None


@dataclass(slots=True)
class CallTrace:
    """One call; it is complete when the call has ended, and shows what is known until then."""

    method: str
    name: str
    """``<value>.<key>.asab``."""
    known: int = 0
    """Instances with that name at the last choice, including those that can't be called."""
    attempts: list[AttemptTrace] = field(default_factory=list)
    """In the order in which they began."""
    left_out: list[LeftOut] = field(default_factory=list)
    """The instances that weren't asked, at the last choice; 100 at most."""
    waits: list[Wait] = field(default_factory=list)
    seconds: float | None = None
    """Until the head of the answer arrived, or the call failed; None while it is under way."""
    problem: str = ""
    """Why it failed, if there was nothing left to try."""


#: Where traces go that are begun now.
collecting: ContextVar[tuple[list[CallTrace], ...]] = ContextVar("trace_calls", default=())


@contextmanager
def trace_calls() -> Iterator[list[CallTrace]]:
    """Collect a trace of each call that is begun in a block, its tasks included.

    ::

        with peerage.trace_calls() as traces:
            await session.get("http://orders.service_id.asab/v1/orders")
        for attempt in traces[0].attempts:
            print(attempt.instance, attempt.reason, attempt.seconds, attempt.outcome)

    Each redirect is a call. Calls outside of such a block aren't recorded.
    """
    traces: list[CallTrace] = []
    token = collecting.set((*collecting.get(), traces))
    try:
        yield traces
    finally:
        collecting.reset(token)


def begin_trace(name: tuple[str, str], method: str) -> CallTrace:
    """Return the trace of a call to *name*, key and value, that begins now; only if one is wanted."""
    trace = CallTrace(method, f"{name[1]}.{name[0]}.asab")
    for traces in collecting.get():
        traces.append(trace)
    return trace
