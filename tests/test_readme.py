"""The README's programs do what it says."""

import asyncio
import os
import re
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

README = (Path(__file__).parent.parent / "README.md").read_text(encoding="utf-8")


def example(name: str) -> str:
    """Return the program behind the comment that names it."""
    (program,) = re.findall(rf"<!-- example: {re.escape(name)} -->\n```python\n(.*?)```", README, re.DOTALL)
    return program


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """A registry of this test's own."""
    return {**os.environ, "PEERAGE_DIR": str(tmp_path / "registry"), "PYTHONUNBUFFERED": "1"}


@asynccontextmanager
async def serving(program: str, folder: Path, environ: dict[str, str]) -> AsyncIterator[None]:
    """Run one of the programs as ``orders`` until it is found, and to the end."""
    (folder / program).write_text(example(program), encoding="utf-8")
    service = await asyncio.create_subprocess_exec(
        sys.executable,
        folder / program,
        env={**environ, "SERVICE_ID": "orders", "INSTANCE_ID": "orders-1"},
    )
    try:
        listing = ""
        while "orders-1" not in listing:
            assert service.returncode is None, "the service ended"
            listing = await run("-m", "peerage", "locate", "service_id=orders", "--json", environ=environ)
            listing = listing and await run("-m", "peerage", "ls", environ=environ)
        yield
    finally:
        service.terminate()
        await service.wait()


async def test_two_terminals(tmp_path: Path, environ: dict[str, str]) -> None:
    """One program advertises, another finds and calls it; each is the README's, to the letter."""
    (tmp_path / "call.py").write_text(example("call.py"), encoding="utf-8")
    async with serving("serve.py", tmp_path, environ):
        assert await run(tmp_path / "call.py", environ=environ) == "['tea', 'biscuits']\n"


async def test_let_in_who_may_come(tmp_path: Path, environ: dict[str, str]) -> None:
    """A service with a token of the cluster is let in, nobody else but where all are."""
    (tmp_path / "authorized.py").write_text(example("authorized.py"), encoding="utf-8")
    shop = {**environ, "SERVICE_ID": "shop", "INSTANCE_ID": "shop-1"}
    async with serving("guarded.py", tmp_path, environ):
        told = [
            await run(tmp_path / "authorized.py", environ=shop),
            await run("-m", "peerage", "get", "http://orders.service_id.asab/health", environ=environ),
        ]
        assert told == ["200 {'for': 'http://shop-1.instance_id.asab'}\n", "well\n"]
        assert all(line in README for line in told)
        (tmp_path / "call.py").write_text(
            example("authorized.py").replace('auth="internal"', ""), encoding="utf-8"
        )
        assert (await run(tmp_path / "call.py", environ=environ)).startswith("401 ")


async def run(*args: str | Path, environ: dict[str, str]) -> str:
    """Run Python with *args* and return what it prints."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, *args, env=environ, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await program.communicate()
    return out.decode()
