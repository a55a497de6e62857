"""A program in a process of its own that is watched, and told things, while it runs."""

import asyncio
import signal
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.asab.both import OURS, THEIRS, Kind

from peerage.testing.waiting import PATIENCE


class Running:
    """A running program."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process
        self._log = asyncio.ensure_future(self._read_log())
        self.log = ""
        """What it has logged so far; all of it once it has ended."""

    async def line(self) -> str:
        """The next line that it prints."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self.process.stdout.readline()
        if not line:
            await self._log
            raise AssertionError(f"it ended early:\n{self.log}")
        return line.decode().rstrip("\n")

    async def lines_until(self, last: str) -> list[str]:
        """What it prints up to that line, without it."""
        lines = []
        while (line := await self.line()) != last:
            lines.append(line)
        return lines

    def tell(self, text: str) -> None:
        """Write a line to its standard input."""
        assert self.process.stdin is not None
        self.process.stdin.write(f"{text}\n".encode())

    def terminate(self) -> None:
        """Stop it as service managers do."""
        self.process.send_signal(signal.SIGTERM)

    async def end(self) -> tuple[int, list[str]]:
        """Wait for its end; return its exit code and what it still printed."""
        assert self.process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            rest = (await self.process.stdout.read()).decode().splitlines()
            await self._log
            code = await self.process.wait()
        for complaint in ("Exception ignored in", "was never retrieved", "was destroyed but it is pending"):
            assert complaint not in self.log, self.log
        return code, rest

    async def _read_log(self) -> None:
        assert self.process.stderr is not None
        async for line in self.process.stderr:
            self.log += line.decode()


@asynccontextmanager
async def running(
    program: str,
    *args: str,
    cwd: Path | None = None,
    original: bool = False,
    kind: Kind | None = None,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[Running]:
    """Run *program*, what follows the import line, on us, the original or *kind*; it is killed in the end."""
    kind = kind or (THEIRS if original else OURS)
    process = await asyncio.create_subprocess_exec(
        *(*kind.command, "-c", kind.text(program), *args),
        cwd=cwd,
        env=kind.environ(environ or {}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    one = Running(process)
    try:
        yield one
    finally:
        if process.returncode is None:
            process.kill()
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        await process.stdout.read()
        await one._log
        await process.wait()


def named(environ: Mapping[str, str], instance: str, **more: str) -> dict[str, str]:
    """The environment of one program: an instance of the service of that name."""
    ids = {"SERVICE_ID": instance.rpartition("-")[0], "INSTANCE_ID": instance, "ASAB_HOSTNAME": "127.0.0.1"}
    return {**environ, **ids, **more}
