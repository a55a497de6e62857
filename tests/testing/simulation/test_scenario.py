"""Simulated clusters keep what is promised, and a schedule always does the same."""

import os
import subprocess
import sys
from typing import Any

import pytest

from peerage.membership import Membership
from peerage.registry import Removal, open_registry
from peerage.testing.simulation.__main__ import main, simulate_some
from peerage.testing.simulation.observing import TracingDiscovery
from peerage.testing.simulation.scenario import run
from peerage.testing.simulation.schedule import Action, Schedule, draw
from peerage.testing.simulation.trace import CallEnded, to_line

#: Prints the traces of some schedules.
PROGRAM = """
from peerage.testing.simulation.scenario import run
from peerage.testing.simulation.schedule import draw
from peerage.testing.simulation.trace import to_line
for seed in (1, 5, 7):
    for event in run(draw(seed)).trace:
        print(to_line(event))
"""

#: A service loses touch with the registry, and another instance of it is started meanwhile.
OUTAGE = Schedule(
    1,
    "embedded",
    (("orders", 2), ("prices", 1)),
    1,
    (Action(3.0, "crash", ("orders-2",), 2.0), Action(4.0, "outage", ("registry",), 8.0)),
)


def test_no_promise_is_broken():
    _, failed = simulate_some(range(25))
    assert failed == []


@pytest.mark.long
@pytest.mark.timeout(600)
def test_no_promise_is_broken_in_many_schedules():
    """All kinds of faults and all pairs of them happen; else the command fails, too."""
    command = [sys.executable, "-m", "peerage.testing.simulation", "--schedules", "2000"]
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout + ended.stderr


def test_a_schedule_has_the_same_trace_in_each_process():
    printed = {
        subprocess.run(
            [sys.executable, "-c", PROGRAM],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }
    assert len(printed) == 1
    assert printed.pop().count(b"\n") > 200


def test_a_schedule_has_the_same_trace_again_in_one_process():
    first, second = (["".join(map(to_line, run(draw(7)).trace))] for _ in range(2))
    assert first == second


def test_calls_are_answered_in_a_cluster_without_faults():
    calls = [
        event
        for event in run(Schedule(1, "embedded", (("orders", 2),), 1)).trace
        if isinstance(event, CallEnded)
    ]
    assert len(calls) > 5
    assert not any(call.error for call in calls)


@pytest.mark.parametrize("url", ["zookeeper://127.0.0.1:1", "memory:observed"])
def test_observed_registries_remove_records_if_they_do_unobserved(url):
    """Else no simulated service would remove the record of its predecessor."""
    registry = open_registry(url)
    discovery = TracingDiscovery(registry, process="shop-1.1", write=[].append, clock=lambda: 0.0)
    assert isinstance(discovery.registry, Removal) == isinstance(registry, Removal) == ("zoo" in url)


class TestCommand:
    def test_it_prints_what_was_covered(self, capsys):
        assert main(["--schedules", "3", "--jobs", "1", "--registry", "embedded"]) == 0
        assert "3 schedules with" in (printed := capsys.readouterr().out)
        assert "0 broke a promise" in printed

    def test_a_token_is_replayed(self, capsys):
        assert main(["--replay", OUTAGE.token, "--trace"]) == 0
        printed = capsys.readouterr().out
        assert '"kind": "outage"' in printed
        assert printed.endswith("No promise was broken.\n")

    def test_another_text_is_no_token(self, capsys):
        assert main(["--replay", "x"]) == 2
        assert "no token" in capsys.readouterr().err

    def test_a_broken_promise_is_shrunk_and_replayed(self, capsys, monkeypatch: pytest.MonkeyPatch):
        lose = Membership._lose

        def forget(membership: Membership, reason: str, **how: Any) -> None:
            lose(membership, reason, **how)
            for name in membership.directory.names():
                membership.directory.remove(name, withdrawn=True)

        monkeypatch.setattr(Membership, "_lose", forget)
        seed = next(n for n in range(100) if "outage" in {each.kind for each in draw(n, "embedded").actions})
        assert main(["--schedules", "1", "--seed", f"{seed}", "--jobs", "1", "--registry", "embedded"]) == 1
        printed = capsys.readouterr().out
        assert "emptied" in printed
        shrunk = printed.partition("Shrunk: ")[2]
        assert "outage registry" in shrunk
        token = shrunk.partition("--replay ")[2].split("\n")[0]
        assert main(["--replay", token]) == 1
        monkeypatch.undo()
        assert main(["--replay", token]) == 0
