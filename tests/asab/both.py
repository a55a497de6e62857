"""Runs the same lines on the original and on us, in processes of their own, at the same time.

A program is the text after the import line: it speaks of ``asab``, whichever that is, and prints what is
compared. The log goes to standard error and isn't: the wording is ours.
"""

import os
import signal
import subprocess
import sys
import textwrap
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.interop.original import PYTHON

from peerage.testing.view import PATIENCE

#: What each program begins with; everything that they need besides.
_PRELUDE: Final = """
import asyncio, importlib, logging, os, signal, sys, threading, time
def say(*values):
    print(*values, flush=True)
def load(*names):
    for name in names:
        importlib.import_module(f"{asab.__name__}.{name}")
"""

_SOURCES: Final = Path(__file__).parents[2] / "src"

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
Meanwhile = Callable[[subprocess.Popen[str], str], None]


def ours(
    program: str,
    *args: str,
    cwd: Path | None = None,
    meanwhile: Meanwhile | None = None,
    **environ: str,
) -> Outcome:
    """Run *program* on us, with every warning an error."""
    command = [sys.executable, "-X", "dev", "-W", "error"]
    return _run(command, "import peerage.asab as asab", program, args, cwd, meanwhile, environ)


def theirs(
    program: str,
    *args: str,
    cwd: Path | None = None,
    meanwhile: Meanwhile | None = None,
    **environ: str,
) -> Outcome:
    """Run *program* on the original."""
    assert os.access(PYTHON, os.X_OK), f"{PYTHON} isn't there: `make test` makes it; or set ASAB_PYTHON"
    return _run([str(PYTHON)], "import asab", program, args, cwd, meanwhile, environ)


def both(
    program: str,
    *args: str,
    cwd: Path | None = None,
    meanwhile: Meanwhile | None = None,
    **environ: str,
) -> Outcome:
    """Run *program* on both, check that they do the same, and return what we did."""
    with ThreadPoolExecutor(1) as other:
        their = other.submit(theirs, program, *args, cwd=cwd, meanwhile=meanwhile, **environ)
        our = ours(program, *args, cwd=cwd, meanwhile=meanwhile, **environ)
    here, there = our, their.result()
    assert here.seen == there.seen, f"ours:\n{here}\n{here.log}\nthe original:\n{there}\n{there.log}"
    return here


def terminate(process: "subprocess.Popen[str]", _: str) -> None:
    """Stop it as service managers do."""
    process.send_signal(signal.SIGTERM)


def _run(  # noqa: PLR0917 - what the functions above are given
    command: list[str],
    imports: str,
    program: str,
    args: tuple[str, ...],
    cwd: Path | None,
    meanwhile: Meanwhile | None,
    environ: Mapping[str, str],
) -> Outcome:
    inherited = {name: value for name, value in os.environ.items() if not name.startswith(_PRIVATE)}
    text = f"{imports}\n{_PRELUDE}\n{textwrap.dedent(program)}"
    with subprocess.Popen(
        [*command, "-c", text, *args],
        cwd=cwd,
        env={**inherited, "PYTHONPATH": str(_SOURCES) if imports != "import asab" else "", **environ},
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
