"""The promises of the library as invariants of traces, each written once; pure.

Simulations, tests with real processes under faults, and tests of backends write traces, and all are checked
by the same functions::

    for violation in check(trace, Promises(session_timeout=10.0)):
        print(violation)

An invariant says nothing where the trace can't tell what must hold: while a fault is under way, directories
may differ from the truth, and a call may fail if a fault affected each instance that its caller knew.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Final, NamedTuple

from peerage.balancing.budget import FIRST_RETRIES, RETRY_SHARE
from peerage.calling.retry import MOST_RETRIES
from peerage.directory import SUSPECT_SECONDS
from peerage.testing.simulation.history import CallHistory, History, Life, Process, Span
from peerage.testing.simulation.trace import REGISTRY, Attempted, CallEnded, Event, Sight, Viewed

#: Seconds for which the retry budget remembers successes: no less, and no more than twice as long.
_REMEMBERED: Final = 5.0

#: The kinds of faults that cut processes off from the registry.
_CUTS: Final = frozenset({"outage", "partition"})

#: How attempts end after which an instance may still process the request: only safe requests are sent again.
_UNFINISHED: Final = frozenset({"timed_out", "gateway_timeout"})


@dataclass(frozen=True, slots=True)
class Promises:
    """The figures in what is promised."""

    session_timeout: float = 10.0
    """Seconds after which a registry removes the records of a process that it doesn't hear of."""
    reaction: float = 1.0
    """Seconds from when the registry is certain until each directory is."""
    suspect_seconds: float = SUSPECT_SECONDS
    """Seconds for which an instance may stay known although its record vanished."""
    first_retries: int = FIRST_RETRIES
    retry_share: float = RETRY_SHARE
    most_retries: int = MOST_RETRIES
    attempt_seconds: float = 0.1
    """Seconds that one more attempt would take: a call with less time left may fail."""
    patience: float = 10.0
    """Seconds in which a safe call finds an instance that answers, if it knows one: it may have to notice
    that the first one has stopped."""

    @property
    def settling(self) -> float:
        """Seconds after the last change or fault until each directory equals the truth."""
        return self.session_timeout + self.reaction


class Violation(NamedTuple):
    """A promise that wasn't kept."""

    at: float
    invariant: str
    """Which one, see :data:`INVARIANTS`."""
    message: str

    def __str__(self) -> str:
        return f"{self.at:.3f} s: {self.invariant}: {self.message}"


def check(trace: Iterable[Event], promises: Promises | None = None) -> list[Violation]:
    """Return all violations of the invariants in *trace*, in the order of their times.

    Raises:
        ValueError: an event is about something of which the trace doesn't say that it began.
    """
    history, promises = History(trace), promises or Promises()
    return sorted(
        violation for invariant in INVARIANTS.values() for violation in invariant(history, promises)
    )


# What directories have


def _settled_views(history: History, promises: Promises) -> Iterator[tuple[Process, float, Viewed | None]]:
    """Yield what each directory has when it must equal the truth, first and after each change."""
    for span in history.settled(promises.settling):
        for process in history.processes.values():
            if not process.started.observes or not process.started.at <= span.begin < process.ended:
                continue
            if process.view(span.begin) is None:
                yield process, span.begin, None
            for view in process.views_in(span):
                yield process, max(view.at, span.begin), view


def _missing(history: History, promises: Promises) -> Iterator[Violation]:
    """After settling each directory has each instance that is advertised."""
    for process, at, view in _settled_views(history, promises):
        seen = {sight.nonce for sight in _visible(view)}
        for nonce, life in history.lives.items():
            if life.sight(at) is not None and nonce not in seen:
                yield Violation(at, "missing", f"{_name(process)} doesn't know {_describe(life)}")


def _outdated(history: History, promises: Promises) -> Iterator[Violation]:
    """After settling each directory has each instance as it was advertised last."""
    for process, at, view in _settled_views(history, promises):
        for sight in _visible(view):
            truth = history.lives[sight.nonce].sight(at) if sight.nonce in history.lives else None
            if truth is not None and sight != truth:
                yield Violation(at, "outdated", f"{_name(process)} has {sight}, and the truth is {truth}")


