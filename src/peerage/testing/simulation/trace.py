"""What happened in a cluster, as a list of events: written by a simulation, or by real processes.

A trace is what :func:`peerage.testing.simulation.checker.check` reads. It says what is true (which processes
run and what they advertise), what was done to the cluster (faults), and what the library made of it: what
each directory contained, and how each call ended.

In one process an event is appended to a list. Several processes each write a file, one line of JSON for each
event, and :func:`read_traces` merges them; they need one clock, such as the monotonic clock of their machine.
"""

import json
import os
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, Self

#: The host that stands for the registry in faults.
REGISTRY: Final = "registry"

#: Whether a request may be processed more than once, see :class:`peerage.calling.retry.Repeatable`.
RepeatableName = Literal["once", "idempotent", "safe"]


class Sight(NamedTuple):
    """One record as a directory has it."""

    nonce: str
    """Distinguishes what is advertised from everything else that is, also by the same process."""
    service: str
    instance: str
    """The ``instance_id``."""
    address: str
    """``host:port``."""
    state: str = ""
    """``draining``, ``suspect`` or another word of the record; empty without one."""
    version: int = 0
    """The number of the update that the record shows."""
    superseded: bool = False
    """Whether a newer record of the same instance is known, so that this one isn't visible."""


@dataclass(frozen=True, slots=True)
class Started:
    """A process began."""

    at: float
    """When it happened, in seconds; likewise in all other events."""
    process: str
    """Label of the process, unique in the trace: a process that is started again has another one."""
    host: str
    """The machine that it runs on."""
    observes: bool = True
    """Whether the trace has what its directory contains."""


@dataclass(frozen=True, slots=True)
class Ended:
    """A process ended, in whatever way; what it advertised is no longer true."""

    at: float
    process: str


@dataclass(frozen=True, slots=True)
class Advertised:
    """A process began to advertise."""

    at: float
    process: str
    nonce: str
    service: str
    instance: str
    address: str


@dataclass(frozen=True, slots=True)
class Updated:
    """A process changed what it advertises, or began to drain."""

    at: float
    nonce: str
    state: str = ""
    version: int = 0


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """A process began to withdraw what it advertised."""

    at: float
    nonce: str


@dataclass(frozen=True, slots=True)
class FaultBegan:
    """Something was done to the cluster. A fault without duration ends at the time at which it began."""

    at: float
    fault: int
    """Number of the fault, unique in the trace."""
    kind: str
    """``partition``, ``stop``, ``expiry`` …"""
    hosts: tuple[str, ...] = ()
    """The hosts that it affects. Those of the registry are :data:`REGISTRY`."""
    peers: tuple[str, ...] = ()
    """If not empty, only what *hosts* and *peers* send each other is affected."""


@dataclass(frozen=True, slots=True)
class FaultEnded:
    """The fault is over; what follows from it may last longer."""

    at: float
    fault: int


@dataclass(frozen=True, slots=True)
class Viewed:
    """A directory has changed, or was looked at; it has exactly this until the next such event."""

    at: float
    process: str
    """The process whose directory it is."""
    sights: tuple[Sight, ...]
    stale: bool = False
    """Whether it says that the registry is out of reach."""


@dataclass(frozen=True, slots=True)
class CallBegan:
    """A process called a service by its name."""

    at: float
    call: str
    """Label of the call, unique in the trace, which its request carries to the server."""
    process: str
    service: str
    repeatable: RepeatableName = "safe"
    deadline: float | None = None
    """The time at which the call must have ended; None if it has no deadline."""


@dataclass(frozen=True, slots=True)
class Attempted:
    """A call sent its request to an instance, or tried to; written when the attempt or the call has ended."""

    at: float
    """When the attempt began."""
    call: str
    address: str
    outcome: str
    """The name of the :class:`peerage.balancing.Outcome` in lower case."""


@dataclass(frozen=True, slots=True)
class Handled:
    """A server received the request of a call, and processes it."""

    at: float
    call: str
    process: str
    """The process of the server."""
    service: str
    """The service that it belongs to."""


@dataclass(frozen=True, slots=True)
class CallEnded:
    """A call was answered, or failed with an error."""

    at: float
    call: str
    error: str = ""
    """What failed, as the caller was told; empty if the call was answered."""


@dataclass(frozen=True, slots=True)
class TokenSeen:
    """A server received a request with an internal token."""

    at: float
    process: str
    """The process of the server."""
    allowed: bool
    """Whether a token may be sent there: to a service of the cluster, over a connection that is allowed."""
    call: str = ""
    """The label of the call; empty if the request doesn't say it."""


@dataclass(frozen=True, slots=True)
class Resting:
    """A process has no call under way."""

    at: float
    process: str
    outstanding: int
    """How many requests its balancer counts as under way."""


Event = (
    Started
    | Ended
    | Advertised
    | Updated
    | Withdrawn
    | FaultBegan
    | FaultEnded
    | Viewed
    | CallBegan
    | Attempted
    | Handled
    | CallEnded
    | TokenSeen
    | Resting
)

_CLASSES: Final[dict[str, type[Event]]] = {
    each.__name__: each
    for each in (
        Started,
        Ended,
        Advertised,
        Updated,
        Withdrawn,
        FaultBegan,
        FaultEnded,
        Viewed,
        CallBegan,
        Attempted,
        Handled,
        CallEnded,
        TokenSeen,
        Resting,
    )
}


def to_line(event: Event) -> str:
    """Return *event* as one line of JSON, without the line feed; the same text for equal events.

    >>> to_line(Ended(1.5, "orders-1"))
    '{"event": "Ended", "at": 1.5, "process": "orders-1"}'
    """
    return json.dumps({"event": type(event).__name__} | asdict(event))


def from_line(line: str) -> Event:
    """Return the event that :func:`to_line` wrote.

    Raises:
        ValueError: it is something else.
    """
    try:
        values: dict[str, Any] = json.loads(line)
        kind = _CLASSES[values.pop("event")]
        event = kind(**{key: _frozen(key, value) for key, value in values.items()})
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"This line isn't an event of a trace: {line[:200]!r}. {error}") from error
    return event


def _frozen(key: str, value: Any) -> Any:
    if key == "sights":
        return tuple(Sight(*each) for each in value)
    return tuple(value) if isinstance(value, list) else value


class TraceFile:
    """The trace of one of several processes: each event is in the file when :meth:`append` returns.

    Whatever happens to the process afterwards, what it wrote stays.

    Args:
        path: the file; created if it doesn't exist, else continued.
    """

    def __init__(self, path: Path) -> None:
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)

    def append(self, event: Event) -> None:
        """Write *event*."""
        os.write(self._descriptor, (to_line(event) + "\n").encode())

    def close(self) -> None:
        """Close the file."""
        os.close(self._descriptor)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc_info: object) -> None:
        self.close()


def read_traces(paths: Iterable[Path]) -> list[Event]:
    """Return the events of all files in the order of their times; a line that a crash cut short is left out.

    Raises:
        ValueError: another line isn't an event.
    """
    events = [event for path in paths for event in _read(path)]
    return sorted(events, key=lambda event: event.at)


def _read(path: Path) -> Iterator[Event]:
    *whole, _cut_short = path.read_text().split("\n")
    for line in whole:
        yield from_line(line)
