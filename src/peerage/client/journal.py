"""The log of what happens to calls: a line when an incident begins and one when it is over, at level INFO.

For the reader of a log, an incident that comes back within seconds of its end is the same one. So an end is
logged only after some calm, as that of an outage is (:mod:`peerage.outage_log`).
"""

import asyncio
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from peerage.balancing import Observer, Outcome
from peerage.calling.messages import describe
from peerage.calling.messages import shown as show
from peerage.outage_log import CALM

if TYPE_CHECKING:
    from peerage.records.instance import Instance

log = logging.getLogger("peerage.client")

#: The most incidents that are remembered, and for how many seconds: a name that never comes back isn't kept
#: for ever. More incidents at the same time aren't logged.
_REMEMBERED: Final = 1024
_LONGEST: Final = 3600.0

#: Seconds after which the budget of the same name is logged again.
_QUIET_SECONDS: Final = 60.0

_REFUSALS: Final = {
    Outcome.UNRESOLVED: "has no address",
    Outcome.CONNECT_FAILED: "accepts no connection",
    Outcome.MISDIRECTED: "isn't at its address, where another service answers",
}

#: The name of a record, or key and value.
_Subject = str | tuple[str, str]


class _Open:
    """An incident whose beginning was logged."""

    __slots__ = ("shown", "timer")

    def __init__(self, shown: str) -> None:
        self.shown = shown
        """Its subject as text."""
        self.timer: asyncio.TimerHandle | None = None
        """Logs its end, unless it comes back before that."""


class Journal(Observer):
    """Counts what happens to the calls of a client, and logs what an operator needs to know.

    Args:
        find: returns the instance whose record has a name.
        calm: seconds without a relapse after which an incident is over.
    """

    def __init__(self, find: Callable[[str], "Instance | None"], calm: float = CALM) -> None:
        super().__init__()
        self._find = find
        self._calm = calm
        self.open: TTLCache[_Subject, _Open] = TTLCache(_REMEMBERED, _LONGEST)
        """The incidents whose beginning was logged, and whose end wasn't."""
        self._budgets: TTLCache[tuple[str, str], bool] = TTLCache(_REMEMBERED, _QUIET_SECONDS)

    def ejected(self, instance: "Instance", outcome: Outcome) -> None:
        """Log that *instance* was ejected, after a failure of this kind."""
        shown = describe(instance)
        if self._begins(instance.name, shown):
            log.info(
                "%s is ejected: too many of its requests failed, the last one as %r. It gets no requests "
                "until a probe succeeds.",
                shown,
                outcome.name.lower(),
            )

    def refused(self, instance: "Instance", outcome: Outcome) -> None:
        """Log that *instance* accepts no connection, or isn't at its address."""
        shown = describe(instance)
        if self._begins(instance.name, shown):
            log.info("%s %s. It gets no requests until a connection succeeds.", shown, _REFUSALS[outcome])

    def stalled(self, name: str) -> None:
        """Log that the instance with this record has stalled."""
        instance = self._find(name)
        shown = f"The record {name!a}" if instance is None else describe(instance)
        if self._begins(name, shown):
            log.info(
                "%s has stalled: it answers neither requests nor a probe. It gets no requests until it "
                "answers a probe.",
                shown,
            )

    def readmitted(self, name: str) -> None:
        """Log after some calm that the instance with this record gets requests again, if it got none."""
        self._ends(name, "%s gets requests again.")

    def emptied(self, name: tuple[str, str]) -> None:
        """Log that no instance with this key and value is left that can be called."""
        shown = show(*name)
        if self._begins(name, shown):
            log.info(
                "No instance with %s is left that can be called. Calls wait some seconds for a new one, and "
                "then fail.",
                shown,
            )

    def filled(self, name: tuple[str, str]) -> None:
        """Log after some calm that there is an instance with this key and value again."""
        self._ends(name, "There are instances with %s again.")

    def budget_used_up(self, name: tuple[str, str]) -> None:
        """Count a call of *name* that isn't retried, and log it once a minute."""
        super().budget_used_up(name)
        if name not in self._budgets:
            self._budgets[name] = True
            log.info(
                "The retry budget for %s is used up: too many requests fail for the number that succeed. "
                "Failures reach the callers without a retry.",
                show(*name),
            )

    def forget(self, name: str) -> None:
        """Forget the instance whose record was removed."""
        if (incident := self.open.pop(name, None)) is not None and incident.timer is not None:
            incident.timer.cancel()

    def close(self) -> None:
        """End the timers; no more ends are logged."""
        for incident in self.open.values():
            if incident.timer is not None:
                incident.timer.cancel()
        self.open.clear()

    def _begins(self, subject: _Subject, shown: str) -> bool:
        """Tell whether an incident of *subject* is to be logged: a new one, and not one too many."""
        incident = self.open.get(subject)
        if incident is None:
            if len(self.open) >= _REMEMBERED:
                return False
            self.open[subject] = _Open(shown)
            return True
        if incident.timer is not None:
            incident.timer.cancel()
            incident.timer = None
        return False

    def _ends(self, subject: _Subject, message: str) -> None:
        incident = self.open.get(subject)
        if incident is not None and incident.timer is None:
            loop = asyncio.get_running_loop()
            incident.timer = loop.call_later(self._calm, self._is_over, subject, message)

    def _is_over(self, subject: _Subject, message: str) -> None:
        if (incident := self.open.pop(subject, None)) is not None:
            log.info(message, incident.shown)
