"""Finds the smallest schedule that still fails, by delta debugging (Zeller and Hildebrandt, 2002); pure."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

from peerage.testing.simulation.schedule import Action, Schedule

#: Simulations that shrinking may take.
TRIALS: Final = 150

#: What a duration becomes when it is shortened, and below which it isn't shortened any more, in seconds.
_SHORTER: Final = 0.5
_SHORT: Final = 0.1


def shrink(schedule: Schedule, fails: Callable[[Schedule], bool], trials: int = TRIALS) -> Schedule:
    """Return a schedule that fails as *schedule* does, with as few actions, as short, as possible.

    Args:
        schedule: fails.
        fails: simulates a schedule, and tells whether that fails as well.
        trials: how often *fails* may be called.
    """
    left = trials

    def does_fail(candidate: Schedule) -> bool:
        nonlocal left
        left -= 1
        return left >= 0 and fails(candidate)

    smaller: Schedule | None = schedule
    while smaller is not None and left > 0:
        schedule = smaller
        smaller = next(filter(does_fail, _smaller(schedule)), None)
    return schedule


def _smaller(schedule: Schedule) -> Iterator[Schedule]:
    """Yield schedules that are a little smaller, the smallest first."""
    actions = schedule.actions
    size = len(actions)
    while size:
        for begin in range(0, len(actions), size):
            yield replace(schedule, actions=actions[:begin] + actions[begin + size :])
        size //= 2
    if schedule.rest:
        yield replace(schedule, rest=0.0)
    if schedule.callers > 1 and not _mentions(schedule, f"shop-{schedule.callers}"):
        yield replace(schedule, callers=schedule.callers - 1)
    for number, (service, count) in enumerate(schedule.services):
        if count > 1 and not _mentions(schedule, f"{service}-{count}"):
            services = [*schedule.services]
            services[number] = service, count - 1
            yield replace(schedule, services=tuple(services))
    for number, action in enumerate(actions):
        for simpler in _simpler(action):
            yield replace(schedule, actions=(*actions[:number], simpler, *actions[number + 1 :]))


def _simpler(action: Action) -> Iterator[Action]:
    if action.seconds > _SHORT:
        yield replace(action, seconds=round(action.seconds * _SHORTER, 3))
    if action.seconds != round(action.seconds, 1):
        yield replace(action, seconds=round(action.seconds, 1))
    if action.at != round(action.at, 1):
        yield replace(action, at=round(action.at, 1))


def _mentions(schedule: Schedule, process: str) -> bool:
    return any(process in action.targets for action in schedule.actions)
