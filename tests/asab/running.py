"""A program of ASAB in a child process that is watched, and given input, while it runs."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path

from tests.asab.both import OURS, THEIRS, Kind

from peerage.testing.children import Child, run


class Running:
    """A running program."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.line = child.line
        self.tell = child.tell
        self.terminate = child.terminate
        self.kill = child.reap
        self.wait = child.wait
        self.pid = child.pid

    @property
    def log(self) -> str:
        """What it has logged so far; all of it once it has ended."""
        return self._child.log

    async def lines_until(self, last: str) -> list[str]:
        """Return what it prints up to the line *last*, without that."""
        lines = []
        while (line := await self.line()) != last:
            lines.append(line)
        return lines

    async def end(self) -> tuple[int, list[str]]:
        """Wait for its end; return its exit code and what it still printed."""
        code, rest = await self._child.end()
        for complaint in ("Exception ignored in", "was never retrieved", "was destroyed but it is pending"):
            assert complaint not in self.log, self.log
        return code, rest.splitlines()


@asynccontextmanager
async def running(
    program: str,
    *args: str,
    cwd: Path | None = None,
    original: bool = False,
    kind: Kind | None = None,
    environ: Mapping[str, str] | None = None,
) -> AsyncIterator[Running]:
    """Run *program*, the text after the import line, on ours, on the original or on *kind*."""
    kind = kind or (THEIRS if original else OURS)
    command = (*kind.command, "-c", kind.text(program), *args)
    async with run(*command, environ=kind.environ(environ or {}), cwd=cwd) as child:
        yield Running(child)


def named(environ: Mapping[str, str], instance: str, **more: str) -> dict[str, str]:
    """The environment of one program: an instance of the service of that name."""
    ids = {"SERVICE_ID": instance.rpartition("-")[0], "INSTANCE_ID": instance, "ASAB_HOSTNAME": "127.0.0.1"}
    return {**environ, **ids, **more}
