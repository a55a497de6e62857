"""The promises of the library as invariants of traces, each written once; pure.

Simulations, tests with real processes under faults, and tests of backends write traces, and all are checked
by the same functions::

    for violation in check(trace, Promises(session_timeout=10.0)):
        print(violation)

An invariant says nothing where the trace can't tell what must hold: while a fault is under way, directories
may differ from the truth, and a call may fail if a fault affected each instance that its caller knew.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from peerage.testing.simulation import call_invariants as calls
from peerage.testing.simulation import directory_invariants as directories
from peerage.testing.simulation.history import History
from peerage.testing.simulation.promises import Promises, Violation
from peerage.testing.simulation.trace import Event

__all__ = ["INVARIANTS", "Promises", "Violation", "check"]


#: Each invariant, by the name that its violations have; the first line of its docstring says what must hold.
INVARIANTS: Final[dict[str, Callable[[History, Promises], Iterator[Violation]]]] = {
    "missing": directories.missing,
    "outdated": directories.outdated,
    "ghost": directories.ghost,
    "twin": directories.twin,
    "predecessor": directories.predecessor,
    "emptied": directories.emptied,
    "suspected": directories.suspected,
    "flickering": directories.flickering,
    "silent": directories.silent,
    "stale": directories.stale,
    "failed call": calls.failed,
    "slow call": calls.slow,
    "late call": calls.late,
    "wrong service": calls.wrong_service,
    "repeated": calls.repeated,
    "retries": calls.retries,
    "outstanding": calls.outstanding,
    "token": calls.token,
}


def check(trace: Iterable[Event], promises: Promises | None = None) -> list[Violation]:
    """Return all violations of the invariants in *trace*, in the order of their times.

    Raises:
        ValueError: an event is about something of which the trace doesn't say that it began.
    """
    history, promises = History(trace), promises or Promises()
    return sorted(
        violation for invariant in INVARIANTS.values() for violation in invariant(history, promises)
    )
