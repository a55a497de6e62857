"""The search for an instance that answers one request, after the first attempt."""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Final

from peerage.balancing import Outcome, Pick
from peerage.calling import messages
from peerage.calling.addresses import Host
from peerage.calling.candidates import endpoints_of, hosts_of
from peerage.calling.choosing import choose
from peerage.calling.resolution import Resolution
from peerage.calling.retry import Ending, ending_of, needs_budget, why_not_again
from peerage.calling.steps import Attempt, GiveUp, Pause, Relieve, Step, TlsProbe, WaitForInstance
from peerage.records.instance import Endpoint, Instance

if TYPE_CHECKING:
    from peerage.calling.call import Call

#: Avoided instances that one call tries when there are no others. If it tried more, each call of a service
#: that is down would cost an attempt at every instance.
LAST_RESORTS: Final = 2

#: Seconds until the same instance is asked again, on average: between half of it and one and a half times it,
#: so that callers whose requests failed together don't come back together (Brooker, "Exponential Backoff And
#: Jitter", 2015).
_PAUSE: Final = 0.05

#: The longest pause in seconds before a call that waits looks again for an instance to try.
_LONGEST_PAUSE: Final = 1.0

#: Seconds after the last answer of a name, or after its last instance left, during which calls wait for
#: another one.
KNOWN_SECONDS: Final = 60.0

#: How an attempt without TLS may end at a port that speaks TLS, or the other way round.
_OTHER_SCHEME: Final = frozenset({Outcome.CONNECTION_LOST, Outcome.CONNECT_FAILED})

_Steps = Generator[Step, None, None]
_Attempts = Generator[Step, None, bool]


