"""What holds for every test: a bare environment, and nothing left behind."""

import asyncio
import gc
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from peerage.testing.zookeeper import ZooKeeperServer
from peerage.testing.zookeeper.harness import shared_server

#: Seconds that something on its way out may take; only a leak waits so long.
_PATIENCE = 3.0

_VARIABLES = ("SERVICE_ID", "INSTANCE_ID", "NODE_ID", "SITE_ID", "ASAB_HOSTNAME")

# A shared machine is slow at times, which says nothing about the code under test.
settings.register_profile("dev", deadline=None)
# The same examples for everybody: a red build is about the change that was pushed.
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """No test sees who the machine or the developer says it is."""
    for name in tuple(os.environ):
        if name in _VARIABLES or name.startswith("PEERAGE_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def zookeeper() -> ZooKeeperServer:
    """A real server that all tests share which don't harm it."""
    return shared_server()


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a task, a thread or a descriptor behind."""
    asynchronous = request.node.get_closest_marker("asyncio") is not None
    if asynchronous:
        # First, because it makes the event loop: that and its executor are closed after this fixture.
        request.getfixturevalue("_no_task_left_behind")
    threads, descriptors = set(threading.enumerate()), _descriptors()
    yield

    def leaked(thread: threading.Thread) -> bool:
        return thread not in threads and not (asynchronous and thread.name.startswith("asyncio_"))

    def leaks() -> list[str]:
        return [
            *(f"thread {thread.name}" for thread in threading.enumerate() if leaked(thread)),
            *(f"descriptor {number}: {what}" for number, what in sorted(_descriptors() - descriptors)),
        ]

    left = _settled(leaks)
    assert not left, f"left behind: {', '.join(left)}"


@pytest.fixture
async def _no_task_left_behind() -> AsyncIterator[None]:
    # Whatever runs before the test is its fixtures', of a wider scope.
    before = asyncio.all_tasks()
    yield
    deadline = time.monotonic() + _PATIENCE
    while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {', '.join(sorted(map(str, left)))}")
        await asyncio.sleep(0.001)


def _settled(leaks: Callable[[], list[str]]) -> list[str]:
    """Return what is still there once nothing goes any more."""
    deadline = time.monotonic() + _PATIENCE
    while left := leaks():
        if time.monotonic() > deadline:
            break
        # A socket in a cycle is closed by the collector; that it is closed at all is for -W error to judge.
        gc.collect()
        time.sleep(0.005)
    return left


def _descriptors() -> set[tuple[int, str]]:
    found = set()
    for entry in Path("/proc/self/fd").iterdir() if Path("/proc/self/fd").exists() else ():
        try:
            found.add((int(entry.name), str(entry.readlink())))
        except OSError:
            continue  # the descriptor by which the folder itself was read
    return found
