"""The real command and real services, as processes on an embedded registry of each test's own."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Protocol

import pytest

_SERVICE = Path(__file__).with_name("service.py")

#: Seconds that a hanging command has; none comes near it.
PATIENCE = 60


class Run(Protocol):
    def __call__(self, *args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]: ...


class Start(Protocol):
    def __call__(self, *args: str) -> "Running": ...


class Serve(Protocol):
    def __call__(self, name: str = "", *records: str) -> "Running": ...


class Running:
    """A process that says something line by line until it is ended."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def line(self) -> str:
        """Return what it says next."""
        line = self.process.stdout.readline()
        assert line, f"it ended: {self.process.stderr.read()}"
        return line.rstrip("\n")

    def until(self, holds: Callable[[str], bool]) -> str:
        """Return the first line that *holds*."""
        while not holds(line := self.line()):
            pass
        return line

    def say(self, line: str) -> None:
        """Write *line* to its stdin."""
        self.process.stdin.write(f"{line}\n")
        self.process.stdin.flush()

    def interrupt(self) -> tuple[int, str, str]:
        """Press Ctrl-C and return its exit code and the rest of what it said."""
        self.process.send_signal(signal.SIGINT)
        return self.end()

    def kill(self) -> None:
        """Kill it as nothing can be that is asked."""
        self.process.kill()
        self.end()

    def end(self) -> tuple[int, str, str]:
        """Close its stdin, wait for its end and return exit code, stdout and stderr."""
        out, err = self.process.communicate(timeout=PATIENCE)
        return self.process.returncode, out, err


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of this test's registry and of its temporary files."""
    monkeypatch.setenv("PEERAGE_DIR", str(tmp_path / "registry"))
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("ASAB_HOSTNAME", "node-1.example")
    return tmp_path


@pytest.fixture
def peerage() -> Run:
    """Run the command to its end."""

    def run(*args: str, stdin: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command(*args), input=stdin, capture_output=True, text=True, check=False, timeout=PATIENCE
        )

    return run


@pytest.fixture
def free_port() -> Iterator[int]:
    """A port on which nobody listens, and nobody will."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


@pytest.fixture
def started() -> Iterator[Start]:
    """Start the command and don't wait for its end."""
    with ExitStack() as stack:
        yield lambda *args: stack.enter_context(_running(command(*args)))


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Start a service, or a process that advertises the given records as they are; it is advertised then."""
    with ExitStack() as stack:

        def start(name: str = "shop-1", *records: str) -> Running:
            ids = {"SERVICE_ID": name.partition("-")[0], "INSTANCE_ID": name}
            argv = [sys.executable, str(_SERVICE), *records]
            return stack.enter_context(_running(argv, env={**os.environ, **ids}))

        yield start


def command(*args: str) -> list[str]:
    """Return how to call the command, with everything it leaves unclosed as an error on stderr."""
    return [sys.executable, "-W", "error", "-m", "peerage", *args]


@contextmanager
def _running(argv: list[str], env: dict[str, str] | None = None) -> Iterator[Running]:
    pipe = subprocess.PIPE
    with subprocess.Popen(argv, stdin=pipe, stdout=pipe, stderr=pipe, text=True, env=env) as process:
        try:
            yield Running(process)
        finally:
            process.kill()