class Search:
    """Tries instances, and the addresses of each, as long as the request may be sent again.

    Args:
        call: the call.
        pick: the instance to begin with; None to choose one.
        first: the attempt that was already made at that instance; None if none was.
    """

    def __init__(self, call: "Call", pick: Pick | None, first: Attempt | None) -> None:
        context = call.context
        self._call = call
        self._context = context
        self._resolution = Resolution(context.addresses, context.directory.networks)
        self._given = pick
        self._first = first
        self._current: Attempt | None = None
        # Attempts that were still under way when the next step was requested.
        self._left: list[Attempt] = []
        self.tried: set[str] = set()
        """Names of the records of instances that were asked."""
        self._last: Outcome | None = None
        # Whether an instance refused the connection: nothing listens at its port.
        self._refused = False
        self._relieved = False
        self._replayable = True
        # The retries so far, and whether the next attempt is one that hasn't been paid for yet.
        self._retries = 0
        self._owed = False
        # Whether the budget has refused a retry, and why the last failure allows no further attempt.
        self._is_budget_refused = False
        self._why_not = ""
        self._steps = self._run()

    @property
    def notes(self) -> Sequence[messages.Note]:
        """What failed so far: ``(where, what)``."""
        return self._resolution.notes

    def next(self) -> Step:
        """Return what to do next; not to be called again after :class:`GiveUp`."""
        return next(self._steps)

    def failed(
        self, attempt: Attempt, outcome: Outcome, problem: str, *, refused: bool, replayable: bool
    ) -> None:
        """Record how *attempt* failed; see :meth:`Call.done`."""
        if attempt in self._left:
            self._call.give_back(attempt.pick, outcome)
        if outcome is Outcome.CONNECT_FAILED:
            self._context.addresses.connect_failed(Host(attempt.host, attempt.endpoint.family), attempt.ip)
        self._last = outcome
        self._refused = self._refused or refused
        self._replayable = replayable
        self._resolution.note(attempt.host, attempt.endpoint, problem)

    def close(self) -> None:
        """End the search; attempts under way count as cancelled. May be called twice."""
        self._steps.close()
        if self._given is not None:
            # It is closed before the first step was requested.
            first = self._first
            outcome = Outcome.UNUSED if first is None else first.outcome or Outcome.CANCELLED
            self._given.done(outcome, self._context.clock())
        for attempt in self._left:
            if attempt.outcome is None:
                attempt.pick.done(Outcome.CANCELLED, self._context.clock())

    # The steps

    def _run(self) -> _Steps:
        yield from self._search()
        yield self._end()

    def _search(self) -> _Attempts:
        """Try everything that may be tried; return True if a failure allows no further attempt."""
        if (yield from self._try_all()):
            return True
        if self._last is Outcome.CONNECTION_LOST and self._may_go_on():
            # A peer may close a pooled connection just when it is used again. If there is no other instance,
            # try a new connection to the same one, as aiohttp would.
            seconds = self._pause()
            if self._call.has_time(seconds):
                yield Pause(seconds, "before the same instance is asked again")
                self.tried.clear()
                if (yield from self._try_all()):
                    return True
        return (
            (yield from self._try_last_resorts())
            or (yield from self._wait_for_pending())
            or (yield from self._wait_for_instance())
        )

    def _try_all(self) -> _Attempts:
        """Try the instances that aren't avoided, one after the other."""
        while (pick := self._pick()) is not None:
            if (yield from self._try(pick)):
                return True
        return False

    def _try_last_resorts(self) -> _Attempts:
        """Try some of the avoided instances, and repeat look-ups that have just failed."""
        self._resolution.insist = True
        for _ in range(LAST_RESORTS):
            pick = self._pick(last_resort=True)
            if pick is None:
                break
            if (yield from self._try(pick)):
                return True
        return False

    def _wait_for_pending(self) -> _Attempts:
        """Wait for look-ups that take long, and try the instances whose hosts they find."""
        resolution = self._resolution
        if self._retries or not resolution.pending:
            return False
        found = yield from resolution.wait_for_pending()
        self.tried -= found
        return (yield from self._try_last_resorts()) if found else False

    def _wait_for_instance(self) -> _Attempts:
        """If no instance can be reached any more, as in a restart, wait for one and try it.

        It is gRPC's "wait for ready", limited to names that had an instance lately. This request may itself
        have found the last one dead, if it may be sent again.
        """
        context, call = self._context, self._call
        if self._last is Outcome.CONNECT_FAILED and (yield from self._let_the_registry_catch_up()):
            return True
        end, pause = context.clock() + call.options.wait, self._pause()
        while self._is_deserted():
            left = end - context.clock()
            if self._last is not None and not self._may_go_on():
                return False
            if left <= 0.0:
                # One that can be reached again need not have been probed yet.
                return (yield from self._try_last_resorts()) if call.options.wait else False
            is_known = bool(context.directory.targets(*call.name))
            yield WaitForInstance(call.name, min(left, pause) if is_known else left)
            pause = min(2.0 * pause, _LONGEST_PAUSE)
            self.tried.clear()
            if (yield from self._try_all()):
                return True
        return False

    def _is_deserted(self) -> bool:
        """Tell whether a name that had an instance lately has none any more, or none that can be reached."""
        context, call = self._context, self._call
        targets = context.directory.targets(*call.name)
        if not targets:
            return call.name in context.emptied
        if self._last is not Outcome.CONNECT_FAILED:
            return False
        avoided, is_lost = context.balancer.avoided, targets[0].suspect
        # A port at which nothing listens may belong to a process that is about to be started again.
        if self._refused and context.clock() - call.service.answered_at < KNOWN_SECONDS:
            is_lost = True
        return is_lost and all(each.name in avoided for each in targets)

    def _let_the_registry_catch_up(self) -> _Attempts:
        """If the only instance accepted no connection, wait a moment: its record may be about to vanish."""
        call, seconds = self._call, self._pause()
        if (
            len(self._context.directory.targets(*call.name)) == 1
            and call.options.wait
            and self._may_go_on()
            and call.has_time(seconds)
        ):
            yield Pause(seconds, "to see whether the record of the only instance vanishes")
            return (yield from self._try_all())
        return False

    def _pause(self) -> float:
        return _PAUSE * (0.5 + self._context.random())

    def _pick(self, *, last_resort: bool = False) -> Pick | None:
        pick, self._given = self._given, None
        if pick is None:
            pick = choose(self._call, self.tried, last_resort=last_resort)
        if pick is not None:
            self.tried.add(pick.instance.name)
        return pick

    def _try(self, pick: Pick) -> _Attempts:
        """Try the addresses of one instance; return True if a failure allows no further attempt."""
        self._current = None
        try:
            for endpoint in self._endpoints(pick.instance):
                ended = yield from self._try_endpoint(pick, endpoint)
                if ended is not None:
                    return ended
            return False
        finally:
            self._finish(pick)

    def _try_endpoint(self, pick: Pick, endpoint: Endpoint) -> Generator[Step, None, bool | None]:
        """Try the addresses of one endpoint.

        Returns:
            True if a failure allows no further attempt, False if the instance isn't to be tried again, None
            if its next endpoint may be tried.
        """
        for host in hosts_of(pick.instance, endpoint):
            addresses = yield from self._resolution.find(pick.instance, host, endpoint)
            for ip in addresses:
                if self._owed and self._is_budget_used_up():
                    # Other calls have used it up while this one was waiting.
                    self._why_not = self._refuse()
                    return True
                attempt = yield from self._attempt(pick, endpoint, ip, host, addresses)
                if attempt.outcome is None:
                    self._left.append(attempt)
                    return False
                doubtful = self._is_doubtful(pick.instance, endpoint)
                if doubtful and not self._may_go_on() and (yield from self._was_plain_to_tls(attempt)):
                    self._last = Outcome.CONNECT_FAILED
                if not self._may_go_on():
                    return True
                if self._last is not None and needs_budget(self._last):
                    self._retries += 1
                    self._owed = True
                    return None if doubtful else False
            if addresses and self._last is not Outcome.MISDIRECTED:
                # The host resolves, so its other names lead to the same addresses. Only if another service
                # answers there, the name may have led to the wrong host.
                return None
        return None

    def _finish(self, pick: Pick) -> None:
        attempt = self._current
        if attempt is None:
            outcome = Outcome.UNUSED if self._is_budget_refused else Outcome.UNRESOLVED
            pick.done(outcome, self._context.clock())
        elif attempt.outcome is not Outcome.ANSWERED and attempt not in self._left:
            outcome = attempt.outcome or Outcome.CANCELLED
            self._call.give_back(pick, outcome, retry_after=attempt.retry_after)

    def _attempt(
        self, pick: Pick, endpoint: Endpoint, ip: str, host: str, addresses: Sequence[str]
    ) -> Generator[Step, None, Attempt]:
        attempt, self._first = self._first, None
        if attempt is None:
            attempt = self._make_attempt(pick, endpoint, ip, host, addresses)
            yield attempt
        self._current = attempt
        if attempt.outcome is Outcome.OUT_OF_RESOURCES and not self._relieved:
            self._relieved = True
            yield Relieve()
            attempt = self._make_attempt(pick, endpoint, ip, host, addresses)
            yield attempt
        return attempt

    def _make_attempt(
        self, pick: Pick, endpoint: Endpoint, ip: str, host: str, addresses: Sequence[str]
    ) -> Attempt:
        now = self._context.clock()
        if self._owed:
            self._owed = False
            self._call.service.budget.spend(now)
            self._call.service.tally.retries += 1
        attempt = self._current = Attempt(pick, endpoint, ip, host, now)
        attempt.is_retry = self._retries > 0
        attempt.others = [each for each in addresses if each != ip]
        return attempt

    def _endpoints(self, instance: Instance) -> Sequence[Endpoint]:
        endpoints = [*endpoints_of(instance, secure=self._call.secure)]
        doubtful = self._context.doubtful
        if len(endpoints) > 1 and doubtful:
            secure = self._call.secure
            endpoints.sort(key=lambda endpoint: (instance.name, endpoint.port, secure) in doubtful)
        return endpoints

    def _is_doubtful(self, instance: Instance, endpoint: Endpoint) -> bool:
        """Remember that *endpoint* failed, if the reason may be that it speaks another scheme."""
        if self._last not in _OTHER_SCHEME or endpoint.scheme is not None:
            return False
        if len({each.port for each in instance.endpoints}) == 1:
            return False
        self._context.doubtful[instance.name, endpoint.port, self._call.secure] = True
        return True

    def _was_plain_to_tls(self, attempt: Attempt) -> Generator[Step, None, bool]:
        """Find out whether a plain request met a port that speaks TLS, which can't have processed it."""
        if self._call.secure or self._last is not Outcome.CONNECTION_LOST:
            return False
        probe = TlsProbe(attempt)
        yield probe
        return probe.speaks_tls

    # The end

    def _may_go_on(self) -> bool:
        self._why_not = self._why_not_again()
        return not self._why_not

    def _why_not_again(self) -> str:
        """Return why the request isn't sent again after the last attempt; empty if it is."""
        call, last = self._call, self._last or Outcome.UNUSED
        reason = why_not_again(last, call.repeatable, replayable=self._replayable, retries=self._retries)
        if reason:
            return reason
        if not needs_budget(last):
            return "" if call.options.failover else "failover is switched off"
        if not call.options.retry:
            return "retries are switched off"
        if call.nested:
            return "the call is made for a request that is a retry itself"
        return self._refuse() if self._is_budget_used_up() else ""

    def _is_budget_used_up(self) -> bool:
        return self._call.service.budget.balance(self._context.clock()) < 1

    def _refuse(self) -> str:
        if not self._is_budget_refused:
            self._is_budget_refused = True
            self._context.observer.budget_used_up(self._call.name)
        return "the retry budget is used up"

    def _end(self) -> GiveUp:
        (key, value), notes = self._call.name, self.notes
        if self._last is not None:
            ending = ending_of(self._last, method=self._call.method, retries=self._retries)
            if ending is Ending.AS_IT_IS:
                reason = self._why_not or "no other instance is left"
                return GiveUp(ending, messages.not_again(self._call.method, key, value, notes, reason))
            return GiveUp(ending, messages.unreachable(key, value, notes))
        if notes:
            return GiveUp(Ending.NOT_DISCOVERED, messages.unresolved(key, value, notes))
        directory = self._context.directory
        if directory.targets(key, value):
            return GiveUp(Ending.NOT_DISCOVERED, messages.other_scheme(key, value, self._call.scheme))
        left_at = self._context.emptied.get(self._call.name)
        if left_at is not None and not directory.find(((key, value),)):
            message = messages.all_left(key, value, self._context.clock() - left_at)
            return GiveUp(Ending.NOT_DISCOVERED, message)
        return GiveUp(Ending.NOT_DISCOVERED, messages.not_discovered(directory, key, value))
