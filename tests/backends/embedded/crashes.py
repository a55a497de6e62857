"""A program that runs operations of the embedded registry in forked children, with a fault at a given step.

A step is a call of the registry's thread to the operating system: one that opens, writes, locks, renames or
removes a file, and so on. Each line of standard input is a JSON list: the operation, the URL, the number of
the step before which the fault occurs, or 0, and the fault; a user and a group may follow. The answer is the
signal that ended the child, its exit code if it failed, 0 if the operation was done without the fault, and
:data:`IN_SPITE` if it was done in spite of it.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import threading
import traceback
from collections.abc import Callable
from pathlib import Path
from types import FrameType

from tests.backends.embedded.users import become, rehearse

from peerage.registry import open_registry

#: Large enough that a write of one part would be seen.
OLD, NEW = b"old " * 4_000, b"newer " * 5_000

_STEPS = {"posix", "fcntl"}


#: The exit code of an operation that was done in spite of the fault.
IN_SPITE = 100


class Steps:
    """Counts the steps from :meth:`begin` on, and calls *fault* before number *last*."""

    def __init__(self, last: int, fault: Callable[[], object]) -> None:
        self.left = last
        self._fault = fault
        self._counting = False

    def begin(self) -> None:
        """Count from now on."""
        self._counting = True

    def profile(self, frame: FrameType, event: str, function: object) -> None:
        """Count one step, if *event* is one; for :func:`threading.setprofile`."""
        del frame
        if self._counting and event == "c_call" and getattr(function, "__module__", None) in _STEPS:
            self.left -= 1
            if self.left == 0:
                self._fault()


async def advertise(url: str, begin: Callable[[], None]) -> None:
    """Make the folder, if there is none, and a record."""
    begin()
    await open_registry(url).advertise("Crash", NEW).registered()


async def update(url: str, begin: Callable[[], None]) -> None:
    """Replace a record."""
    advertisement = open_registry(url).advertise("Crash", OLD)
    await advertisement.registered()
    begin()
    advertisement.update(NEW)
    await advertisement.registered()


async def withdraw(url: str, begin: Callable[[], None]) -> None:
    """Remove a record."""
    advertisement = open_registry(url).advertise("Crash", NEW)
    await advertisement.registered()
    begin()
    await advertisement.withdraw()


async def close(url: str, begin: Callable[[], None]) -> None:
    """Close a registry that watches and that has a record."""
    registry = open_registry(url)
    await anext(registry.watch())
    await registry.advertise("Crash", NEW).registered()
    begin()
    await registry.aclose()


async def watch(url: str, begin: Callable[[], None]) -> None:
    """Read all records, and remove those of processes that died."""
    begin()
    await anext(open_registry(url).watch())


async def obtain(url: str, begin: Callable[[], None]) -> None:
    """Make a secret, unless there is one."""
    begin()
    await open_registry(url).secrets.obtain("/key", lambda: NEW)


async def replace(url: str, begin: Callable[[], None]) -> None:
    """Replace a secret."""
    begin()
    await open_registry(url).secrets.replace("/key", NEW)


async def keep(url: str, begin: Callable[[], None]) -> None:
    """Update a record, and wait until its file is there and stays."""
    advertisement = open_registry(url).advertise("Crash", OLD)
    await advertisement.registered()
    begin()
    advertisement.update(NEW)
    while True:
        path = _base(url) / "run.asab" / await advertisement.registered()
        if path.exists() and path.read_bytes() == NEW:
            break
        await asyncio.sleep(0.005)


def _base(url: str) -> Path:
    return Path(url.removeprefix("embedded://").partition("?")[0])


def _run(operation: str, url: str, step: int, fault: str) -> int:
    faults = {
        "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
        "remove the folder": lambda: shutil.rmtree(_base(url), ignore_errors=True),
    }
    steps = Steps(step, faults[fault])
    threading.setprofile(steps.profile)
    asyncio.run(globals()[operation](url, steps.begin))
    return IN_SPITE if step and steps.left <= 0 else 0


def main() -> None:
    """Serve standard input."""
    asyncio.run(rehearse())
    for line in sys.stdin:
        operation, url, step, fault, *user = json.loads(line)
        child = os.fork()
        if child == 0:
            try:
                if user:
                    become(*user)
                code = _run(operation, url, step, fault)
            except Exception:  # noqa: BLE001 - the test shows it
                traceback.print_exc()
                os._exit(1)
            # As a process ends that closes nothing.
            os._exit(code)
        _, status = os.waitpid(child, 0)
        sys.stdout.write(f"{json.dumps(os.waitstatus_to_exitcode(status))}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main()
