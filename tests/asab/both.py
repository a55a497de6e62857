"""Runs the same lines on the original and on us, in separate processes at the same time.

A program is the text after the import line: it speaks of ``asab``, whichever that is, and prints what is
compared. The log goes to standard error and isn't: the wording is ours.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import textwrap
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from tests.interop.original import PYTHON

from peerage.testing.waiting import PATIENCE

#: What each program begins with; everything that they need besides.
PRELUDE: Final = """
import asyncio, importlib, logging, os, signal, sys, threading, time
def say(*values):
    print(*values, flush=True)
def load(*names):
    for name in names:
        importlib.import_module(f"{asab.__name__}.{name}")
"""

_SOURCES: Final = Path(__file__).parents[2] / "src"
_NURSERY: Final = Path(__file__).with_name("nursery.py")

#: Whether the original's side is run; on further Pythons, where only ours can differ, it isn't.
_COMPARED: Final = not os.environ.get("WITHOUT_ORIGINAL")

#: Variables of the machine that would say something to one of them.
_PRIVATE: Final = ("ASAB", "PEERAGE", "SERVICE_ID", "INSTANCE_ID", "NODE_ID", "SITE_ID", "container")


@dataclass(frozen=True)
class Outcome:
    """What a program did."""

    code: int
    out: str
    log: str

    @property
    def lines(self) -> list[str]:
        """What it printed."""
        return self.out.splitlines()

    @property
    def seen(self) -> tuple[int, list[str]]:
        """What is compared."""
        return self.code, self.lines


#: Does something to a running program once it has printed a line; gets the process and that line.
Meanwhile = Callable[["subprocess.Popen[str]", str], None]


@dataclass(frozen=True)
class Kind:
    """One of the two: the interpreter, and what the program's ``asab`` is."""

    command: tuple[str, ...]
    module: str
    path: str

    def text(self, program: str) -> str:
        """The whole program."""
        return f"import {self.module} as asab\n{PRELUDE}\n{textwrap.dedent(program)}"

    def environ(self, more: Mapping[str, str]) -> dict[str, str]:
        """Its environment: nothing of the machine's that matters to it."""
        inherited = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
        return {**inherited, "PYTHONPATH": self.path, "PEERAGE_DISK_CACHE": "off", **more}


OURS: Final = Kind((sys.executable, "-X", "dev", "-W", "error"), "peerage.asab", str(_SOURCES))
THEIRS: Final = Kind((str(PYTHON),), "asab", "")


class Nursery:
    """Forks of a process that has imported what programs need."""

    def __init__(self, kind: Kind) -> None:
        self._kind = kind
        self._process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        """Begin."""
        self._process = subprocess.Popen(
            [*self._kind.command, str(_NURSERY), self._kind.module],
            env=self._kind.environ({}),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def stop(self) -> None:
        """End the process and all its forks."""
        process, self._process = self._process, None
        if process is not None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()

    def run(
        self, program: str, args: tuple[str, ...], cwd: Path | None, environ: Mapping[str, str]
    ) -> Outcome:
        """Run *program*."""
        assert self._process is not None, "tests/asab/conftest.py starts it"
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with tempfile.TemporaryDirectory() as folder:
            job: dict[str, Any] = {
                "program": self._kind.text(program),
                "args": args,
                "environ": self._kind.environ(environ),
                "cwd": str(cwd or Path.cwd()),
                "out": f"{folder}/out",
                "log": f"{folder}/log",
            }
            # What doesn't end is killed; the answer is missing then, and a new nursery goes on.
            overdue = threading.Timer(PATIENCE, os.killpg, (self._process.pid, signal.SIGKILL))
            overdue.start()
            try:
                self._process.stdin.write(json.dumps(job) + "\n")
                self._process.stdin.flush()
                code = self._process.stdout.readline()
            finally:
                overdue.cancel()
                overdue.join()
            out, log = (Path(job[name]).read_text() for name in ("out", "log"))
        if not code:
            self.stop()
            self.start()
            raise AssertionError(f"It didn't end within {PATIENCE:g} s; printed:\n{out}\nlogged:\n{log}")
        return Outcome(int(code), out, log)


_NURSERIES: Final = {kind: Nursery(kind) for kind in (OURS, THEIRS)}


@contextmanager
def nurseries() -> Iterator[None]:
    """Have processes to fork from, for as long as there are tests."""
    assert os.access(PYTHON, os.X_OK), f"{PYTHON} isn't there: `make test` makes it; or set ASAB_PYTHON"
    with ExitStack() as stack:
        for nursery in _NURSERIES.values():
            nursery.start()
            stack.callback(nursery.stop)
        yield


def ours(
    program: str, *args: str, cwd: Path | None = None, meanwhile: Meanwhile | None = None, **environ: str
) -> Outcome:
    """Run *program* on this layer, with every warning an error, also those that can't be caught."""
    outcome = _run(OURS, program, args, cwd, meanwhile, environ)
    assert "Exception ignored in" not in outcome.log, outcome.log
    return outcome


def theirs(
    program: str, *args: str, cwd: Path | None = None, meanwhile: Meanwhile | None = None, **environ: str
) -> Outcome:
    """Run *program* on the original."""
    return _run(THEIRS, program, args, cwd, meanwhile, environ)


def both(
    program: str, *args: str, cwd: Path | None = None, meanwhile: Meanwhile | None = None, **environ: str
) -> Outcome:
    """Run *program* on both, check that they do the same, and return what we did."""
    if not _COMPARED:
        return ours(program, *args, cwd=cwd, meanwhile=meanwhile, **environ)
    with ThreadPoolExecutor(1) as other:
        their = other.submit(theirs, program, *args, cwd=cwd, meanwhile=meanwhile, **environ)
        here = ours(program, *args, cwd=cwd, meanwhile=meanwhile, **environ)
        there = their.result()
    assert here.seen == there.seen, f"ours:\n{here}\n{here.log}\nthe original:\n{there}\n{there.log}"
    return here


def terminate(process: "subprocess.Popen[str]", _: str) -> None:
    """Stop it as service managers do."""
    process.send_signal(signal.SIGTERM)


def _run(  # noqa: PLR0917 - what the functions above are given
    kind: Kind,
    program: str,
    args: tuple[str, ...],
    cwd: Path | None,
    meanwhile: Meanwhile | None,
    environ: Mapping[str, str],
) -> Outcome:
    # The original reads such variables as it is imported.
    if meanwhile is None and not any(name.startswith("ASAB_") for name in environ):
        return _NURSERIES[kind].run(program, args, cwd, environ)
    with subprocess.Popen(
        [*kind.command, "-c", kind.text(program), *args],
        cwd=cwd,
        env=kind.environ(environ),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            before = ""
            if meanwhile is not None:
                assert process.stdout is not None
                before = process.stdout.readline()
                meanwhile(process, before)
            out, log = process.communicate(timeout=PATIENCE)
        finally:
            process.kill()
    return Outcome(process.returncode, before + out, log)
