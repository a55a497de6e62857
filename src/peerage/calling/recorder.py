"""Fills the trace of a call from its steps and choices; see :mod:`peerage.calling.trace`."""

from collections.abc import Collection, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Final

from peerage.balancing import Outcome, Pick, Stats
from peerage.balancing.trouble import Trouble
from peerage.calling.candidates import fits
from peerage.calling.messages import why_not_callable
from peerage.calling.options import CallOptions
from peerage.calling.resolution import Lookups
from peerage.calling.steps import Attempt, GiveUp, Pause, Relieve, Step, TlsProbe, WaitForInstance
from peerage.calling.trace import AttemptTrace, CallTrace, LeftOut, Wait
from peerage.records.instance import Instance

if TYPE_CHECKING:
    from peerage.calling.call import CallContext

#: How many instances that were left out a trace lists.
_MOST: Final = 100


class Recorder:
    """Records one call.

    Args:
        trace: where to record it.
        context: what all calls share.
        name: key and value of the instances.
        secure: whether the scheme requires TLS.
    """

    def __init__(
        self, trace: CallTrace, context: "CallContext", name: tuple[str, str], *, secure: bool
    ) -> None:
        self._trace = trace
        self._directory = context.directory
        self._balancer = context.balancer
        self._clock = context.clock
        self._name = name
        self._secure = secure
        self._began = self._clock()
        self._reasons: dict[Pick, str] = {}
        self._attempts: dict[Attempt, AttemptTrace] = {}
        self._wait: Wait | None = None

    def _now(self) -> float:
        return self._clock() - self._began

    def picked(
        self,
        pick: Pick | None,
        targets: Sequence[Instance],
        tried: Collection[str],
        *,
        chosen: CallOptions | None,
        last_resort: bool,
        second: bool,
    ) -> None:
        """Record that *pick* was chosen among *targets*.

        Args:
            pick: the choice; None if no instance was eligible.
            targets: the instances that may be called.
            tried: names of the records of instances that were tried before.
            chosen: the options, if they narrowed the choice to some of the targets.
            last_resort: whether it is one of the avoided instances.
            second: whether the attempt is a backup.
        """
        asked = {each.record for each in self._trace.attempts}
        known = self._directory.find((self._name,))
        self._trace.known = len(known)
        if pick is not None:
            asked.add(pick.instance.name)
            reason = self._why(pick, targets, tried, chosen=chosen, last_resort=last_resort)
            if last := _why_last(pick.instance):
                reason = f"{reason}; {last}"
            self._reasons[pick] = (
                f"a backup, as the first attempt isn't answered: {reason}" if second else reason
            )
        callable_ones = {each.name for each in targets}
        left = (
            LeftOut(label(each), each.name, self._why_not(each, callable_ones))
            for each in known
            if each.name not in asked
        )
        self._trace.left_out = [*islice(left, _MOST)]

    def step(self, step: Step) -> None:
        """Record the next step."""
        now = self._now()
        if (
            self._wait is not None
            and isinstance(step, WaitForInstance)
            and self._wait.reason == _reason_of(step)
        ):
            # A long wait has several steps, in between of which nothing could be tried.
            return
        if self._wait is not None:
            self._wait.seconds, self._wait = now - self._wait.started, None
        if isinstance(step, Attempt):
            self.began(step)
        elif isinstance(step, GiveUp):
            self._trace.problem = step.message
        else:
            self._wait = Wait(_reason_of(step), now)
            self._trace.waits.append(self._wait)

    def began(self, attempt: Attempt) -> None:
        """Record that *attempt* is made."""
        reason = self._reasons.pop(attempt.pick, "another address of the same instance")
        self._attempts[attempt] = recorded = AttemptTrace(
            label(attempt.instance), attempt.instance.name, attempt.authority, reason, self._now()
        )
        self._trace.attempts.append(recorded)

    def ended(self, attempt: Attempt, outcome: Outcome, problem: str = "") -> None:
        """Record how *attempt* ended; the body of its response may follow."""
        recorded = self._attempts[attempt]
        recorded.seconds = self._now() - recorded.started
        recorded.outcome, recorded.problem = outcome.name.lower(), problem

    def over(self, attempt: Attempt, outcome: Outcome) -> None:
        """Record that the body of the response to *attempt* is over."""
        recorded = self._attempts[attempt]
        recorded.body_seconds = self._now() - recorded.started - (recorded.seconds or 0.0)
        if outcome is not Outcome.ANSWERED:
            recorded.problem = f"the body broke off: {outcome.name.lower()}"

    def closed(self) -> None:
        """Record that the call ended."""
        if self._trace.seconds is not None:
            return
        self._trace.seconds = self._now()
        if self._wait is not None:
            self._wait.seconds = self._trace.seconds - self._wait.started
        for attempt, recorded in self._attempts.items():
            if recorded.outcome is None:
                self.ended(attempt, Outcome.CANCELLED)

    # Reasons

    def _why(
        self,
        pick: Pick,
        targets: Sequence[Instance],
        tried: Collection[str],
        *,
        chosen: CallOptions | None,
        last_resort: bool,
    ) -> str:
        if last_resort:
            return "a last resort: all are avoided or were tried, and this one has been avoided longest"
        if pick.instance not in targets:
            return "all others are avoided or were tried"
        if len(targets) == 1:
            return "the only one"
        if chosen is not None and chosen.key is not None:
            return f"of {len(targets)}, the first in the order of the key {chosen.key!r} that isn't too busy"
        load = _load(pick.stats.outstanding - 1)
        if chosen is not None:
            what = "among the near ones" if chosen.subset is None else "in the subset"
            return f"chosen {what}, of {len(targets)}; {load}"
        left = sum(
            each.name not in tried
            and fits(each, secure=self._secure)
            and (each.name not in self._balancer.avoided or each is pick.instance)
            for each in targets
        )
        return f"the better of two drawn from {left}; {load}" if left > 1 else "the only one left"

    def _why_not(self, instance: Instance, targets: Collection[str]) -> str:
        if not instance.callable:
            return why_not_callable(instance)
        if instance.name not in targets:
            return _why_last(instance) or "another instance is preferred"
        if not fits(instance, secure=self._secure):
            return f"it speaks {instance.scheme} only"
        stats = self._balancer.stats(instance.name)
        if instance.name in self._balancer.avoided:
            return _why_avoided(stats)
        load = _load(0 if stats is None else stats.outstanding)
        if stats is not None and stats.trouble is not None:
            load += _what_counts(stats.trouble, self._clock())
        return f"not drawn, or not the better of the two; {load}"


