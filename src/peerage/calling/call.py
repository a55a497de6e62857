"""One call of a logical name: a state machine that decides what to do next, and does nothing itself.

::

    call = Call(context, ("service_id", "orders"), "http", "GET")
    try:
        while True:
            match call.next():
                case Attempt() as attempt: ...  # send the request there, then call.done(attempt, …)
                case Lookups() as lookups: ...  # wait for one of these look-ups
                case TlsProbe() as probe: ...   # connect, and set probe.speaks_tls
                case Relieve(): ...             # close idle connections
                case Pause() as pause: ...      # wait for pause.seconds
                case WaitForInstance(): ...     # wait until an instance is known
                case GiveUp() as end: ...       # raise an error, or return the last answer
    finally:
        call.close()

It has neither I/O nor a clock of its own, and doesn't know which HTTP library carries out its steps. If the
next step is requested while an attempt is still under way, it is an attempt at another instance.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cachetools import TTLCache

from peerage.balancing import NOWHERE, Balancer, Observer, Outcome, Pick, Place, RetryBudget
from peerage.balancing.hedging import Hedging
from peerage.balancing.outcome import ANSWERED
from peerage.calling.addresses import Addresses, Host
from peerage.calling.answers import counts
from peerage.calling.candidates import is_literal
from peerage.calling.choosing import choose
from peerage.calling.deadline import Deadline
from peerage.calling.messages import Note, waiting
from peerage.calling.options import CallOptions
from peerage.calling.recorder import Recorder
from peerage.calling.retry import Ending, Repeatable
from peerage.calling.search import KNOWN_SECONDS, Search
from peerage.calling.steps import Attempt, GiveUp, Step
from peerage.calling.trace import CallTrace
from peerage.directory import Directory

#: Seconds for which an endpoint that broke a connection, and so may speak another scheme, is tried last. That
#: costs nothing: the instance is called at another of its ports, and gets a new record when it is restarted.
_DOUBT_SECONDS: Final = 3600.0

# In Python 3.11 the name of a member takes ten times as long to look up.
_SAFE: Final = Repeatable.SAFE

_DEFAULT_OPTIONS: Final = CallOptions()

_SECURE: Final = frozenset({"https", "wss"})


@dataclass(slots=True)
class CallContext:
    """What all calls of one client share."""

    directory: Directory
    balancer: Balancer
    addresses: Addresses
    clock: Callable[[], float]
    """Monotonic time in seconds."""
    random: Callable[[], float]
    """Returns a random number from 0 to 1."""
    place: Place = NOWHERE
    """Where this process runs."""
    salt: int = field(init=False)
    """Distinguishes this client from others that choose subsets of the same instances."""
    observer: Observer = field(init=False)
    """Counts what happens."""
    doubtful: TTLCache[tuple[str, int, bool], bool] = field(init=False)
    """Endpoints that may speak another scheme than the one tried: record, port, whether TLS was tried."""
    emptied: TTLCache[tuple[str, str], float] = field(init=False)
    """When names, by key and value, lost their last instance, for a minute."""

    def __post_init__(self) -> None:
        """Make the parts that follow from the others, or are empty at first."""
        self.salt = int(self.random() * 2**32)
        self.observer = self.balancer.observer
        self.emptied = TTLCache(4096, KNOWN_SECONDS, self.clock)
        self.doubtful = TTLCache(1024, _DOUBT_SECONDS, self.clock)


class Call:
    """Decides where one request goes next.

    Most calls need one attempt only. It is made without a :class:`~peerage.calling.search.Search`, which
    makes all further ones.

    Args:
        context: what all calls share.
        name: ``(key, value)`` of the instances, both folded.
        scheme: ``http``, ``https``, ``ws`` or ``wss``.
        method: the method of the request.
        options: the options of the call.
        has_key: whether the request has an ``Idempotency-Key``.
        nested: whether it is made by the handler of a request that is a retry, and so isn't retried itself.
        deadline: after which no attempt is begun.
        trace: where to record the call; None: it isn't recorded.
    """

    __slots__ = (
        "_backup",
        "_first",
        "_search",
        "context",
        "deadline",
        "is_safe",
        "method",
        "name",
        "nested",
        "options",
        "recorder",
        "repeatable",
        "scheme",
        "secure",
        "service",
    )

    def __init__(
        self,
        context: CallContext,
        name: tuple[str, str],
        scheme: str,
        method: str,
        *,
        options: CallOptions = _DEFAULT_OPTIONS,
        has_key: bool = False,
        nested: bool = False,
        deadline: Deadline | None = None,
        trace: CallTrace | None = None,
    ) -> None:
        self.context = context
        self.name = name
        self.scheme = scheme
        self.secure = scheme in _SECURE
        """Whether the scheme requires TLS."""
        self.method = method
        self.repeatable = Repeatable.of(method, has_key=has_key)
        self.is_safe = self.repeatable is _SAFE
        """Whether the request changes nothing, or its service recognises it by an ``Idempotency-Key``."""
        self.options = options
        self.nested = nested
        self.deadline = deadline
        self.service = context.balancer.service(name)
        """What is known about all instances of the name."""
        self.recorder = None if trace is None else Recorder(trace, context, name, secure=self.secure)
        self._first: Attempt | None = None
        self._backup: Attempt | None = None
        self._search: Search | None = None

    @property
    def notes(self) -> Sequence[Note]:
        """What failed so far: ``(where, what)``."""
        return () if self._search is None else self._search.notes

    def next(self) -> Step:
        """Return what to do next; not to be called again after :class:`GiveUp`."""
        if self.deadline is not None and not self.has_time():
            late = GiveUp(Ending.TOO_LATE, self.deadline.give_up(self.waiting(None)))
            self.service.tally.count_given_up(late.ending.name.lower())
            if self.recorder is not None:
                self.recorder.step(late)
            return late
        search = self._search
        if search is None:
            if self._first is None:
                pick = choose(self)
                if pick is not None and (first := self._first_attempt(pick)) is not None:
                    self._first = first
                    if self.recorder is not None:
                        self.recorder.step(first)
                    return first
                search = self._search = Search(self, pick, None)
            else:
                search = self._begin_search(self._first)
        step = search.next()
        if isinstance(step, GiveUp):
            self.service.tally.count_given_up(step.ending.name.lower())
        if self.recorder is not None:
            self.recorder.step(step)
        return step

    def done(
        self,
        attempt: Attempt,
        outcome: Outcome,
        problem: str = "",
        *,
        refused: bool = False,
        replayable: bool = True,
        retry_after: float = 0.0,
    ) -> None:
        """Record how *attempt* ended, before the next step is requested.

        An attempt that was answered still counts as under way at its instance, until the adapter calls
        :meth:`over` at the end of the response.

        Args:
            attempt: the attempt.
            outcome: how it ended.
            problem: what happened, for the message of an error.
            refused: whether its address refused the connection, so that nothing listens there. No answer in
                time proves nothing: the network may have lost what was sent.
            replayable: whether the body can be sent again.
            retry_after: the seconds for which the instance asked not to be called.
        """
        attempt.outcome, context = outcome, self.context
        if self.recorder is not None:
            self.recorder.ended(attempt, outcome, problem)
        if outcome is ANSWERED:
            attempt.pick.answered(context.clock())
            if attempt is self._backup:
                self.service.tally.backups_won += 1
            return
        if attempt.instance.suspect and (refused or outcome is Outcome.MISDIRECTED):
            context.directory.refused(attempt.instance.name)
        if outcome is not Outcome.CANCELLED:
            self.service.tally.count_failed(outcome)
        if attempt is self._backup:
            self.give_back(attempt.pick, outcome, retry_after=retry_after)
            return
        attempt.retry_after = retry_after
        search = self._search or self._begin_search(attempt)
        search.failed(attempt, outcome, problem, refused=refused, replayable=replayable)

    def over(self, attempt: Attempt, outcome: Outcome) -> None:
        """Record that the response to *attempt* is over: read to its end, broken off, or given up."""
        self.give_back(attempt.pick, outcome)
        if outcome is not ANSWERED:
            self.service.tally.broken_off += 1
        if self.recorder is not None:
            self.recorder.over(attempt, outcome)

    def give_back(self, pick: Pick, outcome: Outcome, *, retry_after: float = 0.0) -> None:
        """Record at the instance how a request ended; failures count as the options of the call say."""
        does_count = outcome is ANSWERED or counts(outcome, self.options.failures)
        pick.done(outcome, self.context.clock(), retry_after=retry_after, counts=does_count)

    def back_up(self, attempt: Attempt) -> Attempt | None:
        """Return a backup of *attempt*, whose instance has stalled; None if it gets none."""
        return self._second(attempt, self.service.budget) if self.options.backup else None

    def has_elsewhere(self, attempt: Attempt) -> bool:
        """Tell whether another instance can be asked if *attempt*, of which nothing was sent, is given up."""
        pick = choose(self, (attempt.instance.name,) if self._search is None else self._search.tried)
        if pick is None:
            return False
        pick.done(Outcome.UNUSED, self.context.clock())
        return True

    def hedge_after(self, attempt: Attempt) -> float | None:
        """Return the seconds after which *attempt* takes longer than usual; None if it isn't hedged."""
        if not self.options.hedge or not self.is_safe:
            return None
        hedging = self.service.hedging
        if hedging is None:
            hedging = self.service.hedging = Hedging()
        attempt.pick.hedging = hedging
        return hedging.usual.value

    def hedge(self, attempt: Attempt) -> Attempt | None:
        """Return a backup of *attempt*, which takes longer than usual; None if it gets none."""
        hedging = self.service.hedging
        return None if hedging is None else self._second(attempt, hedging.budget)

    def _second(self, attempt: Attempt, budget: RetryBudget) -> Attempt | None:
        """Return a backup of *attempt* at another instance, if the request is safe and *budget* allows it.

        A call has one backup at most. The first instance may still process the request, even later.
        """
        now = self.context.clock()
        if self._backup is not None or not self.has_time():
            return None
        if not self.is_safe or self.nested:
            return None
        if budget.balance(now) < 1 or (pick := choose(self, (attempt.instance.name,), second=True)) is None:
            return None
        second = self._first_attempt(pick)
        if second is None:
            # Its host would have to be looked up first.
            pick.done(Outcome.UNUSED, now)
            return None
        budget.spend(now)
        second.is_retry = True
        self._backup = second
        self.service.tally.backups += 1
        if self.recorder is not None:
            self.recorder.began(second)
        return second

    def has_time(self, seconds: float = 0.0) -> bool:
        """Tell whether the deadline leaves time for an attempt after a wait of *seconds*."""
        return self.deadline is None or self.deadline.leaves_time(self.context.clock(), seconds)

    def waiting(self, attempt: Attempt | None) -> str:
        """Return what the call waits for while *attempt* is under way, or between attempts if it is None."""
        place = None if attempt is None or attempt.outcome is not None else f"{attempt.host}:{attempt.port}"
        return waiting(self.method, *self.name, place, self.notes)

    def close(self) -> None:
        """End the call; attempts under way count as cancelled. May be called twice."""
        if self.recorder is not None:
            self.recorder.closed()
        first, backup = self._first, self._backup
        if backup is not None and backup.outcome is None:
            backup.pick.done(Outcome.CANCELLED, self.context.clock())
        if self._search is not None:
            self._search.close()
        elif first is not None and first.outcome is None:
            first.pick.done(Outcome.CANCELLED, self.context.clock())

    def _begin_search(self, first: Attempt) -> Search:
        self._search = Search(self, first.pick, first)
        return self._search

    def _first_attempt(self, pick: Pick) -> Attempt | None:
        """Return an attempt at the first endpoint of the instance; None if a search must find its address."""
        instance, context = pick.instance, self.context
        endpoint = instance.endpoints[0]
        if len(instance.endpoints) > 1 and (instance.scheme is None or context.doubtful):
            return None
        host = endpoint.address or endpoint.host
        if endpoint.address is None and not is_literal(host):
            known = context.addresses.entry(Host(host, endpoint.family)).addresses
            if len(known) != 1 or context.directory.networks.why_not(known[0]) is not None:
                return None
            return Attempt(pick, endpoint, known[0], host, pick.started)
        return Attempt(pick, endpoint, host, host, pick.started)
