"""The timeline: what joined, left and vanished in the last hour, and touch with the registry; pure."""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from peerage.directory import Change
from peerage.directory.listing import row_of
from peerage.records.instance import Instance
from peerage.records.text import as_json
from peerage.timing import monotonic

#: Seconds for which an entry is kept, the most entries, and their most bytes: a name may be as long as a
#: record, and each new client gets all of them.
KEPT: Final = 3600.0
_MOST: Final = 10_000
_MOST_BYTES: Final = 4_000_000


class Moment(NamedTuple):
    """Something that happened to an instance, or to the registry."""

    at: float
    """Seconds since the epoch."""
    what: str
    """``joined``, ``restarted``, ``left`` (after it drained), ``vanished`` (without draining), ``suspect``,
    ``back`` (ready again, or registered again by the same process), or the state that it has now; of the
    registry, touch with it is ``lost`` or ``found``."""
    name: str
    """Of the record, or the URL of the registry."""
    service: str | None
    instance: str | None
    detail: str = ""

    def entry(self) -> dict[str, Any]:
        """Return it for programs, as values of JSON."""
        return self._asdict()


def moment_of(change: Change, at: float) -> Moment | None:
    """Return what a change of the directory means; None if it isn't worth an entry."""
    what = _word(change)
    # A restart is shown under the record of the new process, anything else under the one that it is about.
    subject = change.before if what in {"left", "vanished"} else change.after
    if what is None or subject is None:
        return None
    return Moment(at, what, subject.name, subject.service_id, subject.instance_id)


def _word(change: Change) -> str | None:
    before, after = change
    if before is None:
        return "joined"
    # A record gets another name if a registry without its data gives its own one to another instance.
    if after is not None and (before.name == after.name or before.sequence == after.sequence):
        state = row_of(after).state
        if state == row_of(before).state:
            return None
        return "back" if state == "ready" else state
    if after is not None and (before.sequence <= after.sequence or _process(before) == _process(after)):
        return "back" if _process(before) == _process(after) else "restarted"
    # What is visible afterwards, if anything, is an older record of another process.
    return "left" if before.draining else "vanished"


def _process(instance: Instance) -> tuple[object, ...]:
    """Return what tells the process of a record from others: it has another record after a lost session."""
    record = row_of(instance).record() or {}
    found = tuple(map(record.get, ("launch_time", "process_id")))
    return found if any(found) else (instance.name,)


class Timeline:
    """The moments of the last hour, the latest last.

    Args:
        clock: monotonic seconds: an entry is kept for an hour whatever the machine's clock is set to.
    """

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._moments: deque[tuple[float, Moment, bytes]] = deque()
        self._bytes = 0

    def add(self, moment: Moment) -> bytes:
        """Add what has just happened, and return it as JSON."""
        data = as_json(moment.entry()).encode()
        self._moments.append((self._clock(), moment, data))
        self._bytes += len(data)
        while len(self._moments) > _MOST or self._bytes > _MOST_BYTES:
            self._drop()
        return data

    def moments(self) -> list[Moment]:
        """Return what happened within the last hour."""
        self._forget()
        return [moment for _, moment, _ in self._moments]

    def entries(self) -> list[bytes]:
        """Return the same, each as JSON."""
        self._forget()
        return [data for _, _, data in self._moments]

    def _forget(self) -> None:
        oldest = self._clock() - KEPT
        while self._moments and self._moments[0][0] < oldest:
            self._drop()

    def _drop(self) -> None:
        _, _, data = self._moments.popleft()
        self._bytes -= len(data)
