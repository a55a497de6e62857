"""A trace of a small cluster without faults, to which tests of the checker add what they are about."""

from peerage.testing.simulation.checker import Promises, check
from peerage.testing.simulation.trace import (
    Advertised,
    Attempted,
    CallBegan,
    CallEnded,
    Resting,
    Sight,
    Started,
    Viewed,
)

PROMISES = Promises(session_timeout=10.0, reaction=1.0)
SIGHT = Sight("n1", "orders", "orders-1", "a:80")
SECOND = Sight("n2", "orders", "orders-2", "c:80")

#: Two instances of a service, and a caller that knows both.
CLUSTER = [
    Started(0.0, "orders-1", "a", observes=False),
    Started(0.0, "orders-2", "c", observes=False),
    Started(0.0, "shop", "b"),
    Advertised(0.0, "orders-1", "n1", "orders", "orders-1", "a:80"),
    Advertised(0.0, "orders-2", "n2", "orders", "orders-2", "c:80"),
    Viewed(0.5, "shop", (SIGHT, SECOND)),
]


def found(*events, cluster=CLUSTER, promises=PROMISES) -> list[str]:
    """The invariants that are violated."""
    trace = sorted([*cluster, *events], key=lambda event: event.at)
    return [violation.invariant for violation in check(trace, promises)]


def seen(at: float, *sights: Sight, stale: bool = False) -> Viewed:
    return Viewed(at, "shop", sights, stale=stale)


def until(at: float) -> Resting:
    """An event by which the trace lasts until a time."""
    return Resting(at, "shop", 0)


def call(at: float, ended: float, error: str = "", *outcomes: str, label: str = "call", **fields) -> list:
    attempts = [
        Attempted(at + number / 100, label, f"{'ac'[number % 2]}:80", outcome)
        for number, outcome in enumerate(outcomes)
    ]
    return [CallBegan(at, label, "shop", "orders", **fields), *attempts, CallEnded(ended, label, error)]
