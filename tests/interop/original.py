"""Drives a service of the original in a process of its own."""

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from peerage.testing.waiting import PATIENCE

_PEER = Path(__file__).with_name("peer.py")

#: Its interpreter; the doors make that environment.
PYTHON = Path(os.environ.get("ASAB_PYTHON") or Path(__file__).parents[2] / ".venv-asab/bin/python")

#: Bytes of an answer, at most.
_LIMIT = 1 << 24


class Original:
    """A running service of the original."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def tell(self, command: str, argument: Any = None) -> Any:
        """Have it do something; see peer.py for what it knows."""
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps([command, argument]).encode() + b"\n")
        return await self.hear()

    async def hear(self) -> Any:
        """The next thing that it says."""
        assert self._process.stdout is not None
        async with asyncio.timeout(PATIENCE):
            line = await self._process.stdout.readline()
        assert line, "the original ended early; its standard error says why"
        return json.loads(line)

    def kill(self) -> None:
        """End it as a crash does."""
        self._process.kill()


@asynccontextmanager
async def original(
    servers: str, path: str, *, program: Path = _PEER, **environ: str
) -> AsyncIterator[Original]:
    """A service of the original that is connected to *servers* and advertises itself below *path*."""
    assert os.access(PYTHON, os.X_OK), (
        f"{PYTHON} isn't there: `make test` makes it, or name it in ASAB_PYTHON"
    )
    process = await asyncio.create_subprocess_exec(
        *(PYTHON, program, servers, path),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        env={**os.environ, **environ},
        limit=_LIMIT,
    )
    try:
        peer = Original(process)
        assert await peer.hear() == "started"
        yield peer
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()
