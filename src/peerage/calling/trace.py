"""The trace of a call, recorded on request: ``with peerage.trace_calls() as traces:``."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

__all__ = ["AttemptTrace", "CallTrace", "LeftOut", "Wait", "begin_trace", "collecting", "trace_calls"]


@dataclass(slots=True)
class AttemptTrace:
    """One attempt to send the request to an address of an instance."""

    instance: str
    """``instance_id`` of the instance, or the name of its record if it has none."""
    record: str
    """Name of its record."""
    address: str
    """``address:port`` as written in a URL."""
    reason: str
    """Why the instance was chosen."""
    started: float
    """Seconds from the beginning of the call."""
    seconds: float | None = None
    """Until the head of the response arrived, or the attempt failed; None while it is under way."""
    outcome: str | None = None
    """How it ended, as in :attr:`peerage.CallCounts.attempts`; None while it is under way."""
    problem: str = ""
    """What failed."""
    body_seconds: float | None = None
    """From the head of the response to the end of its body; None until then."""


@dataclass(frozen=True, slots=True)
class LeftOut:
    """An instance of the name to which no attempt was made."""

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
    """One call. The trace is complete when the call has ended."""

    method: str
    name: str
    """``<value>.<key>.asab``."""
    known: int = 0
    """How many instances had that name at the last choice, including those that can't be called."""
    attempts: list[AttemptTrace] = field(default_factory=list)
    """In the order in which they began."""
    left_out: list[LeftOut] = field(default_factory=list)
    """The instances that were left out at the last choice; 100 at most."""
    waits: list[Wait] = field(default_factory=list)
    seconds: float | None = None
    """Until the head of the response arrived, or the call failed; None while it is under way."""
    problem: str = ""
    """Why it failed, or why a failure reached the caller without another attempt."""


#: The lists to which new traces are added.
collecting: ContextVar[tuple[list[CallTrace], ...]] = ContextVar("trace_calls", default=())


@contextmanager
def trace_calls() -> Iterator[list[CallTrace]]:
    """Collect a trace of each call that begins in a block, or in a task that it starts.

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
    """Return a new trace of a call of *name*, a key and a value; only to be called if one is wanted."""
    trace = CallTrace(method, f"{name[1]}.{name[0]}.asab")
    for traces in collecting.get():
        traces.append(trace)
    return trace