def _ghost(history: History, promises: Promises) -> Iterator[Violation]:
    """After settling no directory has a record that isn't true, but for suspects whose time isn't over."""
    for process, at, view in _settled_views(history, promises):
        for sight in () if view is None else view.sights:
            life = history.lives.get(sight.nonce)
            if life is not None and life.sight(at) is not None:
                continue
            ended = at if life is None else at - life.ended
            if life is None or sight.state != "suspect":
                yield Violation(at, "ghost", f"{_name(process)} has {sight}, which ended {ended:.3f} s ago")
            elif ended > promises.suspect_seconds + promises.settling:
                yield Violation(at, "ghost", f"{_name(process)} has the suspect {sight} {ended:.3f} s later")


def _twin(history: History, promises: Promises) -> Iterator[Violation]:
    """Nothing is advertised by two records after settling, and no directory ever shows an instance twice."""
    for process, at, view in _settled_views(history, promises):
        for nonce, count in Counter(() if view is None else (each.nonce for each in view.sights)).items():
            if count > 1:
                yield Violation(at, "twin", f"{_name(process)} has {count} records of {nonce}")
    for process in history.processes.values():
        for view in process.views:
            places = Counter((each.instance, each.address) for each in _visible(view) if each.instance)
            for (instance, address), count in places.items():
                if count > 1:
                    message = f"{_name(process)} shows {instance} at {address} {count} times"
                    yield Violation(view.at, "twin", message)


def _predecessor(history: History, promises: Promises) -> Iterator[Violation]:
    """No directory shows an instance that has ended for long once it knows the successor."""
    # The successor removes the record, unless faults prevent that; at the same address it is a twin at once.
    for process in history.processes.values():
        since: dict[Sight, float] = {}
        for view in process.views:
            for sight, begin in since.items():
                if view.at - begin > promises.reaction and not history.disturbed(Span(begin, view.at)):
                    message = f"{_name(process)} showed {sight} for {view.at - begin:.3f} s, and knew its"
                    yield Violation(view.at, "predecessor", f"{message} successor")
            begins: dict[str, float] = {}
            for life in (history.lives[each.nonce] for each in view.sights if each.nonce in history.lives):
                told = life.advertised
                begins[told.instance] = max(told.at, begins.get(told.instance, told.at))
            ended = [each for each in _visible(view) if _is_predecessor(history, each, view.at, begins)]
            since = {sight: since.get(sight, view.at) for sight in ended}


def _is_predecessor(history: History, sight: Sight, at: float, begins: dict[str, float]) -> bool:
    life = history.lives.get(sight.nonce)
    if life is None or not sight.instance or life.ended >= at:
        return False
    return life.advertised.at < begins[sight.instance]


def _emptied(history: History, promises: Promises) -> Iterator[Violation]:
    """No directory loses all instances of a service while one that it knew is alive: errors empty nothing."""
    for process in history.processes.values():
        suspects: dict[str, float] = {}
        before: Viewed | None = None
        for view in process.views:
            services = {sight.service for sight in view.sights}
            for sight in () if before is None else before.sights:
                life = history.lives.get(sight.nonce)
                kept = view.at - suspects.get(sight.nonce, view.at)
                if sight.service in services or life is None or kept >= promises.suspect_seconds:
                    continue
                if life.lasts(Span(life.advertised.at, view.at)):
                    message = f"{_name(process)} knows no instance of {sight.service} any more, but "
                    yield Violation(view.at, "emptied", f"{message}{_describe(life)} is alive")
            suspects = {
                sight.nonce: suspects.get(sight.nonce, view.at)
                for sight in view.sights
                if sight.state == "suspect"
            }
            before = view


