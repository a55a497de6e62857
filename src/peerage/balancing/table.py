"""The figures of each instance, how requests change them, and which instances are avoided."""

from bisect import bisect_left
from collections.abc import Mapping
from enum import Enum, auto
from random import Random
from typing import TYPE_CHECKING, Final

from peerage.balancing.counts import BOUNDS, Observer
from peerage.balancing.ejection import Ejection
from peerage.balancing.outcome import ANSWERED, Outcome
from peerage.balancing.service import PANIC_SECONDS, Service
from peerage.balancing.stalling import CLEARED_SECONDS, may_have_stalled
from peerage.balancing.stats import Stats
from peerage.balancing.trouble import COLD_SECONDS, Trouble
from peerage.records.instance import Instance

if TYPE_CHECKING:
    from peerage.balancing.hedging import Hedging

#: Seconds for which an instance that accepted no connection is avoided, before it is probed.
AVOID_SECONDS: Final = 1.0

#: Services that are remembered. Those without instances are forgotten first, then those without an ejected
#: one.
_MOST_SERVICES: Final = 4096

#: No connection to the instance was made, and the next request would fail in the same way.
_REFUSED: Final = frozenset({Outcome.UNRESOLVED, Outcome.CONNECT_FAILED, Outcome.MISDIRECTED})

#: Failures of the instance, and answers by which it asks for fewer requests. An instance isn't ejected
#: because it is overloaded: the others would get its requests, and be overloaded, too.
_FAILED: Final = frozenset(
    {Outcome.CONNECTION_LOST, Outcome.TIMED_OUT, Outcome.UNAVAILABLE, Outcome.GATEWAY_TIMEOUT}
)
_DECLINED: Final = frozenset({Outcome.THROTTLED, Outcome.OVERLOADED})


class Probe(Enum):
    """How an instance is probed in the background."""

    CONNECT = auto()
    """By a connection, because it accepted none before."""
    REQUEST = auto()
    """By a ``HEAD /`` that must succeed, because its answers were failures."""
    STALLED = auto()
    """By a ``HEAD /``; any answer counts, because it gave none."""


class Pick:
    """One request given to one instance, counted as under way until :meth:`done`."""

    __slots__ = ("_table", "excused", "hedging", "instance", "service", "started", "stats")

    def __init__(
        self, table: "Table", instance: Instance, stats: Stats | None, service: Service, now: float
    ) -> None:
        if stats is None:
            stats = table.begin(instance)
        self.instance = instance
        """The instance chosen."""
        self.stats = stats
        """The figures of the instance."""
        self.service = service
        """What is known about all instances of the name that was called."""
        self.started = now
        """When it was chosen, in seconds of the balancer's clock."""
        self.excused = False
        """Whether a failure doesn't count against the instance, because this process was itself too late."""
        self.hedging: Hedging | None = None
        """Learns how long it takes, if it may be hedged."""
        self._table: Table | None = table
        stats.outstanding += 1
        service.outstanding += 1
        if (trouble := stats.trouble) is not None:
            table.tries(trouble, now)

    def answered(self, now: float) -> None:
        """Record that the head of a successful response arrived; :meth:`done` must follow."""
        stats = self.stats
        service, seconds = self.service, now - self.started
        stats.answered(seconds, now)
        service.answered_at = now
        tally = service.tally
        tally.durations[bisect_left(BOUNDS, seconds)] += 1
        tally.seconds += seconds
        if self.hedging is not None:
            self.hedging.answered(seconds, now)
        if (trouble := stats.trouble) is not None and self._table is not None:
            self._table.answered(self.instance.name, stats, trouble, self.started)

    def reported(self, requests: int, now: float) -> None:
        """Record how many requests the instance says are under way there."""
        self.stats.reported, self.stats.reported_at = requests, now

    def done(self, outcome: Outcome, now: float, *, retry_after: float = 0.0, counts: bool = True) -> None:
        """Record how the request ended; only the first call counts.

        Args:
            outcome: how it ended. With ``ANSWERED``, :meth:`answered` must have been called before.
            now: the time, in seconds of the balancer's clock.
            retry_after: the seconds for which the instance asked not to be called.
            counts: whether a failure counts against the instance.
        """
        table, self._table = self._table, None
        if table is not None:
            stats = self.stats
            stats.outstanding -= 1
            self.service.outstanding -= 1
            if outcome is ANSWERED and not stats.retired:
                stats.successes.add(now)
                self.service.budget.succeeded(now)
                if stats.trouble is not None:
                    table.succeeded(stats, stats.trouble, self.started, now)
            else:
                if outcome is Outcome.CANCELLED:
                    self.service.tally.count_failed(outcome)
                elif self.excused or not counts:
                    outcome = Outcome.CANCELLED if outcome is Outcome.TIMED_OUT else Outcome.NOT_RETRYABLE
                table.failed(self, outcome, now, retry_after)


