"""Programs of the documentation as child processes: on free ports of loopback, in a registry of their own."""

import os
import re
import shlex
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.docs.pages import ROOT, Block, blocks

from peerage import Discovery
from peerage.testing import eventually
from peerage.testing.children import Child, run
from peerage.testing.zookeeper.server import free_port

#: The ports that pages use.
_PORT = re.compile(r"\b8\d\d\d\b")


class Terminal:
    """A folder with the programs of a page, where its commands run as in a shell.

    Args:
        page: whose programs these are.
        folder: for them, and for the registry.
        environ: more of the environment.
    """

    def __init__(self, page: str, folder: Path, **environ: str) -> None:
        self.registry = f"embedded://{folder / 'registry'}"
        self._folder = folder
        self._ports: dict[str, int] = {}
        self.environ = {
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
            "PYTHONPATH": f"{ROOT / 'src'}{os.pathsep}{folder}",
            "PYTHONUNBUFFERED": "1",
            "PEERAGE_REGISTRY": self.registry,
            "ASAB_HOSTNAME": "127.0.0.1",
            **environ,
        }
        for block in blocks(page):
            if block.detail.endswith(".py") and block.mark != "not run":
                (folder / block.detail).write_text(self.local(block.text), encoding="utf-8")

    def local(self, text: str) -> str:
        """Return a program or command with free ports of loopback in place of those of the page."""
        text = _PORT.sub(lambda port: str(self._ports.setdefault(port[0], free_port())), text)
        text = text.replace("0.0.0.0", "127.0.0.1")
        return re.sub(r"(run_app\((?![^\n]*host=)[^\n]*?)\bport=", r'\1host="127.0.0.1", port=', text)

    @asynccontextmanager
    async def running(self, *words: str) -> AsyncIterator[Child]:
        """Run a command that is ended here."""
        async with run("env", *words, environ=self.environ, cwd=self._folder, patience=60) as child:
            yield child

    @asynccontextmanager
    async def serving(self, name: str, *words: str) -> AsyncIterator[Child]:
        """Run a service until it is found as *name*; the caller stops it by a signal."""
        async with self.running(*words) as child, Discovery(self.registry) as discovery:
            await discovery.ready()
            known = len(discovery.directory.find((("service_id", name),)))

            async def is_found() -> bool:
                assert child.returncode is None, child.log
                return len(discovery.directory.find((("service_id", name),))) > known

            await eventually(is_found, f"{name} by {words}")
            yield child
            code, _ = await child.end()
            # uvicorn ends by the signal, once it has stopped.
            assert code in {0, -signal.SIGTERM}, child.log

    async def check(self, command: str, answer: str) -> None:
        """Run a command until it succeeds, and prints what the page says."""
        said = ""

        async def succeeds() -> bool:
            nonlocal said
            async with self.running(*shlex.split(self.local(command))) as child:
                code, out = await child.end()
                said = f"{command}: {code} {out} {child.log}"
            return code == 0 and (not answer or out.rstrip("\n") == answer)

        try:
            await eventually(succeeds, command)
        except AssertionError as error:
            raise AssertionError(said) from error


def starts(block: Block, command: str) -> bool:
    """Tell whether a command of its page runs a program: ``python orders.py``, ``uvicorn orders:app``."""
    stem = re.escape(block.detail.removesuffix(".py"))
    return re.search(rf"(?:^|\s)python {stem}\.py|\s{stem}:\w+", command) is not None


def service_of(block: Block, command: str) -> str:
    """Return the service_id under which a program advertises itself."""
    found = re.search(r"SERVICE_ID=(\S+)", command) or re.search(r'service_id="([^"]+)"', block.text)
    return found[1] if found else "orders"
