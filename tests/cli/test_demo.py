"""``peerage demo``: real processes, of which one is killed."""

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import psutil
import pytest


def family(pid: int) -> list[psutil.Process]:
    """Return the processes that *pid* has started."""
    return psutil.Process(pid).children(recursive=True)


def assert_ended(processes: list[psutil.Process]) -> None:
    """Fail if one of *processes* doesn't end; orphans may stay zombies where no init reaps them."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def left_in(place: Path) -> list[str]:
    """Return the names of temporary folders that are still there."""
    return [entry.name for entry in place.iterdir() if entry.name.startswith("peerage-demo-")]


def test_no_call_fails_while_one_is_killed_and_one_joins(peerage, place):
    result = peerage("demo", "--seconds", "6")
    assert (result.returncode, result.stderr) == (0, "")
    for sentence in (
        r"pricing-1 joined \(pid \d+\)",
        r"killing pricing-1 with SIGKILL",
        r"pricing-1 is gone from the registry",
        r"pricing-4 gave its first answer",
        r"[\d,]+ calls in [\d.]+ s \(\d+/s\), 0 failed",
        r"pricing-1 +[\d,]+ answers  killed, gone from the registry after [\d.]+ ms",
        r"pricing-4 +[\d,]+ answers  joined later, its first answer after [\d.]+ ms",
        r"No call failed, and every instance answered\.",
    ):
        assert re.search(sentence, result.stdout), sentence
    assert not any(psutil.pid_exists(int(pid)) for pid in re.findall(r"joined \(pid (\d+)\)", result.stdout))
    assert not left_in(place)


def test_no_call_fails_on_a_zookeeper(zookeeper, peerage):
    """A killed service stands in the registry until its session is over: calls go elsewhere meanwhile."""
    url = f"zookeeper://{zookeeper.address}/demo-{os.getpid()}?session_timeout=3"
    result = peerage("demo", "--seconds", "12", "--registry", url)
    assert result.returncode == 0, result.stderr
    for sentence in (
        r"[\d,]+ calls in [\d.]+ s \(\d+/s\), 0 failed",
        r"pricing-1 +[\d,]+ answers  killed, gone from the registry after [\d.]+ ms",
        r"pricing-4 +[\d,]+ answers  joined later, its first answer after [\d.]+ ms",
    ):
        assert re.search(sentence, result.stdout), sentence


def test_ctrl_c_ends_all_of_it(started, place):
    running = started("demo", "--seconds", "600")
    running.until(lambda line: "calls" in line)
    children = family(running.process.pid)
    assert len(children) == 4
    code, _, errors = running.interrupt()
    assert (code, errors) == (130, "")
    assert not any(child.is_running() for child in children)
    assert not left_in(place)


def test_killed_it_takes_its_children_along(started):
    running = started("demo")
    running.until(lambda line: "calls" in line)
    children = family(running.process.pid)
    running.kill()
    assert_ended(children)


def test_a_child_that_cannot_start_says_why(peerage, place, monkeypatch):
    monkeypatch.setenv("PEERAGE_ADDRESSES", "nonsense")
    result = peerage("demo", "--seconds", "600")
    assert result.returncode == 1
    assert re.match(r"peerage: pricing-\d ended with code 1\.\n", result.stderr)
    assert "PEERAGE_ADDRESSES" in result.stderr
    assert "Traceback" not in result.stderr
    assert not left_in(place)


def test_a_child_that_dies_ends_it(started, place):
    running = started("demo", "--seconds", "600")
    running.until(lambda line: "calls" in line)
    victim = next(child for child in family(running.process.pid) if "pricing-2" in child.environ().values())
    victim.kill()
    code, _, errors = running.end()
    assert code == 1
    assert f"pricing-2 ended with code {-signal.SIGKILL}" in errors
    assert not left_in(place)


def test_a_reader_that_goes_away_ends_it_quietly(started, place):
    running = started("demo", "--seconds", "600")
    running.line()
    running.process.stdout.close()
    assert running.process.wait(60) == 128 + signal.SIGPIPE
    assert running.process.stderr.read() == ""
    assert not left_in(place)


@pytest.fixture(autouse=True)
def nobody_stays():
    """End whatever a failed test has left running; not the server that all tests share."""
    before = set(psutil.Process().children(recursive=True))
    yield
    for process in set(psutil.Process().children(recursive=True)) - before:
        with suppress(psutil.NoSuchProcess):
            process.kill()
