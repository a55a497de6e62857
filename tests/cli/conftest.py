"""The real command and real services, as child processes on an embedded registry for each test."""

import os
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import NamedTuple, Protocol

import pytest

from peerage.testing.children import Child, run

_SERVICE = Path(__file__).with_name("service.py")

#: Seconds that a hanging command has; none comes near it.
PATIENCE = 60


class Result(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


class Peerage(Protocol):
    async def __call__(self, *args: str, stdin: str | None = None) -> Result: ...


class Start(Protocol):
    async def __call__(self, *args: str) -> Child: ...


class Serve(Protocol):
    async def __call__(self, name: str = "", *records: str) -> "Service": ...


class Service:
    """A running service that is advertised.

    Args:
        child: its process.
        url: where it serves; ``ready`` if it advertises records that were given.
    """

    def __init__(self, child: Child, url: str) -> None:
        self.url = url
        self.line = child.line
        self.tell = child.tell
        self.kill = child.reap


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's registry and of its temporary files."""
    monkeypatch.setenv("PEERAGE_DIR", str(tmp_path / "registry"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("ASAB_HOSTNAME", "node-1.example")
    return tmp_path


@pytest.fixture
async def started() -> AsyncIterator[Start]:
    """Start the command and don't wait for its end."""
    async with AsyncExitStack() as stack:

        async def start(*args: str) -> Child:
            return await stack.enter_async_context(run(*command(*args), patience=PATIENCE))

        yield start


@pytest.fixture
def peerage(started: Start) -> Peerage:
    """Run the command to its end."""

    async def run_to_end(*args: str, stdin: str | None = None) -> Result:
        child = await started(*args)
        if stdin is not None:
            await child.tell(stdin)
        return await ended(child)

    return run_to_end


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port on which no process listens during the test."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
async def serve() -> AsyncIterator[Serve]:
    """Start a service, or a process that advertises the given records; return once it is advertised."""
    async with AsyncExitStack() as stack:

        async def start(name: str = "shop-1", *records: str) -> Service:
            ids = {"SERVICE_ID": name.partition("-")[0], "INSTANCE_ID": name}
            child = await stack.enter_async_context(
                run(sys.executable, _SERVICE, *records, environ={**os.environ, **ids}, patience=PATIENCE)
            )
            return Service(child, await child.line())

        yield start


def command(*args: str) -> list[str]:
    """Return how to call the command, with everything it leaves unclosed as an error on stderr."""
    return [sys.executable, "-W", "error", "-m", "peerage", *args]


async def ended(child: Child) -> Result:
    """Wait until a command ends, its standard input closed."""
    code, out = await child.end()
    return Result(code, out, child.log)


async def interrupted(child: Child) -> Result:
    """Press Ctrl-C, and wait until the command ends."""
    child.signal(signal.SIGINT)
    return await ended(child)


async def until(child: Child, holds: Callable[[str], bool]) -> str:
    """Return the first line of output that *holds*."""
    while not holds(line := await child.line()):
        pass
    return line


def close_output(child: Child) -> None:
    """Close the pipe that the command writes to."""
    # asyncio has no public name for the pipe of one stream.
    child._process._transport.get_pipe_transport(1).close()
