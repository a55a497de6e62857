"""Drives a service of the original in a child process."""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from peerage.testing.children import Child, run

_PEER = Path(__file__).with_name("peer.py")

#: Its interpreter, in a virtual environment that the Makefile makes.
PYTHON = Path(os.environ.get("ASAB_PYTHON") or Path(__file__).parents[2] / ".venv-asab/bin/python")


class Original:
    """A running service of the original."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self.hear = child.hear
        self.kill = child.kill

    async def tell(self, command: str, argument: Any = None) -> Any:
        """Have it carry out a command of peer.py, and return its answer."""
        return await self._child.ask(command, argument)


@asynccontextmanager
async def original(
    servers: str, path: str, *, program: Path = _PEER, **environ: str
) -> AsyncIterator[Original]:
    """Run a service of the original that is connected to *servers* and advertises itself below *path*."""
    assert os.access(PYTHON, os.X_OK), (
        f"{PYTHON} doesn't exist: `make test` makes it, or name it in ASAB_PYTHON"
    )
    async with run(PYTHON, program, servers, path, environ={**os.environ, **environ}) as child:
        peer = Original(child)
        assert await peer.hear() == "started"
        yield peer
