"""What came out of faults, from the trace; pure."""

from collections import Counter
from collections.abc import Iterable, Sequence

from peerage.testing.simulation.history import History
from peerage.testing.simulation.trace import CallBegan, CallEnded, Event


def failed(trace: Iterable[Event]) -> Counter[str]:
    """Return how many calls failed, by how often they may be processed."""
    trace = list(trace)
    kinds = {event.call: event.repeatable for event in trace if isinstance(event, CallBegan)}
    return Counter(kinds[event.call] for event in trace if isinstance(event, CallEnded) and event.error)


def summary(faults: Sequence[str], trace: Sequence[Event], seconds: float) -> str:
    """Return in one line what happened: the kinds of the faults, and the calls."""
    calls, failures = sum(isinstance(event, CallBegan) for event in trace), failed(trace)
    happened = ", ".join(f"{count} × {kind}" for kind, count in Counter(faults).items())
    kinds = ", ".join(f"{failures[kind]} {kind}" for kind in ("safe", "idempotent", "once"))
    return f"{len(faults)} faults in {seconds:.0f} s ({happened}); {calls} calls, failed: {kinds}"


def caught_up(trace: Iterable[Event], at: float) -> float:
    """Return the seconds from a time until each directory had all that is advertised then, and was in touch.

    Raises:
        AssertionError: one never had.
    """
    history = History(trace)
    wanted = {nonce for nonce, life in history.lives.items() if life.sight(at) is not None}
    latest = at
    for process in history.processes.values():
        if process.ended <= at or not process.views:
            continue
        for view in process.views:
            known = {sight.nonce for sight in view.sights if not sight.superseded}
            if view.at >= at and not view.stale and wanted <= known:
                latest = max(latest, view.at)
                break
        else:
            raise AssertionError(f"{process.started.process} never knew all instances again")
    return latest - at
