"""``peerage demo``: real processes, of which one is killed."""

import os
import re
import signal
from contextlib import suppress
from pathlib import Path

import aiohttp
import psutil
import pytest
from tests.cli.conftest import close_output, ended, interrupted, until


def family(pid: int) -> list[psutil.Process]:
    """Return the processes that *pid* has started."""
    return psutil.Process(pid).children(recursive=True)


def assert_ended(processes: list[psutil.Process]) -> None:
    """Fail if one of *processes* doesn't end; orphans may stay zombies where no init reaps them."""
    _, alive = psutil.wait_procs(processes, timeout=20)
    assert not [each for each in alive if each.status() != psutil.STATUS_ZOMBIE]


def left_in(folder: Path) -> list[str]:
    """Return the names of temporary folders that are still there."""
    return [entry.name for entry in folder.iterdir() if entry.name.startswith("peerage-demo-")]


async def test_no_call_fails_while_one_is_killed_and_one_joins(peerage, folder):
    result = await peerage("demo", "--seconds", "6")
    assert (result.code, result.err) == (0, "")
    for sentence in (
        r"pricing-1 joined \(pid \d+\)",
        r"killing pricing-1 with SIGKILL",
        r"pricing-1 is gone from the registry",
        r"pricing-4 gave its first answer",
        r"[\d,]+ calls in [\d.]+ s \(\d+/s\), 0 failed",
        r"pricing-1 +[\d,]+ answers  killed, gone from the registry after [\d.]+ ms",
        r"pricing-4 +[\d,]+ answers  joined later, its first answer after [\d.]+ ms",
        r"No call failed, and every instance answered\.",
        r"See it in a browser as well: peerage demo --page, or make demo ARGS=--page",
    ):
        assert re.search(sentence, result.out), sentence
    assert not any(psutil.pid_exists(int(pid)) for pid in re.findall(r"joined \(pid (\d+)\)", result.out))
    assert not left_in(folder)


@pytest.mark.long
async def test_no_call_fails_on_a_zookeeper(zookeeper, peerage):
    """The record of a killed service stays until its session ends; calls go to the others meanwhile."""
    url = f"zookeeper://{zookeeper.address}/demo-{os.getpid()}?session_timeout=3"
    result = await peerage("demo", "--seconds", "12", "--registry", url)
    assert result.code == 0, result.err
    for sentence in (
        r"[\d,]+ calls in [\d.]+ s \(\d+/s\), 0 failed",
        r"pricing-1 +[\d,]+ answers  killed, gone from the registry after [\d.]+ ms",
        r"pricing-4 +[\d,]+ answers  joined later, its first answer after [\d.]+ ms",
    ):
        assert re.search(sentence, result.out), sentence


async def test_ctrl_c_ends_it_and_its_children(started, folder):
    running = await started("demo", "--seconds", "600")
    await until(running, lambda line: "calls" in line)
    children = family(running.pid)
    assert len(children) == 4
    code, _, errors = await interrupted(running)
    assert (code, errors) == (130, "")
    assert not any(child.is_running() for child in children)
    assert not left_in(folder)


@pytest.mark.long
async def test_the_page_shows_what_the_demo_shows(started):
    running = await started("demo", "--page", "--seconds", "600")
    url = (await until(running, lambda line: "The page" in line)).rpartition(" ")[2]
    async with aiohttp.ClientSession() as session, session.get(f"{url}v1/changes") as stream:
        shown = b""
        while not all(b'"%b"' % name in shown for name in (b"pricing-1", b"pricing-2", b"pricing-3")):
            shown += await stream.content.readany()
        code, _, errors = await interrupted(running)
    assert (code, errors) == (130, "")


async def test_its_children_end_when_it_is_killed(started):
    running = await started("demo")
    await until(running, lambda line: "calls" in line)
    children = family(running.pid)
    await running.reap()
    assert_ended(children)


async def test_a_child_that_cannot_start_is_reported(peerage, folder, monkeypatch):
    monkeypatch.setenv("PEERAGE_ADDRESSES", "nonsense")
    result = await peerage("demo", "--seconds", "600")
    assert result.code == 1
    assert re.match(r"peerage: pricing-\d ended with code 1\.\n", result.err)
    assert "PEERAGE_ADDRESSES" in result.err
    assert "Traceback" not in result.err
    assert not left_in(folder)


async def test_it_ends_when_a_child_dies(started, folder):
    running = await started("demo", "--seconds", "600")
    await until(running, lambda line: "calls" in line)
    victim = next(child for child in family(running.pid) if "pricing-2" in child.environ().values())
    victim.kill()
    code, _, errors = await ended(running)
    assert code == 1
    assert f"pricing-2 ended with code {-signal.SIGKILL}" in errors
    assert not left_in(folder)


async def test_it_ends_quietly_when_its_output_is_closed(started, folder):
    running = await started("demo", "--seconds", "600")
    await running.line()
    close_output(running)
    result = await ended(running)
    assert (result.code, result.err) == (128 + signal.SIGPIPE, "")
    assert not left_in(folder)


@pytest.fixture(autouse=True)
def no_process_stays():
    """End what a failed test has left running, but not the server that all tests share."""
    before = set(psutil.Process().children(recursive=True))
    yield
    for process in set(psutil.Process().children(recursive=True)) - before:
        with suppress(psutil.NoSuchProcess):
            process.kill()
