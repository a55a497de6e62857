import os
import subprocess
import sys
from collections import Counter
from dataclasses import replace

import pytest

from peerage.testing.simulation.schedule import (
    KINDS,
    SERVERS,
    Action,
    Schedule,
    draw,
    pairs,
    pairs_of,
    read_token,
)
from peerage.testing.simulation.shrink import shrink
from peerage.testing.simulation.trace import REGISTRY

SCHEDULE = Schedule(
    7,
    "zookeeper",
    (("orders", 2), ("prices", 1)),
    2,
    (
        Action(3.0, "crash", ("orders-1",), 2.0),
        Action(3.5, "partition", ("node-2", REGISTRY), 0.123),
        Action(30.0, "clock jump", ("shop-1",), amount=-60.0),
    ),
)


def test_a_token_says_all_of_a_schedule():
    for schedule in [SCHEDULE, *map(draw, range(100))]:
        assert read_token(schedule.token) == schedule


@pytest.mark.parametrize("token", ["", "x", SCHEDULE.token[:-5], "peerage1.AAAA", SCHEDULE.token[1:]])
def test_another_text_is_refused_and_the_error_says_what_to_do(token):
    with pytest.raises(ValueError, match=r"is no token of a schedule: .* Copy all of it"):
        read_token(token)


def test_a_token_of_another_version_is_refused():
    strange = replace(SCHEDULE, actions=(Action(3.0, "earthquake", ("orders-1",)),))
    for schedule in (strange, replace(SCHEDULE, registry="etcd")):
        with pytest.raises(ValueError, match="doesn't know"):
            read_token(schedule.token)


def test_a_seed_draws_the_same_schedule_in_each_process():
    code = "from peerage.testing.simulation.schedule import draw; print([draw(n).token for n in range(20)])"
    printed = {
        subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
            text=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert printed == {f"{[draw(number).token for number in range(20)]}\n"}


def test_each_kind_and_each_pair_of_kinds_is_drawn_in_2000_schedules():
    kinds, found = Counter(), Counter()
    for schedule in map(draw, range(2000)):
        kinds.update(action.kind for action in schedule.actions)
        found.update(pairs_of(schedule))
    assert kinds.keys() == KINDS.keys()
    assert found.keys() == pairs()


def test_what_is_drawn_fits_the_cluster():
    for schedule in map(draw, range(300)):
        assert list(schedule.actions) == sorted(schedule.actions, key=lambda action: action.at)
        for action in schedule.actions:
            kind = KINDS[action.kind]
            assert schedule.registry in kind.registries
            assert kind.shortest <= action.seconds <= kind.longest
            assert {*action.targets} <= {*schedule.processes, *schedule.machines, *SERVERS, REGISTRY}
            assert len({*action.targets}) == (2 if kind.target == "link" else 1)


def test_each_process_has_a_machine():
    assert SCHEDULE.machines == {
        "node-1": ("orders-1", "shop-1"),
        "node-2": ("orders-2", "shop-2"),
        "node-3": ("prices-1",),
    }
    assert replace(SCHEDULE, registry="embedded").machines == {"node-1": SCHEDULE.processes}


def test_pairs_are_those_that_meet():
    assert pairs_of(SCHEDULE) == {("crash", "partition")}
    assert ("partition", "partition") in pairs()
    assert ("partition", "partition") not in pairs("embedded")


def test_a_schedule_is_shown_with_one_action_a_line():
    assert f"{SCHEDULE}" == (
        "zookeeper registry, 2 × orders, 1 × prices, 2 × shop, seed 7\n"
        "    3.000 s  crash orders-1 for 2 s\n"
        "    3.500 s  partition node-2 and registry for 0.123 s\n"
        "   30.000 s  clock jump shop-1 by -60 s"
    )


class TestShrinking:
    def test_the_actions_that_matter_are_left_as_short_as_may_be(self):
        def fails(schedule: Schedule) -> bool:
            return any(each.kind == "partition" and each.seconds > 0.5 for each in schedule.actions)

        schedule = next(each for each in map(draw, range(1000)) if len(each.actions) > 3 and fails(each))
        shrunk = shrink(schedule, fails)
        (action,) = shrunk.actions
        assert action.kind == "partition"
        assert 0.5 < action.seconds <= 1.0
        assert shrunk.callers == 1 or "shop-2" in action.targets

    def test_two_actions_that_matter_together_are_both_left(self):
        def fails(schedule: Schedule) -> bool:
            return {"crash", "clock jump"} <= {each.kind for each in schedule.actions}

        assert [each.kind for each in shrink(SCHEDULE, fails).actions] == ["crash", "clock jump"]

    def test_it_ends_after_so_many_trials_with_a_schedule_that_fails(self):
        tried = []

        def fails(schedule: Schedule) -> bool:
            tried.append(schedule)
            return len(schedule.actions) > 1

        shrunk = shrink(SCHEDULE, fails, trials=3)
        assert len(tried) == 3
        assert len(shrunk.actions) == 2

    def test_a_schedule_that_cant_be_smaller_stays_as_it_is(self):
        assert shrink(SCHEDULE, lambda schedule: schedule == SCHEDULE) == SCHEDULE

    def test_a_schedule_that_fails_without_any_action_is_left_without(self):
        assert shrink(SCHEDULE, lambda _: True).actions == ()

    def test_a_process_that_an_action_needs_isnt_left_out(self):
        schedule = replace(SCHEDULE, actions=(Action(3.0, "stop", ("shop-2",), 0.1),))
        shrunk = shrink(schedule, lambda candidate: bool(candidate.actions))
        assert shrunk.callers == 2
        assert dict(shrunk.services) == {"orders": 1, "prices": 1}
