"""Every test runs in a bare environment and must leave nothing open."""

import asyncio
import gc
import logging
import os
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
import pytest_asyncio
from hypothesis import settings

from peerage.testing.zookeeper import ZooKeeperServer
from peerage.testing.zookeeper.harness import shared_server

#: Seconds within which tasks, threads and descriptors must have ended.
_PATIENCE = 10.0

_VARIABLES = ("SERVICE_ID", "INSTANCE_ID", "NODE_ID", "SITE_ID", "ASAB_HOSTNAME")

# A shared machine is slow at times, so no example has a deadline.
settings.register_profile("dev", deadline=None)
# The same examples in each run of CI, so that a failure is caused by the change that was pushed.
settings.register_profile("ci", deadline=None, derandomize=True, database=None, print_blob=True)
settings.load_profile("ci" if os.environ.get("CI") else "dev")


def pytest_configure(config: pytest.Config) -> None:
    """Load the plugin of peerage from these sources if the installed package is older and doesn't name it."""
    if not config.pluginmanager.has_plugin("peerage"):
        config.pluginmanager.import_plugin("peerage.testing.plugin")
    # How long a callback took on a busy machine is no fault of what is tested, and would be in its log.
    logging.getLogger("asyncio").addFilter(lambda record: not record.msg.startswith("Executing %s took"))


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Iterator[None]:
    """Spare Python's garbage collector the thousands of objects that the collected tests are.

    It doesn't run while they are made, and never looks at them later.
    """
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out the files without the mark for which ``scripts/test alone`` asks: few files have it."""
    if config.getoption("markexpr").endswith("and alone") and collection_path.name.startswith("test_"):
        return "mark.alone" not in collection_path.read_text(encoding="utf-8") or None
    return None


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove the names and settings of the machine from the environment, and keep its disk free of caches."""
    for name in tuple(os.environ):
        if name in _VARIABLES or name.startswith("PEERAGE_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("PEERAGE_DISK_CACHE", "off")


@pytest.fixture(scope="session")
def zookeeper() -> ZooKeeperServer:
    """A real server, shared by the tests that don't disturb it."""
    return shared_server()


@pytest.fixture(autouse=True)
def nothing_left_behind(request: pytest.FixtureRequest) -> Iterator[None]:
    """Fail a test that leaves a task, a thread or a descriptor behind."""
    marker = request.node.get_closest_marker("asyncio")
    asynchronous = marker is not None
    if marker is not None:
        # First, because it makes the event loop: that and its executor are closed after this fixture.
        scope = marker.kwargs.get("loop_scope", "function")
        request.getfixturevalue("_no_task_left_behind" if scope == "function" else "_no_task_left_in_session")
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
    async with _tasks_must_end():
        yield


@pytest_asyncio.fixture(loop_scope="session")
async def _no_task_left_in_session() -> AsyncIterator[None]:
    async with _tasks_must_end():
        yield


@asynccontextmanager
async def _tasks_must_end() -> AsyncIterator[None]:
    # Tasks that run before the test belong to fixtures of a wider scope.
    before = asyncio.all_tasks()
    yield
    deadline = time.monotonic() + _PATIENCE
    while left := asyncio.all_tasks() - before - {asyncio.current_task()}:
        if time.monotonic() > deadline:
            pytest.fail(f"left behind: {', '.join(sorted(map(str, left)))}")
        await asyncio.sleep(0.001)


def _settled(leaks: Callable[[], list[str]]) -> list[str]:
    """Return what is still open after a while."""
    deadline = time.monotonic() + _PATIENCE
    while left := leaks():
        if time.monotonic() > deadline:
            break
        # The collector closes a socket in a cycle, with a warning that -W error makes a failure.
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
