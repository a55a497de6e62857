"""Which instance a call asks: the choice by its options, or else by the balancer."""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from peerage.balancing import Balancer, Outcome, Pick
from peerage.balancing.choices import Choices
from peerage.calling.answers import FAILURES
from peerage.calling.candidates import fits
from peerage.directory.members import Members
from peerage.records.instance import Instance

if TYPE_CHECKING:
    from peerage.calling.call import Call


def choose(
    call: "Call", tried: Collection[str] = (), *, last_resort: bool = False, second: bool = False
) -> Pick | None:
    """Choose an instance for *call*, or a *second* one for its backup; see :meth:`Balancer.pick`.

    If no target is left, it is a draining instance or a suspect, if there is one that isn't avoided.

    Returns:
        None if every instance was tried or is avoided, or if there are none.
    """
    context, service, options = call.context, call.service, call.options
    targets, choices, balancer = context.directory.targets(*call.name), None, context.balancer
    if options.score is not None:
        balancer = balancer.scoring(options.score)
    if len(targets) > 1 and not last_resort:
        choices = _choices(call, targets)
    # A call for which fewer answers are failures can't show that an ejected instance has recovered.
    safe = call.is_safe and (options.failures is FAILURES or FAILURES.issubset(options.failures))
    pick = None
    if choices is not None and (choices.levels or options.key is not None or options.subset is not None):
        pick = _choose_by_options(call, balancer, targets, choices, tried, safe=safe)
    is_chosen = pick is not None
    if pick is None:
        pick = balancer.pick(targets, service, tried=tried, safe=safe, last_resort=last_resort)
    if (
        pick is not None
        and (scheme := pick.instance.scheme) is not None
        and (scheme == "https") is not call.secure
    ):
        pick.done(Outcome.UNUSED, pick.started)
        pick = _choose_fitting(call, balancer, targets, tried, safe=safe, last_resort=last_resort)
    if pick is None and targets:
        pick = _choose_fallback(call, balancer, len(targets), tried, safe=safe, last_resort=last_resort)
    if call.recorder is not None:
        chosen = options if is_chosen else None
        call.recorder.picked(pick, targets, tried, chosen=chosen, last_resort=last_resort, second=second)
    return pick


def _choices(call: "Call", targets: Members) -> Choices:
    """Return how *targets* are grouped; what was found for the call before is used until they change."""
    context, service = call.context, call.service
    choices = service.choices
    if choices is None or choices.version != targets.version or choices.place is not context.place:
        group_at = float("-inf") if choices is None else choices.group_at
        choices = Choices(targets, targets.version, context.place, context.salt, group_at)
        service.choices = choices
    if not choices.is_grouped:
        choices.group(context.clock())
    return choices


def _choose_fallback(
    call: "Call", balancer: Balancer, size: int, tried: Collection[str], *, safe: bool, last_resort: bool
) -> Pick | None:
    """Choose a draining instance, or else a suspect, for a request that no target can answer."""
    for others in call.context.directory.fallbacks(*call.name):
        fitting = [each for each in others if fits(each, secure=call.secure)]
        pick = balancer.pick(
            fitting, call.service, size=size, tried=tried, safe=safe, last_resort=last_resort
        )
        if pick is not None:
            return pick
    return None


def _choose_fitting(
    call: "Call",
    balancer: Balancer,
    targets: Sequence[Instance],
    tried: Collection[str],
    *,
    safe: bool,
    last_resort: bool,
) -> Pick | None:
    """Choose an instance of the right scheme, for services of which some instances speak another one."""
    context, pick = call.context, None
    fitting = [target for target in targets if fits(target, secure=call.secure)]
    if len(fitting) > 1 and not last_resort:
        choices = Choices(fitting, 0, context.place, context.salt)
        choices.group(context.clock())
        pick = _choose_by_options(call, balancer, fitting, choices, tried, safe=safe)
    return pick or balancer.pick(fitting, call.service, tried=tried, safe=safe, last_resort=last_resort)


def _choose_by_options(
    call: "Call",
    balancer: Balancer,
    targets: Sequence[Instance],
    choices: Choices,
    tried: Collection[str],
    *,
    safe: bool,
) -> Pick | None:
    """Choose an instance by key, subset and nearness; None if none of them applies, or they find none."""
    options, levels, service = call.options, choices.levels, call.service
    if options.key is not None:
        return balancer.pick_for_key(options.key, choices.rendezvous, service, tried=tried, safe=safe)
    some = targets
    if options.subset is not None:
        some, levels = choices.subset(options.subset)
    pick = None
    if levels is not None and options.near:
        pick = balancer.pick_near(levels, service, size=len(targets), tried=tried, safe=safe)
    if pick is None and some is not targets:
        pick = balancer.pick(some, service, size=len(targets), tried=tried, safe=safe)
    return pick
