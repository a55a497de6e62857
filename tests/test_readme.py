"""The README's programs do what it says."""

import asyncio
import os
import re
import sys
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


async def test_two_terminals(tmp_path: Path, environ: dict[str, str]) -> None:
    """One program advertises, another finds and calls it; each is the README's, to the letter."""
    for name in ("serve.py", "call.py"):
        (tmp_path / name).write_text(example(name), encoding="utf-8")
    service = await asyncio.create_subprocess_exec(
        sys.executable,
        tmp_path / "serve.py",
        env={**environ, "SERVICE_ID": "orders", "INSTANCE_ID": "orders-1"},
    )
    try:
        listing = ""
        while "orders-1" not in listing:
            assert service.returncode is None, "the service ended"
            listing = await run("-m", "peerage", "locate", "service_id=orders", "--json", environ=environ)
            listing = listing and await run("-m", "peerage", "ls", environ=environ)
        assert await run(tmp_path / "call.py", environ=environ) == "['tea', 'biscuits']\n"
    finally:
        service.terminate()
        await service.wait()


async def run(*args: str | Path, environ: dict[str, str]) -> str:
    """Run Python with *args* and return what it prints."""
    program = await asyncio.create_subprocess_exec(
        sys.executable, *args, env=environ, stdout=asyncio.subprocess.PIPE
    )
    out, _ = await program.communicate()
    return out.decode()