def _silent(history: History, promises: Promises) -> Iterator[Violation]:
    """A directory that is out of touch with the registry says so."""
    for fault in history.faults.values():
        end = min(fault.ended, history.end)
        at = fault.began.at + promises.settling
        if fault.began.kind not in _CUTS or at > end:
            continue
        for process in history.processes.values():
            host = process.started.host
            is_cut = fault.affects(host, REGISTRY, Span(at, at)) and process.view(fault.began.at) is not None
            if not is_cut or process.ended <= at:
                continue
            if any(each.affects(host, host, Span(fault.began.at, at)) for each in history.faults.values()):
                continue
            view = process.view(at)
            if view is not None and not view.stale:
                yield Violation(at, "silent", f"{_name(process)} doesn't say that it can't see the registry")


def _stale(history: History, promises: Promises) -> Iterator[Violation]:
    """After settling no directory says that it is out of touch."""
    for process, at, view in _settled_views(history, promises):
        if view is not None and view.stale:
            yield Violation(at, "stale", f"{_name(process)} says that it can't see the registry")


# What happens to calls


def _failed(history: History, promises: Promises) -> Iterator[Violation]:
    """No idempotent call fails while an instance that is known is reachable, and budget and deadline last."""
    for label, call in history.calls.items():
        began, ended = call.began, call.ended
        if ended is None or not ended.error or began.repeatable == "once":
            continue
        if _has_excuse(history, call, ended, promises):
            continue
        known = _known_all_the_time(history, call, Span(began.at, ended.at))
        if known is not None:
            message = f"call {label} of {began.process} failed: {ended.error}; {_describe(known)} was known"
            yield Violation(ended.at, "failed call", f"{message} and reachable")


def _slow(history: History, promises: Promises) -> Iterator[Violation]:
    """A safe call finds an instance that answers in time, also if the first one that it asks has stopped."""
    for label, call in history.calls.items():
        began = call.began
        end = history.end if call.ended is None else call.ended.at
        # A call has one backup, which may meet another instance that has stopped.
        if began.repeatable != "safe" or end - began.at <= promises.patience or len(call.attempts) > 1:
            continue
        if not _lasts(history, call, end, promises):
            continue
        known = _known_all_the_time(history, call, Span(began.at, end))
        if known is not None:
            message = f"call {label} of {began.process} took {end - began.at:.3f} s; {_describe(known)} was"
            yield Violation(end, "slow call", f"{message} known and reachable")


def _late(history: History, promises: Promises) -> Iterator[Violation]:
    """No call goes on after its deadline."""
    for label, call in history.calls.items():
        began = call.began
        if began.deadline is None:
            continue
        caller, end = history.processes[began.process], history.end if call.ended is None else call.ended.at
        late, host = end - began.deadline, caller.started.host
        if late <= promises.reaction or caller.ended <= end:
            continue
        if not any(fault.affects(host, host, Span(began.at, end)) for fault in history.faults.values()):
            message = f"call {label} of {began.process} went on for {late:.3f} s after its deadline"
            yield Violation(end, "late call", message)


def _has_excuse(history: History, call: CallHistory, ended: CallEnded, promises: Promises) -> bool:
    began = call.began
    if began.deadline is not None and began.deadline - ended.at < promises.attempt_seconds:
        return True
    if began.repeatable == "idempotent" and any(each.outcome in _UNFINISHED for each in call.attempts):
        return True
    if len(call.retries) >= promises.most_retries:
        return True
    return not _lasts(history, call, ended.at, promises)


def _lasts(history: History, call: CallHistory, at: float, promises: Promises) -> bool:
    """Tell whether the retry budget certainly lasts until a time."""
    retries, successes = _paid(history, call.began.process, call.began.service)
    first = promises.first_retries - sum(each.at <= at for each in retries)
    recent = sum(at - _REMEMBERED <= each <= at for each in successes)
    spent = sum(at - 2 * _REMEMBERED <= each.at <= at for each in retries)
    return max(first, int(promises.retry_share * recent) - spent) >= 1


def _known_all_the_time(history: History, call: CallHistory, span: Span) -> Life | None:
    """Return an instance that the caller knew and could reach from the beginning of the call to its end."""
    caller = history.processes[call.began.process]
    if caller.ended <= span.end:
        return None
    views = [{sight.nonce for sight in view.sights} for view in caller.views_in(span)]
    if caller.view(span.begin) is None:
        return None
    for nonce, life in history.lives.items():
        if life.advertised.service != call.began.service or not life.lasts(span):
            continue
        hosts = caller.started.host, life.process.started.host
        if all(nonce in view for view in views) and not any(
            fault.affects(*hosts, span) for fault in history.faults.values()
        ):
            return life
    return None


