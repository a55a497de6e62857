"""Starts the processes of the benchmarks and sends them commands; :mod:`benchmarks.probe` lists those."""

import asyncio
import json
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, Final

from peerage.testing.children import Child, run
from peerage.testing.zookeeper import ZooKeeperServer

__all__ = [
    "LIBRARIES",
    "OURS",
    "PYTHON",
    "ROOT",
    "THEIRS",
    "Process",
    "cpu_of",
    "fixture",
    "running",
    "started",
]

ROOT: Final = Path(__file__).parent.parent

#: The interpreter of the original, in a virtual environment that the Makefile makes.
PYTHON: Final = Path(os.environ.get("ASAB_PYTHON") or ROOT / ".venv-asab/bin/python")

OURS: Final = "peerage"
THEIRS: Final = "asab 25.15"
LIBRARIES: Final = (OURS, THEIRS)


class Process:
    """A child process that is driven by blocking calls.

    Args:
        runner: runs the calls; while none is made, nothing happens in this process.
        child: the process.
    """

    def __init__(self, runner: asyncio.Runner, child: Child) -> None:
        self._runner = runner
        self._child = child

    def tell(self, *command: Any) -> None:
        """Send a command: a line with a JSON list."""
        self._runner.run(self._child.tell(json.dumps(command)))

    def write(self, line: object) -> None:
        """Send a line as it is."""
        self._runner.run(self._child.tell(str(line)))

    def hear(self) -> Any:
        """Return the next answer, which is JSON."""
        answer = self._runner.run(self._child.hear())
        for each in answer if isinstance(answer, list) else [answer]:
            assert not (isinstance(each, dict) and "error" in each), each
        return answer

    def ask(self, *command: Any) -> Any:
        """Send a command and return its answer."""
        self.tell(*command)
        return self.hear()


def started(library: str, servers: str, count: int | None = None) -> AbstractContextManager[Process]:
    """Start one client of a library, or a fleet of so many."""
    python, module = (None, "peerageworker") if library == OURS else (PYTHON, "originalworker")
    return running(module, servers, *([] if count is None else [str(count)]), python=python)


def fixture(role: str, *args: str) -> AbstractContextManager[Process]:
    """Start a server or a holder of records that all libraries use; see :mod:`benchmarks.fixtures`."""
    return running("fixtures", role, *args)


@contextmanager
def running(
    module: str, *args: str, python: Path | None = None, environ: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """Run a module of the benchmarks, by default with the Python and the environment of this process."""
    python = python or Path(sys.executable)
    assert os.access(python, os.X_OK), (
        f"{python} doesn't exist: `make bench` makes it, or name it in ASAB_PYTHON"
    )
    command = (python, "-m", f"benchmarks.{module}", *args)
    child = run(*command, environ=environ, cwd=ROOT, patience=None)
    with asyncio.Runner() as runner:
        process = Process(runner, runner.run(child.__aenter__()))
        try:
            yield process
        finally:
            runner.run(child.__aexit__(None, None, None))


def cpu_of(server: ZooKeeperServer) -> float:
    """Return the CPU seconds of the server's process."""
    assert server._process is not None
    fields = Path(f"/proc/{server._process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
