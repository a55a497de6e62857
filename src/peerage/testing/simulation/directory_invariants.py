"""What must hold of directories; pure. Each function yields the violations of what its docstring says."""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Final

from peerage.testing.simulation.history import History, Life, Process, Span
from peerage.testing.simulation.promises import Promises, Violation, describe
from peerage.testing.simulation.trace import REGISTRY, Sight, Viewed

#: The kinds of faults that cut processes off from the registry.
_CUTS: Final = frozenset({"data loss", "outage", "partition"})

#: The kinds of faults of the registry that end no session, so that no record vanishes.
_KEEPING: Final = frozenset({"lag", "lost reply", "slow disk", "throttling"})

#: Seconds in which nothing arrives that wasn't there before.
_MOMENT: Final = 0.00001


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


def missing(history: History, promises: Promises) -> Iterator[Violation]:
    """After settling each directory has each instance that is advertised."""
    for process, at, view in _settled_views(history, promises):
        seen = {sight.nonce for sight in _visible(view)}
        for nonce, life in history.lives.items():
            if life.sight(at) is not None and nonce not in seen:
                yield Violation(at, "missing", f"{_name(process)} doesn't know {describe(life)}")


def outdated(history: History, promises: Promises) -> Iterator[Violation]:
    """After settling each directory has each instance as it was advertised last."""
    for process, at, view in _settled_views(history, promises):
        for sight in _visible(view):
            truth = history.lives[sight.nonce].sight(at) if sight.nonce in history.lives else None
            if truth is not None and sight != truth:
                yield Violation(at, "outdated", f"{_name(process)} has {sight}, and the truth is {truth}")


def ghost(history: History, promises: Promises) -> Iterator[Violation]:
    """After settling no directory has a record that isn't true, but for suspects whose time isn't over."""
    for process, at, view in _settled_views(history, promises):
        for sight in () if view is None else view.sights:
            life = history.lives.get(sight.nonce)
            if life is not None and life.sight(at) is not None:
                continue
            if sight.state != "suspect" and not (
                life is not None and _heard_late(history, life, at, promises)
            ):
                ended = at if life is None else at - life.ended
                yield Violation(at, "ghost", f"{_name(process)} has {sight}, which ended {ended:.3f} s ago")
    yield from _kept_suspects(history, promises)


def _heard_late(history: History, life: Life, at: float, promises: Promises) -> bool:
    """Tell whether an instance ended while it was cut off, and its session may not have timed out yet.

    What a process has sent, its machine sends again until it arrives, even after the process ended. The
    intervals double, so it arrives after the end of the cut by as long as the cut lasted at most, and the
    session time-out runs from then.
    """
    process = life.process
    end = Span(life.ended, min(process.ended, at))
    return any(
        fault.began.kind == "partition"
        and fault.affects(process.started.host, REGISTRY, end)
        and at <= 2 * fault.ended - fault.began.at + promises.settling
        for fault in history.faults.values()
    )


def _kept_suspects(history: History, promises: Promises) -> Iterator[Violation]:
    """Yield the suspects that a directory kept for longer than their time."""
    for process in history.processes.values():
        host, end = process.started.host, min(process.ended, history.end)
        since: dict[str, float] = {}
        for number, view in enumerate(process.views):
            later = process.views[number + 1].at if number + 1 < len(process.views) else end
            suspects = [sight for sight in view.sights if sight.state == "suspect"]
            since = {sight.nonce: since.get(sight.nonce, view.at) for sight in suspects}
            for sight in suspects:
                kept = Span(since[sight.nonce], later)
                stopped = any(fault.affects(host, host, kept) for fault in history.faults.values())
                if later - kept.begin > promises.suspect_seconds + promises.reaction and not stopped:
                    message = f"{_name(process)} kept {sight} for {later - kept.begin:.3f} s"
                    yield Violation(later, "ghost", message)


def twin(history: History, promises: Promises) -> Iterator[Violation]:
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


def predecessor(history: History, promises: Promises) -> Iterator[Violation]:
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


def emptied(history: History, promises: Promises) -> Iterator[Violation]:
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
                if life.lasts(Span(life.advertised.at, view.at)) and not _seems_withdrawn(
                    history, process, life, view.at, promises
                ):
                    message = f"{_name(process)} knows no instance of {sight.service} any more, but "
                    yield Violation(view.at, "emptied", f"{message}{describe(life)} is alive")
            suspects = {
                sight.nonce: suspects.get(sight.nonce, view.at)
                for sight in view.sights
                if sight.state == "suspect"
            }
            before = view