def label(instance: Instance) -> str:
    """Return a short name of *instance*."""
    return instance.instance_id or instance.name


def _why_last(instance: Instance) -> str:
    """Return why *instance* is asked only if no other is left; empty if it isn't."""
    if instance.suspect:
        return "a suspect: its record vanished"
    return "it is draining" if instance.draining else ""


def _why_avoided(stats: Stats | None) -> str:
    trouble = None if stats is None else stats.trouble
    if trouble is not None and trouble.ejected_from is not None:
        return "ejected: too many of its requests failed"
    has_stalled = trouble is not None and trouble.recheck_at
    return f"avoided: it {'has stalled' if has_stalled else 'accepted no connection'}"


def _what_counts(trouble: Trouble, now: float) -> str:
    """Return what else counts as load of an instance."""
    counts = ""
    if given_up := trouble.holding(now):
        counts += f", {given_up} given up that may still be processed"
    if trouble.penalty(now):
        counts += ", and recent failures count against it"
    if now < trouble.cold_until:
        counts += ", and it has just joined"
    return counts


def _load(outstanding: int) -> str:
    return "1 request under way" if outstanding == 1 else f"{outstanding} requests under way"


def _reason_of(step: Lookups | TlsProbe | Relieve | Pause | WaitForInstance) -> str:
    if isinstance(step, Lookups):
        return "for the look-up of " + ", ".join(sorted({host.name for host in step.hosts}))
    if isinstance(step, TlsProbe):
        return f"to find out whether {step.attempt.authority} speaks TLS"
    if isinstance(step, Relieve):
        return "for descriptors: idle connections were closed, as none was left"
    return "for an instance of that name" if isinstance(step, WaitForInstance) else step.reason
