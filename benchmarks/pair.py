"""Starts and tells the processes of both sides; see :mod:`benchmarks.side` for what they understand."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

__all__ = ["OURS", "PYTHON", "SIDES", "THEIRS", "Process", "running", "started", "third"]

_ROOT: Final = Path(__file__).parent.parent

#: The interpreter of the original; the doors make its environment.
PYTHON: Final = Path(os.environ.get("ASAB_PYTHON") or _ROOT / ".venv-asab/bin/python")

OURS: Final = "peerage"
THEIRS: Final = "asab 25.15"
SIDES: Final = (OURS, THEIRS)


class Process:
    """One process of a side, or the head of a crowd."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._process = process

    def tell(self, *command: Any) -> None:
        """Have it do something."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(command) + "\n")
        self._process.stdin.flush()

    def hear(self) -> Any:
        """Return what it answers."""
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        assert line, "a process ended early; its standard error says why"
        answer = json.loads(line)
        for each in answer if isinstance(answer, list) else [answer]:
            assert not (isinstance(each, dict) and "error" in each), each
        return answer

    def ask(self, *command: Any) -> Any:
        """Have it do something, and return what it answers."""
        self.tell(*command)
        return self.hear()


@contextmanager
def started(side: str, servers: str, count: int | None = None) -> Iterator[Process]:
    """Start one client of a side, or a crowd; it ends in the end."""
    python, module = (None, "peerageworker") if side == OURS else (PYTHON, "originalworker")
    with running(python, module, servers, *([] if count is None else [str(count)])) as process:
        yield process


@contextmanager
def third(role: str, *args: str) -> Iterator[Process]:
    """Start what serves both sides; see :mod:`benchmarks.thirdparty`."""
    with running(None, "thirdparty", role, *args) as process:
        yield process


@contextmanager
def running(python: Path | None, module: str, *args: str) -> Iterator[Process]:
    """Start a module of the benchmarks that is told by lines, by default with the Python of this process."""
    python = python or Path(sys.executable)
    assert os.access(python, os.X_OK), (
        f"{python} isn't there: `make bench` makes it, or name it in ASAB_PYTHON"
    )
    process = subprocess.Popen(
        [python, "-m", f"benchmarks.{module}", *args],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=_ROOT,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    try:
        yield Process(process)
    finally:
        process.kill()
        process.wait()
        process.stdin.close()
        process.stdout.close()
