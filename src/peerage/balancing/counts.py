"""Counters of what happened to the calls of one client, for programs and exporters of metrics.

They only grow, so watch their rates. If the retries that the budget refuses increase, for example, a service
fails too often for retries to help.
"""

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from peerage.balancing.outcome import Outcome
from peerage.telemetry import BUCKETS

if TYPE_CHECKING:
    from peerage.records.instance import Instance

#: Durations of attempts are counted between these bounds, in seconds.
BOUNDS: Final = BUCKETS


@dataclass(frozen=True, slots=True, kw_only=True)
class CallCounts:
    """What happened to the calls since the first one."""

    attempts: Mapping[str, int]
    """Attempts by their outcome: ``answered``, ``connect_failed``, ``connection_lost``, ``timed_out``,
    ``unavailable``, ``gateway_timeout``, ``throttled``, ``overloaded``, ``misdirected``,
    ``out_of_resources``, ``not_retryable``, ``cancelled``; :class:`peerage.balancing.Outcome` explains them.
    Outcomes that never occurred are left out."""
    given_up: Mapping[str, int]
    """Calls that ended without an answer that is no failure: ``not_discovered`` (no instance has the name),
    ``unreachable``, ``too_late`` (the deadline passed), ``as_it_is`` (the caller got the failure of the last
    attempt). Endings that never occurred are left out."""
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


class Tally:
    """What happened to the calls of one name; it only grows. An object without any is false."""

    __slots__ = (
        "backups",
        "backups_won",
        "broken_off",
        "durations",
        "ejections",
        "failed",
        "given_up",
        "retries",
        "retries_refused",
        "seconds",
    )

    def __init__(self) -> None:
        self.durations = [0] * (len(BOUNDS) + 1)
        """Answered attempts by how long they took; each number belongs to the bound of :data:`BOUNDS` that it
        is not above, the last one to none."""
        self.seconds = 0.0
        """What these attempts took together."""
        self.failed: dict[Outcome, int] = {}
        """Failed attempts by their outcome."""
        self.given_up: dict[str, int] = {}
        """Calls that failed in the end, by how."""
        self.broken_off = 0
        self.retries = 0
        self.retries_refused = 0
        self.backups = 0
        self.backups_won = 0
        self.ejections = 0

    @property
    def answered(self) -> int:
        """Answered attempts."""
        return sum(self.durations)

    def count_failed(self, outcome: Outcome) -> None:
        """Count a failed attempt."""
        self.failed[outcome] = self.failed.get(outcome, 0) + 1

    def count_given_up(self, ending: str) -> None:
        """Count a call that failed in the end."""
        self.given_up[ending] = self.given_up.get(ending, 0) + 1

    def attempts(self) -> dict[str, int]:
        """Return how many attempts had each outcome, by its name; those that never occurred are left out."""
        # A copy, because an exporter of metrics may ask on a thread of its own.
        failed = {outcome.name.lower(): count for outcome, count in self.failed.copy().items()}
        return {"answered": answered, **failed} if (answered := self.answered) else failed

    def add(self, other: "Tally") -> None:
        """Add what happened to the calls of another name."""
        self.durations = [one + more for one, more in zip(self.durations, other.durations, strict=True)]
        self.seconds += other.seconds
        for outcome, count in other.failed.copy().items():
            self.failed[outcome] = self.failed.get(outcome, 0) + count
        for ending, count in other.given_up.copy().items():
            self.given_up[ending] = self.given_up.get(ending, 0) + count
        for name in _SUMS:
            setattr(self, name, getattr(self, name) + getattr(other, name))

    def __bool__(self) -> bool:
        return bool(
            self.failed or self.given_up or self.answered or any(getattr(self, name) for name in _SUMS)
        )


_SUMS: Final = ("backups", "backups_won", "broken_off", "ejections", "retries", "retries_refused")


class Observer:
    """Has the counters, and is told what happens; a subclass may log it."""

    def __init__(self) -> None:
        self.tallies: dict[tuple[str, str], Tally] = {}
        """What happened to the calls of each name."""
        self.forgotten = Tally()
        """What happened to the calls of names that aren't remembered any more."""
        self.probes_passed = 0
        self.probes_failed = 0

    def tally(self, name: tuple[str, str]) -> Tally:
        """Return what happened to the calls of *name*."""
        tally = self.tallies.get(name)
        if tally is None:
            tally = self.tallies[name] = Tally()
        return tally

    def keep(self, names: Collection[tuple[str, str]]) -> None:
        """Keep the tallies of *names* only; the others are added up."""
        for name in self.tallies.keys() - names:
            self.forgotten.add(self.tallies.pop(name))

    def probed(self, *, passed: bool) -> None:
        """Count a probe."""
        if passed:
            self.probes_passed += 1
        else:
            self.probes_failed += 1

    def ejected(self, instance: "Instance", outcome: Outcome) -> None:
        """*instance* was ejected, after a failure of this kind."""

    def refused(self, instance: "Instance", outcome: Outcome) -> None:
        """*instance* accepts no connection, or isn't at its address, so it gets no requests."""

    def stalled(self, name: str) -> None:
        """The instance with this record answers neither requests nor its probe, so it gets no requests."""

    def readmitted(self, name: str) -> None:
        """The instance with this record gets requests again."""

    def budget_used_up(self, name: tuple[str, str]) -> None:
        """Count a call of *name* that isn't retried because the budget is used up."""
        self.tally(name).retries_refused += 1

    def counts(self) -> CallCounts:
        """Return all counters, of all names together."""
        total = Tally()
        for tally in (self.forgotten, *self.tallies.values()):
            total.add(tally)
        return CallCounts(
            attempts=total.attempts(),
            given_up=total.given_up,
            broken_off=total.broken_off,
            retries=total.retries,
            retries_refused=total.retries_refused,
            backups=total.backups,
            backups_won=total.backups_won,
            ejections=total.ejections,
            probes_passed=self.probes_passed,
            probes_failed=self.probes_failed,
        )