def _wrong_service(history: History, _promises: Promises) -> Iterator[Violation]:
    """No service processes a request that was meant for another one."""
    for label, call in history.calls.items():
        for handled in call.handled:
            if handled.service != call.began.service:
                message = f"call {label} of {call.began.service} was processed by {handled.service}"
                yield Violation(handled.at, "wrong service", f"{message}, process {handled.process}")


def _repeated(history: History, _promises: Promises) -> Iterator[Violation]:
    """No request is processed twice unless it may be."""
    for label, call in history.calls.items():
        if call.began.repeatable == "once" and len(call.handled) > 1:
            by = ", ".join(handled.process for handled in call.handled)
            yield Violation(call.handled[1].at, "repeated", f"call {label} was processed by {by}")


def _retries(history: History, promises: Promises) -> Iterator[Violation]:
    """No caller retries more requests to a service than those that succeeded allow."""
    pairs = dict.fromkeys((call.began.process, call.began.service) for call in history.calls.values())
    for process, service in pairs:
        retries, successes = _paid(history, process, service)
        for number, retry in enumerate(retries, 1):
            most = promises.first_retries + promises.retry_share * sum(at <= retry.at for at in successes)
            if number > most:
                message = f"{process} made {number} retries to {service}, and {int(most)} are allowed"
                yield Violation(retry.at, "retries", message)
    for label, call in history.calls.items():
        # A backup is one more.
        if len(call.retries) > promises.most_retries + 1:
            yield Violation(call.retries[-1].at, "retries", f"call {label}: {len(call.retries)} retries")


def _paid(history: History, process: str, service: str) -> tuple[list[Attempted], list[float]]:
    """Return the retries that a process made at a service, and when the attempts that succeeded began."""
    calls = [
        call
        for call in history.calls.values()
        if call.began.process == process and call.began.service == service
    ]
    retries = sorted((each for call in calls for each in call.retries), key=lambda each: each.at)
    successes = [each.at for call in calls for each in call.attempts if each.outcome == "answered"]
    return retries, successes


def _outstanding(history: History, promises: Promises) -> Iterator[Violation]:
    """After settling a process without calls counts no request as under way, and never less than none."""
    spans = history.settled(promises.settling)
    for rest in history.rests:
        settled = any(span.begin <= rest.at <= span.end for span in spans)
        if rest.outstanding < 0 or (settled and rest.outstanding):
            message = f"{rest.process} counts {rest.outstanding} requests under way, and has none"
            yield Violation(rest.at, "outstanding", message)


def _token(history: History, _promises: Promises) -> Iterator[Violation]:
    """No internal token leaves the cluster, or goes over a connection that isn't allowed."""
    for token in history.tokens:
        if not token.allowed:
            yield Violation(token.at, "token", f"{token.process} received an internal token")


#: Each invariant, by the name that its violations have; the first line of its docstring says what must hold.
INVARIANTS: Final[dict[str, Callable[[History, Promises], Iterator[Violation]]]] = {
    "missing": _missing,
    "outdated": _outdated,
    "ghost": _ghost,
    "twin": _twin,
    "predecessor": _predecessor,
    "emptied": _emptied,
    "silent": _silent,
    "stale": _stale,
    "failed call": _failed,
    "slow call": _slow,
    "late call": _late,
    "wrong service": _wrong_service,
    "repeated": _repeated,
    "retries": _retries,
    "outstanding": _outstanding,
    "token": _token,
}


def _visible(view: Viewed | None) -> Iterator[Sight]:
    return iter(()) if view is None else (sight for sight in view.sights if not sight.superseded)


def _name(process: Process) -> str:
    return process.started.process


def _describe(life: Life) -> str:
    told = life.advertised
    return f"{told.instance} of {told.service} at {told.address} ({told.nonce})"
