"""What happens to calls, in the log: once when it begins and once when it is over, at the level INFO.

What comes back within seconds of its end is the same trouble for the reader of a log, so an end is logged
only after some calm, as that of an outage is (:mod:`peerage.outage_log`).
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from cachetools import TTLCache

from peerage.balancing import Observer, Outcome
from peerage.calling.messages import shown as show
from peerage.outage_log import CALM

if TYPE_CHECKING:
    from peerage.records.instance import Instance

log = logging.getLogger("peerage.client")

#: Troubles that are remembered, and for how many seconds: a name that never comes back isn't kept for ever.
#: More of them at the same time aren't logged.
_REMEMBERED: Final = 1024
_LONGEST: Final = 3600.0

#: Seconds in which the same name's budget is mentioned once.
_QUIET_SECONDS: Final = 60.0

#: The name of a record, or key and value.
_Subject = str | tuple[str, str]


class _Open:
    """A trouble that was logged."""

    __slots__ = ("shown", "timer")

    def __init__(self, shown: str) -> None:
        self.shown = shown
        """Its subject, as logged."""
        self.timer: asyncio.TimerHandle | None = None
        """Logs its end, unless it comes back before."""


class Journal(Observer):
    """Counts what happens to the calls of a client, and logs what an operator wants to know.

    Args:
        calm: seconds after which a trouble that ended is over.
    """

    def __init__(self, calm: float = CALM) -> None:
        super().__init__()
        self._calm = calm
        self.open: TTLCache[_Subject, _Open] = TTLCache(_REMEMBERED, _LONGEST)
        """What was logged as begun, and not as over."""
        self._budgets: TTLCache[tuple[str, str], bool] = TTLCache(_REMEMBERED, _QUIET_SECONDS)

    def ejected(self, instance: "Instance", outcome: Outcome) -> None:
        """Count and log that *instance* gets no more requests, after a failure of this kind."""
        super().ejected(instance, outcome)
        shown = f"{ascii(instance.instance_id or '')[1:-1]} ({ascii(instance.name)[1:-1]})".lstrip()
        if self._begins(instance.name, shown):
            log.info(
                "%s gets no requests for the moment: too many failed, the last one as %s",
                shown,
                outcome.name.lower(),
            )

    def stopped(self, name: str) -> None:
        """Log that the instance with this record doesn't answer."""
        shown = ascii(name)[1:-1]
        if self._begins(name, shown):
            log.info("%s gets no requests for the moment: it answers neither requests nor a probe", shown)

    def readmitted(self, name: str) -> None:
        """Log after a while that the instance with this record gets requests again, if it got none."""
        self._ends(name, "%s gets requests again")

    def emptied(self, name: tuple[str, str]) -> None:
        """Log that no instance with this key and value is left that can be called."""
        shown = show(*name)
        if self._begins(name, shown):
            log.info("No instance with %s is left that can be called", shown)

    def filled(self, name: tuple[str, str]) -> None:
        """Log after a while that there is an instance with this key and value again."""
        self._ends(name, "There are instances with %s again")

    def budget_used_up(self, name: tuple[str, str]) -> None:
        """Count a request to *name* that isn't repeated, and log it once a minute."""
        super().budget_used_up(name)
        if name not in self._budgets:
            self._budgets[name] = True
            log.info(
                "A request to %s that failed isn't repeated: too many failed lately for the number that "
                "succeeded",
                show(*name),
            )

    def forget(self, name: str) -> None:
        """Forget the instance whose record was removed."""
        if (trouble := self.open.pop(name, None)) is not None and trouble.timer is not None:
            trouble.timer.cancel()

    def close(self) -> None:
        """Log no more ends."""
        for trouble in self.open.values():
            if trouble.timer is not None:
                trouble.timer.cancel()
        self.open.clear()

    def _begins(self, subject: _Subject, shown: str) -> bool:
        """Tell whether the trouble of *subject* is a new one."""
        trouble = self.open.get(subject)
        if trouble is None:
            if len(self.open) >= _REMEMBERED:
                return False
            self.open[subject] = _Open(shown)
            return True
        if trouble.timer is not None:
            trouble.timer.cancel()
            trouble.timer = None
        return False

    def _ends(self, subject: _Subject, message: str) -> None:
        trouble = self.open.get(subject)
        if trouble is not None and trouble.timer is None:
            loop = asyncio.get_running_loop()
            trouble.timer = loop.call_later(self._calm, self._is_over, subject, message)

    def _is_over(self, subject: _Subject, message: str) -> None:
        if (trouble := self.open.pop(subject, None)) is not None:
            log.info(message, trouble.shown)
