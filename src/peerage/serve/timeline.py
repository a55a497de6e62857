"""What joined, left and failed lately; pure."""

from collections import deque
from collections.abc import Callable
from typing import Any, Final, NamedTuple

from peerage.directory import Change
from peerage.directory.listing import row_of
from peerage.records.instance import Instance

#: Seconds for which an entry is kept, and the most entries.
KEPT: Final = 3600.0
_MOST: Final = 10_000


class Moment(NamedTuple):
    """Something that happened to an instance, or to the registry."""

    at: float
    """Seconds since the epoch."""
    what: str
    """``joined``, ``restarted``, ``left`` (after it drained), ``vanished`` (without draining), ``suspect``,
    ``back`` (ready again), or the state that it has now; ``lost`` and ``found``: touch with the registry."""
    name: str
    """Of the record, or the URL of the registry."""
    service: str | None
    instance: str | None
    detail: str = ""

    def entry(self) -> dict[str, Any]:
        """Return it for programs, as values of JSON."""
        return self._asdict()


class Timeline:
    """The moments of the last hour, the latest last.

    Args:
        clock: seconds since the epoch.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._moments: deque[Moment] = deque(maxlen=_MOST)

    def moments(self) -> list[Moment]:
        """Return them, and forget those that are older than an hour."""
        oldest = self._clock() - KEPT
        while self._moments and self._moments[0].at < oldest:
            self._moments.popleft()
        return list(self._moments)

    def changed(self, change: Change) -> Moment | None:
        """Add what a change of the directory means; None if it isn't worth an entry."""
        match change:
            case Change(None, Instance() as after):
                return self._add("joined", after)
            case Change(Instance() as before, None):
                return self._add("left" if before.draining else "vanished", before)
            case Change(Instance() as before, Instance() as after) if before.name != after.name:
                return self._add("restarted", after)
            case Change(Instance() as before, Instance() as after):
                state = row_of(after).state
                if state != row_of(before).state:
                    return self._add("back" if state == "ready" else state, after)
        return None

    def touch(self, what: str, url: str, detail: str = "") -> Moment:
        """Add that touch with the registry was *lost* or *found*."""
        moment = Moment(self._clock(), what, url, None, None, detail)
        self._moments.append(moment)
        return moment

    def _add(self, what: str, instance: Instance) -> Moment:
        moment = Moment(self._clock(), what, instance.name, instance.service_id, instance.instance_id)
        self._moments.append(moment)
        return moment