def _seems_withdrawn(history: History, process: Process, life: Life, at: float, promises: Promises) -> bool:
    """Tell whether *process* may have learned together that a record was updated and that it expired.

    Then it looks like one that was withdrawn. That happens if the process didn't run for seconds, or if the
    registry ended the session in the moment of the update, or soon after it and one of its servers lagged.
    """
    here, there = process.started.host, life.process.started.host
    span, late = Span(at - promises.reaction, at), Span(at - promises.settling, at)
    if any(
        fault.began.kind == "lag" and fault.affects(REGISTRY, REGISTRY, late)
        for fault in history.faults.values()
    ):
        span = late
    updated = any(span.begin <= update.at <= span.end for update in life.updates)
    return any(
        (fault.began.kind == "stop" and fault.affects(here, here, span))
        or (updated and fault.began.kind == "expiry" and fault.affects(there, there, span))
        for fault in history.faults.values()
    )


def suspected(history: History, promises: Promises) -> Iterator[Violation]:
    """No directory suspects an instance that is alive, unless a fault may have removed its record."""
    # A fault that disturbs the directory's own process only is no reason.
    for process in history.processes.values():
        before: set[str] = set()
        for view in process.views:
            suspects = {sight.nonce for sight in view.sights if sight.state == "suspect"}
            for life in (history.lives[each] for each in sorted(suspects - before) if each in history.lives):
                host = life.process.started.host
                reason = Span(_news_begin(history, process, view.at, promises), view.at)
                if life.lasts(Span(life.advertised.at, view.at)) and not any(
                    fault.began.kind not in _KEEPING and fault.affects(host, REGISTRY, reason)
                    for fault in history.faults.values()
                ):
                    message = f"{_name(process)} suspects {describe(life)}, to which nothing happened"
                    yield Violation(view.at, "suspected", message)
            before = suspects


def _news_begin(history: History, process: Process, at: float, promises: Promises) -> float:
    """Return since when what *process* learns at *at* may have happened; one that was stopped learns late."""
    host, late = process.started.host, 2 * promises.settling
    stops = (
        fault.began.at
        for fault in history.faults.values()
        if fault.began.kind == "stop" and fault.affects(host, host, Span(at - late, at))
    )
    return min((at, *stops)) - late


def flickering(history: History, _promises: Promises) -> Iterator[Violation]:
    """No instance is missing or suspect only while a snapshot is applied: what is new is applied first."""
    for process in history.processes.values():
        before: Viewed | None = None
        for moment in _moments(process.views):
            lasting = _ready(before) & _ready(moment[-1])
            # A directory in touch gets single changes, which may have happened in that order.
            for view in (each for each in moment[:-1] if each.stale):
                for service, instance in sorted(lasting - _ready(view)):
                    message = f"{_name(process)} had no record of {instance} of {service} for a moment"
                    yield Violation(view.at, "flickering", message)
            before = moment[-1]


def _moments(views: Iterable[Viewed]) -> Iterator[list[Viewed]]:
    """Yield the views that follow each other faster than anything can be sent."""
    moment: list[Viewed] = []
    for view in views:
        if moment and view.at - moment[-1].at > _MOMENT:
            yield moment
            moment = []
        moment.append(view)
    if moment:
        yield moment


def _ready(view: Viewed | None) -> set[tuple[str, str]]:
    return {(sight.service, sight.instance) for sight in _visible(view) if sight.state != "suspect"}


def silent(history: History, promises: Promises) -> Iterator[Violation]:
    """A directory that is out of touch with the registry says so."""
    for fault in history.faults.values():
        # Servers that come back answer before all of them are there, which ends the outage.
        end = min(fault.ended - promises.reaction, history.end)
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


def stale(history: History, promises: Promises) -> Iterator[Violation]:
    """After settling no directory says that it is out of touch."""
    for process, at, view in _settled_views(history, promises):
        if view is not None and view.stale:
            yield Violation(at, "stale", f"{_name(process)} says that it can't see the registry")


def _visible(view: Viewed | None) -> Iterator[Sight]:
    return iter(()) if view is None else (sight for sight in view.sights if not sight.superseded)


def _name(process: Process) -> str:
    return process.started.process
