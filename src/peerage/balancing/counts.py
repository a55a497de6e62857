"""What happened to the calls of one client, as integers; a program reads them, and so may an exporter.

They only grow. The rate at which one grows is what to watch: repetitions refused by the budget, for example,
say that a service fails more often than repeating helps.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from peerage.balancing.outcome import Outcome

if TYPE_CHECKING:
    from peerage.records.instance import Instance


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCounts:
    """What happened since the first call."""

    attempts: Mapping[str, int]
    """Requests sent to an instance, by how they ended: ``answered``, ``connect_failed``, ``connection_lost``,
    ``timed_out``, ``unavailable``, ``throttled``, ``overloaded``, ``misdirected``, ``out_of_resources``,
    ``not_retryable``, ``cancelled``. Only what occurred is a key."""
    broken_off: int
    """Responses whose body broke off, of those that count as ``answered``."""
    repetitions: int
    """Requests that were sent again after an instance may have processed them."""
    repetitions_refused: int
    """Calls that ended with a failure because the budget for repetitions was used up."""
    second_attempts: int
    """Requests that were sent to a second instance while the first one didn't answer."""
    second_attempts_won: int
    """Those that were answered first."""
    ejections: int
    """How often an instance got no more requests because too many had failed."""
    probes_passed: int
    """Probes of avoided instances in the background that succeeded."""
    probes_failed: int
    """Those that failed."""


class Observer:
    """Counts what happens; a subclass may also say it."""

    def __init__(self) -> None:
        self.answered = 0
        self.failed: dict[Outcome, int] = {}
        """Attempts that weren't answered well, by how they ended."""
        self.broken_off = 0
        self.repetitions = 0
        self.repetitions_refused = 0
        self.second_attempts = 0
        self.second_attempts_won = 0
        self.ejections = 0
        self.probes_passed = 0
        self.probes_failed = 0

    def count_failed(self, outcome: Outcome) -> None:
        """Count an attempt that wasn't answered well."""
        self.failed[outcome] = self.failed.get(outcome, 0) + 1

    def probed(self, *, passed: bool) -> None:
        """Count a probe."""
        if passed:
            self.probes_passed += 1
        else:
            self.probes_failed += 1

    def ejected(self, instance: "Instance", outcome: Outcome) -> None:  # noqa: ARG002 - for subclasses
        """Count that *instance* gets no more requests, after a failure of this kind."""
        self.ejections += 1

    def stopped(self, name: str) -> None:
        """The instance with this record answers neither requests nor its probe, and gets no more requests."""

    def readmitted(self, name: str) -> None:
        """The instance with this record gets requests again."""

    def budget_used_up(self, name: tuple[str, str]) -> None:  # noqa: ARG002 - likewise
        """Count a request to *name* that would have been repeated."""
        self.repetitions_refused += 1

    def counts(self) -> CallCounts:
        """Return all figures."""
        attempts = {outcome.name.lower(): count for outcome, count in self.failed.items()}
        return CallCounts(
            attempts={"answered": self.answered, **attempts} if self.answered else attempts,
            broken_off=self.broken_off,
            repetitions=self.repetitions,
            repetitions_refused=self.repetitions_refused,
            second_attempts=self.second_attempts,
            second_attempts_won=self.second_attempts_won,
            ejections=self.ejections,
            probes_passed=self.probes_passed,
            probes_failed=self.probes_failed,
        )
