"""What a trace says about processes, instances, faults, directories and calls over time; pure."""

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

from peerage.testing.simulation.trace import (
    Advertised,
    Attempted,
    CallBegan,
    CallEnded,
    Ended,
    Event,
    FaultBegan,
    FaultEnded,
    Handled,
    Resting,
    Sight,
    Started,
    TokenSeen,
    Updated,
    Viewed,
    Withdrawn,
)


class Span(NamedTuple):
    """A part of the time, in seconds."""

    begin: float
    end: float


@dataclass(slots=True)
class Process:
    """A process and what its directory had."""

    started: Started
    ended: float = math.inf
    views: list[Viewed] = field(default_factory=list)
    """In the order of their times."""

    def view(self, at: float) -> Viewed | None:
        """Return what its directory had at a time; None before the first view."""
        index = bisect_right(self.views, at, key=lambda view: view.at)
        return self.views[index - 1] if index else None

    def views_in(self, span: Span) -> Iterator[Viewed]:
        """Yield what its directory had at the beginning of *span*, and each change until its end."""
        begin = max(0, bisect_right(self.views, span.begin, key=lambda view: view.at) - 1)
        for view in self.views[begin:]:
            if view.at > span.end:
                break
            yield view


@dataclass(slots=True)
class Life:
    """What a process advertises, from beginning to end."""

    advertised: Advertised
    process: Process
    withdrawn: float = math.inf
    updates: list[Updated] = field(default_factory=list)

    @property
    def ended(self) -> float:
        """When it ceased to be true: it was withdrawn, or its process ended."""
        return min(self.withdrawn, self.process.ended)

    def lasts(self, span: Span) -> bool:
        """Tell whether it was true, and didn't drain, all the time."""
        if self.advertised.at > span.begin or self.ended <= span.end:
            return False
        return not any(each.state == "draining" and each.at <= span.end for each in self.updates)

    def sight(self, at: float) -> Sight | None:
        """Return how each directory should have it at a time; None if it shouldn't."""
        told = self.advertised
        if not told.at <= at < self.ended:
            return None
        last = None
        for each in self.updates:
            if each.at > at:
                break
            last = each
        state, version = ("", 0) if last is None else (last.state, last.version)
        return Sight(told.nonce, told.service, told.instance, told.address, state, version)


@dataclass(slots=True)
class Fault:
    """A fault and how long it lasted."""

    began: FaultBegan
    ended: float = math.inf

    def affects(self, one: str, other: str, span: Span) -> bool:
        """Tell whether it may have disturbed what two hosts sent each other in *span*, or one of them."""
        if self.began.at > span.end or self.ended < span.begin:
            return False
        hosts, peers = self.began.hosts, self.began.peers
        if peers:
            return (one in hosts and other in peers) or (other in hosts and one in peers)
        return one in hosts or other in hosts


@dataclass(slots=True)
class CallHistory:
    """One call."""

    began: CallBegan
    attempts: list[Attempted] = field(default_factory=list)
    handled: list[Handled] = field(default_factory=list)
    ended: CallEnded | None = None

    @property
    def retries(self) -> list[Attempted]:
        """The attempts that followed one whose request an instance may have processed."""
        pairs = zip(self.attempts, self.attempts[1:], strict=False)
        return [later for earlier, later in pairs if earlier.outcome not in _UNPROCESSED]


#: How an attempt ends if nothing was processed, so that another one is free.
_UNPROCESSED = frozenset({"connect_failed", "unresolved", "misdirected", "unused", "out_of_resources"})


class History:
    """A trace, arranged by what its events are about.

    Args:
        trace: the events, in the order of their times but for those that are written later.

    Raises:
        ValueError: an event is about something of which the trace doesn't say that it began.
    """

    def __init__(self, trace: Iterable[Event]) -> None:
        self.processes: dict[str, Process] = {}
        self.lives: dict[str, Life] = {}
        """By nonce."""
        self.faults: dict[int, Fault] = {}
        self.calls: dict[str, CallHistory] = {}
        self.tokens: list[TokenSeen] = []
        self.rests: list[Resting] = []
        self.end = 0.0
        """The time of the last event."""
        for event in trace:
            try:
                self._add(event)
            except KeyError as error:
                raise ValueError(f"The trace is incomplete: {event} is about an unknown {error}.") from None
            self.end = max(self.end, event.at)
        for call in self.calls.values():
            call.attempts.sort(key=lambda attempt: attempt.at)

    def _add(self, event: Event) -> None:  # noqa: C901, PLR0912 - a case for each kind of event
        match event:
            case Started():
                self.processes[event.process] = Process(event)
            case Ended():
                self.processes[event.process].ended = event.at
            case Advertised():
                self.lives[event.nonce] = Life(event, self.processes[event.process])
            case Updated():
                self.lives[event.nonce].updates.append(event)
            case Withdrawn():
                life = self.lives[event.nonce]
                life.withdrawn = min(life.withdrawn, event.at)
            case FaultBegan():
                self.faults[event.fault] = Fault(event)
            case FaultEnded():
                self.faults[event.fault].ended = event.at
            case Viewed():
                self.processes[event.process].views.append(event)
            case CallBegan():
                self.calls[event.call] = CallHistory(event)
            case Attempted():
                self.calls[event.call].attempts.append(event)
            case Handled():
                self.calls[event.call].handled.append(event)
            case CallEnded():
                self.calls[event.call].ended = event
            case TokenSeen():
                self.tokens.append(event)
            case Resting():
                self.rests.append(event)

    def disturbed(self, span: Span) -> bool:
        """Tell whether there was a fault in *span*."""
        return any(each.began.at <= span.end and each.ended >= span.begin for each in self.faults.values())

    def settled(self, settling: float) -> list[Span]:
        """Return when nothing was changed and nothing disturbed for *settling* seconds, and longer."""
        busy = [Span(fault.began.at, fault.ended) for fault in self.faults.values()]
        busy += [
            Span(at, at) for process in self.processes.values() for at in (process.started.at, process.ended)
        ]
        for life in self.lives.values():
            changes = [life.advertised.at, life.ended, *(each.at for each in life.updates)]
            busy += [Span(at, at) for at in changes]
        spans, end = [], 0.0
        for span in sorted(busy):
            if span.begin > end + settling:
                spans.append(Span(end + settling, min(span.begin, self.end)))
            end = max(end, span.end)
            if end >= self.end:
                return [each for each in spans if each.begin <= each.end]
        return [*spans, Span(end + settling, self.end)] if end + settling <= self.end else spans
