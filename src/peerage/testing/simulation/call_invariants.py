"""What must hold of calls; pure. Each function yields the violations of what its docstring says."""

from collections.abc import Iterator
from typing import Final

from peerage.testing.simulation.history import CallHistory, History, Life, Span
from peerage.testing.simulation.promises import Promises, Violation, describe
from peerage.testing.simulation.trace import Attempted, CallEnded

#: Seconds for which the retry budget remembers successes: no less, and no more than twice as long.
_REMEMBERED: Final = 5.0

#: How attempts end after which an instance may still process the request: only safe requests are sent again.
_UNFINISHED: Final = frozenset({"timed_out", "gateway_timeout"})


def failed(history: History, promises: Promises) -> Iterator[Violation]:
    """No idempotent call fails while an instance that is known is reachable, and budget and deadline last."""
    for label, call in history.calls.items():
        began, ended = call.began, call.ended
        if ended is None or not ended.error or began.repeatable == "once":
            continue
        if _has_excuse(history, call, ended, promises):
            continue
        known = _known_all_the_time(history, call, Span(began.at, ended.at))
        if known is not None:
            message = f"call {label} of {began.process} failed: {ended.error}; {describe(known)} was known"
            yield Violation(ended.at, "failed call", f"{message} and reachable")


def slow(history: History, promises: Promises) -> Iterator[Violation]:
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
            message = f"call {label} of {began.process} took {end - began.at:.3f} s; {describe(known)} was"
            yield Violation(end, "slow call", f"{message} known and reachable")


def late(history: History, promises: Promises) -> Iterator[Violation]:
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


def wrong_service(history: History, _promises: Promises) -> Iterator[Violation]:
    """No service processes a request that was meant for another one."""
    for label, call in history.calls.items():
        for handled in call.handled:
            if handled.service != call.began.service:
                message = f"call {label} of {call.began.service} was processed by {handled.service}"
                yield Violation(handled.at, "wrong service", f"{message}, process {handled.process}")


def repeated(history: History, _promises: Promises) -> Iterator[Violation]:
    """No request is processed twice unless it may be."""
    for label, call in history.calls.items():
        if call.began.repeatable == "once" and len(call.handled) > 1:
            by = ", ".join(handled.process for handled in call.handled)
            yield Violation(call.handled[1].at, "repeated", f"call {label} was processed by {by}")


def retries(history: History, promises: Promises) -> Iterator[Violation]:
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


def outstanding(history: History, promises: Promises) -> Iterator[Violation]:
    """After settling a process without calls counts no request as under way, and never less than none."""
    spans = history.settled(promises.settling)
    for rest in history.rests:
        settled = any(span.begin <= rest.at <= span.end for span in spans)
        if rest.outstanding < 0 or (settled and rest.outstanding):
            message = f"{rest.process} counts {rest.outstanding} requests under way, and has none"
            yield Violation(rest.at, "outstanding", message)


def token(history: History, promises: Promises) -> Iterator[Violation]:
    """No internal token leaves the cluster, or goes to an address that is known from disk only."""
    for token in history.tokens:
        if not token.allowed:
            yield Violation(token.at, "token", f"{token.process} received an internal token")
        elif token.call:
            caller = history.processes[history.calls[token.call].began.process]
            # What is seen is written a moment after it is known.
            if not any(not view.stale and view.at < token.at + promises.reaction for view in caller.views):
                message = f"{token.process} received an internal token of {caller.started.process}, which"
                yield Violation(token.at, "token", f"{message} knew its address from disk only")