class Table:
    """The figures of all instances, by the name of the record: they survive a change of the record's content.

    Args:
        rng: source of randomness.
        ejection: when instances that fail are ejected.
        observer: counts what happens.
    """

    def __init__(
        self,
        rng: Random,
        *,
        ejection: Ejection,
        observer: Observer,
    ) -> None:
        self.observer = observer
        self.ejection = ejection
        self.stats: dict[str, Stats] = {}
        self.avoided: dict[str, Trouble] = {}
        """Instances that get no requests at the moment, by the name of the record."""
        self.changes = 0
        """Grows when an instance becomes avoided, and when one no longer is."""
        self.services: dict[tuple[str, str], Service] = {}
        self.due: Final[dict[Instance, Probe]] = {}
        """The instances to be probed in the background; see :meth:`take_due`."""
        self._random = rng.random

    def service(self, name: tuple[str, str]) -> Service:
        """Return what is known about the instances of *name*: a key and a value, folded."""
        service = self.services.get(name)
        if service is None:
            if len(self.services) >= _MOST_SERVICES:
                self._forget_services()
            service = self.services[name] = Service(self.observer.tally(name))
        return service

    def _forget_services(self) -> None:
        # Names that no instance has come from outside sometimes, and in any number.
        self.services = {name: each for name, each in self.services.items() if each.size}
        if len(self.services) >= _MOST_SERVICES:
            self.services = {name: each for name, each in self.services.items() if each.ejected}
        self.observer.keep(self.services.keys())

    @property
    def outstanding(self) -> Mapping[str, int]:
        """The number of requests under way, by the name of the record; instances without any are left out."""
        return {name: stats.outstanding for name, stats in self.stats.items() if stats.outstanding}

    def begin_together(self, one: Instance, other: Instance) -> tuple[Stats, Stats]:
        """Return the figures of both; a new instance starts level with the other, to get just its share."""
        stats, other_stats = self.stats.get(one.name), self.stats.get(other.name)
        if stats is None:
            stats = self.stats[one.name] = Stats(other_stats.position if other_stats is not None else 0.0)
        if other_stats is None:
            other_stats = self.stats[other.name] = Stats(stats.position)
        return stats, other_stats

    def begin(self, instance: Instance) -> Stats:
        """Return the figures of *instance*, which begin with its first request."""
        stats = self.stats.get(instance.name)
        if stats is None:
            stats = self.stats[instance.name] = Stats()
        return stats

    def tries(self, trouble: Trouble, now: float) -> None:
        """Let one request probe an avoided instance; others go on avoiding it until that one is answered."""
        if trouble.retry_at is not None:
            trouble.retry_at = now + self._pause(trouble)

    def is_eligible(self, instance: Instance, now: float, *, safe: bool) -> bool:
        """Tell whether *instance* may get a request; if it must be probed first, note that.

        Args:
            instance: the instance.
            now: the time in seconds.
            safe: whether the request may probe an ejected instance, because it can be retried elsewhere.
        """
        trouble = self.avoided.get(instance.name)
        if trouble is None or trouble.retry_at is None:
            return True
        if trouble.retry_at <= now:
            if trouble.ejected_from is not None and not trouble.held and safe:
                return True
            trouble.retry_at = now + self._pause(trouble)
            if trouble.ejected_from is not None:
                self.due[instance] = Probe.REQUEST
            else:
                self.due[instance] = Probe.STALLED if trouble.recheck_at else Probe.CONNECT
        return False

    # Probes and readmission

    def answered(self, name: str, stats: Stats, trouble: Trouble, started: float) -> None:
        """Record an answer of an instance that failed before, to a request that began at *started*."""
        trouble.held = 0
        if trouble.retry_at is None:
            return
        if trouble.ejected_from is not None:
            if started < trouble.ejected_at:
                # The request was under way when the instance was ejected, so the answer proves nothing.
                return
            # Until this response has been read, one failure ejects the instance again.
            trouble.consecutive = self.ejection.consecutive - 1
        self._readmit(name, stats, trouble)

    def succeeded(self, stats: Stats, trouble: Trouble, started: float, now: float) -> None:
        """Record the end of a successful response of an instance that failed before; see :meth:`answered`."""
        if trouble.ejected_from is None or started >= trouble.ejected_at:
            trouble.consecutive = 0
            if now < trouble.cold_until:
                trouble.rest(now, now - started)
            elif trouble.is_over(now):
                stats.trouble = None

    def check_stalled(self, pick: Pick, now: float) -> bool:
        """Tell whether the instance of a request under way is avoided or dead; probe it if it may be."""
        stats, service, name = pick.stats, pick.service, pick.instance.name
        if name in self.avoided or stats.vanished:
            return True
        idle = service.outstanding < service.size
        if not may_have_stalled(pick.started, stats.answered_at, service.answered_at, now, others_idle=idle):
            return False
        trouble = stats.begin_trouble()
        if now >= trouble.recheck_at:
            trouble.recheck_at = now + CLEARED_SECONDS
            self.due[pick.instance] = Probe.STALLED
        return False

    def probed(self, name: str, now: float, *, passed: bool) -> None:
        """Record the result of probing the instance with this record in the background."""
        self.observer.probed(passed=passed)
        stats = self.stats.get(name)
        if stats is None or (trouble := stats.trouble) is None:
            return
        if stats.retired:
            # It has drained. If it can't be reached either, it is probably dead.
            stats.vanished |= not passed
        elif trouble.retry_at is None:
            if passed:
                trouble.held = 0
            elif trouble.recheck_at:
                # Otherwise it was readmitted while it was probed.
                trouble.retry_at = now + AVOID_SECONDS
                self._avoid(name, trouble)
                self.observer.stalled(name)
        elif passed:
            trouble.held = 0
            # The next failure ejects it again.
            trouble.consecutive = max(0, self.ejection.consecutive - 1) if trouble.ejected_from else 0
            self._readmit(name, stats, trouble)
        else:
            trouble.ejections += 1
            trouble.retry_at = now + self._pause(trouble)

    def failed(self, pick: Pick, outcome: Outcome, now: float, retry_after: float) -> None:
        """Record that a request ended with *outcome*, a failure; it no longer counts as under way."""
        name, stats = pick.instance.name, pick.stats
        if stats.retired:
            if not stats.outstanding and self.stats.get(name) is stats:
                del self.stats[name]
            return
        if outcome in _REFUSED:
            trouble = stats.begin_trouble()
            trouble.retry_at = now + self._pause(trouble)
            if name not in self.avoided:
                self.observer.refused(pick.instance, outcome)
            self._avoid(name, trouble)
        elif outcome in _FAILED or outcome in _DECLINED:
            self._blame(pick, outcome, now, retry_after)
        elif outcome is Outcome.CANCELLED:
            stats.begin_trouble().hold(now)
            if pick.hedging is not None:
                # The answer would have taken at least as long.
                pick.hedging.usual.add(now - pick.started)

    def joined(self, name: str, now: float) -> None:
        """Give an instance that has just been started one request at a time at first."""
        if name not in self.stats:
            stats = self.stats[name] = Stats()
            stats.begin_trouble().cold_until = now + COLD_SECONDS

    def forget(self, name: str, *, drained: bool) -> None:
        """Drop the figures of an instance whose record was removed, once it has no request under way.

        Unless it has *drained*, it is probably dead, and those requests aren't answered.
        """
        stats = self.stats.get(name)
        if stats is None:
            return
        if stats.trouble is not None:
            self._readmit(name, stats, stats.trouble)
        if stats.outstanding:
            stats.retired, stats.vanished = True, not drained
        else:
            del self.stats[name]

    def take_due(self) -> Mapping[Instance, Probe]:
        """Return the instances to be probed, each once, and how; report each result to :meth:`probed`."""
        due = self.due.copy()
        self.due.clear()
        return due

    # Avoiding

    def _blame(self, pick: Pick, outcome: Outcome, now: float, retry_after: float) -> None:
        """Count a failure against the instance, which may lead to its ejection."""
        name, stats, trouble = pick.instance.name, pick.stats, pick.stats.begin_trouble()
        overloaded = outcome is Outcome.OVERLOADED
        if not overloaded:
            trouble.failures.add(now)
        if outcome in _FAILED:
            trouble.consecutive += 1
        trouble.penalise(now, retry_after)
        if outcome is Outcome.TIMED_OUT:
            trouble.hold(now, timed_out=True)
        elif trouble.retry_at is not None and trouble.ejected_from is None:
            # It accepted a connection, so there is no more reason to avoid it.
            self._readmit(name, stats, trouble)
        if not overloaded or trouble.ejected_from is not None:
            self._judge(pick, outcome, stats, trouble, now)

    def _judge(self, pick: Pick, outcome: Outcome, stats: Stats, trouble: Trouble, now: float) -> None:
        """Eject the instance if it failed too often; if it is ejected already, put the next probe off."""
        if trouble.ejected_from is not None:
            if pick.started >= trouble.ejected_at:
                trouble.ejections += 1
                trouble.retry_at = now + self._pause(trouble)
            return
        if not self.ejection.trips(
            trouble.consecutive, stats.successes.total(now), trouble.failures.total(now)
        ):
            return
        service = pick.service
        if now >= service.panic_until and self.ejection.allows(len(service.ejected), service.size):
            service.ejected.add(pick.instance.name)
            trouble.ejected_from, trouble.ejected_at = service, now
            trouble.retry_at = now + self._pause(trouble)
            trouble.held = 0
            self._avoid(pick.instance.name, trouble)
            service.tally.ejections += 1
            self.observer.ejected(pick.instance, outcome)
        else:
            trouble.double()
            if service.all_trip(pick.instance.name, now):
                self._panic(service, now)

    def _panic(self, service: Service, now: float) -> None:
        """Let all instances of *service* get requests: together they have too many, or none is better."""
        service.panic_until = now + PANIC_SECONDS
        for name in sorted(service.ejected):
            trouble = self.avoided[name]
            trouble.held = 0
            self._readmit(name, self.stats[name], trouble)

    def _avoid(self, name: str, trouble: Trouble) -> None:
        if name not in self.avoided:
            self.avoided[name] = trouble
            self.changes += 1

    def _readmit(self, name: str, stats: Stats, trouble: Trouble) -> None:
        trouble.retry_at = None
        trouble.recheck_at = 0.0
        if self.avoided.pop(name, None) is not None:
            self.changes += 1
        self.observer.readmitted(name)
        if trouble.ejected_from is not None:
            trouble.ejected_from.ejected.discard(name)
            trouble.ejected_from, trouble.ejections = None, 0
            # From now on only new failures count.
            trouble.forgive()
            stats.successes.clear()

    def _pause(self, trouble: Trouble) -> float:
        if trouble.ejected_from is None:
            return AVOID_SECONDS
        return self.ejection.pause(trouble.ejections, self._random())
