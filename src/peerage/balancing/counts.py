"""Counters of what happened to the calls of one client, for programs and exporters of metrics.

They only grow, so watch their rates. If the retries that the budget refuses increase, for example, a service
fails too often for retries to help.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peerage.balancing.outcome import Outcome

if TYPE_CHECKING:
    from peerage.records.instance import Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCounts:
    """What happened to the calls since the first one."""

    attempts: Mapping[str, int]
    """Attempts by their outcome: ``answered``, ``connect_failed``, ``connection_lost``, ``timed_out``,
    ``unavailable``, ``gateway_timeout``, ``throttled``, ``overloaded``, ``misdirected``,
    ``out_of_resources``, ``not_retryable``, ``cancelled``; :class:`peerage.balancing.Outcome` explains them.
    Outcomes that never occurred are left out."""
    broken_off: int
    """Responses whose body broke off; they count as ``answered`` as well."""
    retries: int
    """Attempts that were retries: an instance may have processed the request before."""
    retries_refused: int
    """Calls that ended with a failure because the retry budget was used up."""
    backups: int
    """Second attempts at another instance while the first one went on, hedged requests included."""
    backups_won: int
    """Backups that were answered first."""
    ejections: int
    """How often an instance was ejected because too many of its requests had failed."""
    probes_passed: int
    """Background probes that succeeded."""
    probes_failed: int
    """Background probes that failed."""


class Observer:
    """Counts what happens; a subclass may log it as well."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed: dict[Outcome, int] = {}
        """Failed attempts by their outcome."""
        self.broken_off = 0
        self.retries = 0
        self.retries_refused = 0
        self.backups = 0
        self.backups_won = 0
        self.ejections = 0
        self.probes_passed = 0
        self.probes_failed = 0

    def count_failed(self, outcome: Outcome) -> None:
        """Count a failed attempt."""
        self.failed[outcome] = self.failed.get(outcome, 0) + 1

    def probed(self, *, passed: bool) -> None:
        """Count a probe."""
        if passed:
            self.probes_passed += 1
        else:
            self.probes_failed += 1

    def ejected(self, instance: "Instance", outcome: Outcome) -> None:  # noqa: ARG002 - for subclasses
        """Count that *instance* was ejected, after a failure of this kind."""
        self.ejections += 1

    def refused(self, instance: "Instance", outcome: Outcome) -> None:
        """*instance* accepts no connection, or isn't at its address, so it gets no requests."""

    def stalled(self, name: str) -> None:
        """The instance with this record answers neither requests nor its probe, so it gets no requests."""

    def readmitted(self, name: str) -> None:
        """The instance with this record gets requests again."""

    def budget_used_up(self, name: tuple[str, str]) -> None:  # noqa: ARG002 - likewise
        """Count a call of *name* that isn't retried because the budget is used up."""
        self.retries_refused += 1

    def counts(self) -> CallCounts:
        """Return all counters."""
        attempts = {outcome.name.lower(): count for outcome, count in self.failed.items()}
        return CallCounts(
            attempts={"answered": self.answered, **attempts} if self.answered else attempts,
            broken_off=self.broken_off,
            retries=self.retries,
            retries_refused=self.retries_refused,
            backups=self.backups,
            backups_won=self.backups_won,
            ejections=self.ejections,
            probes_passed=self.probes_passed,
            probes_failed=self.probes_failed,
        )
