"""Programs as child processes: started, read line by line, given input, and always ended and reaped."""

import asyncio
import json
import os
import re
import signal
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from peerage.testing.waiting import PATIENCE

#: This Python, with every warning an error: the beginning of a command.
STRICT: Final = (sys.executable, "-X", "dev", "-W", "error")

#: Bytes of the longest line that is read.
_LINE: Final = 1 << 24

#: What an event loop logs in Python's development mode if the machine is busy: no fault of a program.
_SLOW: Final = re.compile(r"\bExecuting <.*> took \d+\.\d+ seconds$", re.MULTILINE)


class Child:
    """A running program; made by :func:`run`, whose arguments these are."""

    def __init__(
        self, process: Process, patience: float | None, log_lines: int | None, *, own_group: bool
    ) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stderr is not None
        self._process = process
        self._own_group = own_group
        self._input, self._output, self._errors = process.stdin, process.stdout, process.stderr
        # Draining then waits until the kernel has everything.
        self._input.transport.set_write_buffer_limits(0)
        self._patience = patience
        self._killed = False
        # A stream has one reader at a time: at the end there may still be one in lines().
        self._reader = asyncio.Lock()
        self._log: deque[str] = deque(maxlen=log_lines)
        self._reading = asyncio.create_task(self._read_log())

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def log(self) -> str:
        """What it has written to its standard error so far; all of it once it has ended.

        Left out are the lines in which asyncio says how long a callback took.
        """
        return "".join(self._log)

    @property
    def returncode(self) -> int | None:
        """Its exit code, or minus the number of the signal that ended it; None while it runs."""
        return self._process.returncode

    async def line(self) -> str:
        """Return the next line of its output.

        Raises:
            AssertionError: it has ended; the message has its log.
            TimeoutError: it writes nothing within the patience.
        """
        async with asyncio.timeout(self._patience):
            line = await self._read_line()
            if line is None:
                await self._reading
                raise AssertionError(f"The program ended early. Its standard error:\n{self.log}")
        return line

    async def lines(self) -> AsyncIterator[str]:
        """Yield the lines of its output until it ends, however long that takes."""
        while (line := await self._read_line()) is not None:
            yield line

    async def hear(self) -> Any:
        """Return the next line of its output, which is JSON."""
        return json.loads(await self.line())

    async def tell(self, line: str) -> None:
        """Write a line to its standard input."""
        self._input.write(f"{line}\n".encode())
        await self._input.drain()

    async def ask(self, *command: Any) -> Any:
        """Write *command* as a JSON list to its standard input, and return the JSON that it answers."""
        await self.tell(json.dumps(command))
        return await self.hear()

    def close_input(self) -> None:
        """Close its standard input."""
        self._input.close()

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self._process.send_signal(number)

    def signal_group(self, number: int) -> None:
        """Send a signal to all processes of its own group, as systemd does; none may be left."""
        assert self._own_group, "run it with own_group=True"
        with suppress(ProcessLookupError):
            os.killpg(self.pid, number)

    def terminate(self) -> None:
        """Ask it to end, with SIGTERM."""
        self.signal(signal.SIGTERM)

    def suspend(self) -> None:
        """Stop it where it is, with SIGSTOP."""
        self.signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Continue it after :meth:`suspend`."""
        self.signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once, with SIGKILL."""
        # Once: a second signal to a dead process makes subprocess reap it without asyncio's knowledge.
        if not self._killed and self.returncode is None:
            self._killed = True
            self._process.kill()

    async def wait(self) -> int:
        """Wait until it has ended and its whole log was read, and return its exit code."""
        code = await self._process.wait()
        await asyncio.shield(self._reading)
        return code

    async def end(self) -> tuple[int, str]:
        """Close its standard input, wait for its end; return its exit code and the rest of its output.

        Raises:
            TimeoutError: it doesn't end within the patience.
        """
        self.close_input()
        async with asyncio.timeout(self._patience):
            rest = await self._read_rest()
            return await self.wait(), rest

    async def reap(self) -> None:
        """Kill it if it still runs, and its own group, and wait until nothing is left of it."""
        self.kill()
        if self._own_group:
            # Of a server whose first process has died, workers may be left that hold the pipes open.
            self.signal_group(signal.SIGKILL)
        self.close_input()
        await self._read_rest()
        await self.wait()

    async def _read_line(self) -> str | None:
        async with self._reader:
            line = await self._output.readline()
        return line.decode(errors="replace").rstrip("\n") if line else None

    async def _read_rest(self) -> str:
        async with self._reader:
            return (await self._output.read()).decode(errors="replace")

    async def _read_log(self) -> None:
        async for line in self._errors:
            text = line.decode(errors="replace")
            if not _SLOW.search(text):
                self._log.append(text)


@asynccontextmanager
async def run(
    *command: str | os.PathLike[str],
    environ: Mapping[str, str] | None = None,
    cwd: str | os.PathLike[str] | None = None,
    own_group: bool = False,
    patience: float | None = PATIENCE,
    log_lines: int | None = None,
) -> AsyncIterator[Child]:
    """Run *command* as a child process; it is killed at the end if it still runs.

    ::

        async with run(*STRICT, "-c", "print(input())") as child:
            await child.tell("hello")
            assert await child.line() == "hello"
            assert await child.end() == (0, "")

    Args:
        command: the program and its arguments.
        environ: its whole environment; by default that of this process.
        cwd: its working directory.
        own_group: whether it has a process group to itself, so that Ctrl-C doesn't reach it. At the end all
            processes of the group are killed.
        patience: seconds that :meth:`Child.line` and :meth:`Child.end` wait; None waits without a limit.
        log_lines: how many lines of its standard error are kept, the last ones; None keeps all.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=PIPE,
        stdout=PIPE,
        stderr=PIPE,
        env=environ,
        cwd=cwd,
        limit=_LINE,
        process_group=0 if own_group else None,
    )
    child = Child(process, patience, log_lines, own_group=own_group)
    try:
        yield child
    finally:
        await child.reap()
