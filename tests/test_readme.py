"""The README's programs and commands do what it says."""

import asyncio
import os
import re
import shlex
import shutil
import signal
import socket
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from peerage.testing import eventually
from peerage.testing.children import Child, run

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")

#: The commands that aren't run here: CI runs the tests, tests/cli runs demo and page, no test is timed, and
#: all extras are installed already.
ELSEWHERE = {
    *("make test", "make demo", 'make demo ARGS="--seconds 15"', "make demo ARGS=--page", "make bench"),
    *("pip install 'peerage[zookeeper]'", "peerage serve"),
    *(". .venv/bin/activate", "pip install fastapi uvicorn", "make docs"),
}

INSTALL = "pip install '.[cli]'"
#: The name of the machine on which the README's output was printed.
HOST = "vm"

WHEEL = "pip wheel --no-deps --wheel-dir dist ."


def answers() -> dict[str, str]:
    """Return the commands of the README, and what it says that each prints."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    steps = [step.partition("\n") for block in blocks for step in block.removeprefix("$ ").split("\n$ ")]
    found = {command: answer.rstrip("\n") for command, _, answer in steps}
    inline = re.findall(r"`((?:make|pip) [^`]+)`", README)
    return {**dict.fromkeys(inline, ""), **found}


def example(name: str) -> str:
    """Return the program that follows the comment with its name."""
    (program,) = re.findall(rf"<!-- example: {re.escape(name)} -->\n```python\n(.*?)```", README, re.DOTALL)
    return program


def everywhere(output: str) -> list[list[str]]:
    """Return the words of each line as they are on every machine: its name, and numbers, are replaced."""
    same = re.sub(r"\d+", "0", output.replace(socket.gethostname(), HOST))
    return [line.split() for line in same.rstrip("\n").split("\n")]


ANSWERS = answers()
PROGRAMS = ("orders.py", "call.py", "serve.py", "guarded.py", "authorized.py")


class Terminal:
    """A folder with the README's programs, where commands run as in a shell."""

    def __init__(self, folder: Path) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        self._environ = {
            **os.environ,
            "PATH": path,
            "PEERAGE_DIR": str(folder / "registry"),
            "PYTHONUNBUFFERED": "1",
        }
        self._folder = folder
        for name in PROGRAMS:
            (folder / name).write_text(example(name), encoding="utf-8")

    @asynccontextmanager
    async def running(self, command: str) -> AsyncIterator[Child]:
        """Run a command of the README that doesn't end by itself."""
        assert command in ANSWERS
        words = shlex.split(command)
        async with run("env", *words, environ=self._environ, cwd=self._folder, patience=60) as child:
            yield child

    async def answer(self, command: str) -> str:
        """Return what a command of the README prints."""
        async with self.running(command) as child:
            code, out = await child.end()
        assert code == 0, child.log
        return out

    async def check(self, command: str, holds: Callable[[str], bool] = bool) -> None:
        """Run a command until it prints what the README says; where it says nothing, what *holds*."""
        answer = ANSWERS[command]

        async def succeeds() -> bool:
            async with self.running(command) as child:
                code, out = await child.end()
            return code == 0 and (everywhere(out) == everywhere(answer) if answer else holds(out))

        await eventually(succeeds, command)


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


async def test_a_service_is_found_and_called(terminal: Terminal) -> None:
    """An application of FastAPI advertises; a program and the commands of the shell find and call it."""
    async with terminal.running("uvicorn orders:app --port 0") as service:
        await terminal.check("python call.py")
        await terminal.check("peerage ls")
        await terminal.check("peerage get http://orders.service_id.asab/v1/orders")
        service.signal(signal.SIGINT)
        assert await service.wait() == 0, service.log


async def test_a_service_with_aiohttp_is_found_and_called(terminal: Terminal) -> None:
    """The same with aiohttp, and with an instance that has a name."""
    async with terminal.running("python serve.py"):
        await terminal.check(
            "peerage locate service_id=orders", lambda out: out.startswith("http://127.0.0.1:")
        )
        await terminal.check("python call.py")
        await terminal.check("peerage ls service_id=orders", lambda out: "orders-1" in out)
        async with terminal.running("peerage ls --watch") as watch:
            assert "orders-1" in await watch.line()
        await terminal.check("peerage doctor", lambda out: "1 port answers" in out)
        url = "peerage get http://orders.service_id.asab/v1/orders"
        assert await terminal.answer(f"{url} -d milk") == '["tea", "biscuits", "milk"]'


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_the_service_finishes_an_upload_when_it_is_stopped(terminal: Terminal, number: int) -> None:
    """It ends with code 0 and writes nothing, the upload under way is complete, and its record is gone."""
    async with AsyncExitStack() as stack:
        service = await stack.enter_async_context(terminal.running("python serve.py"))
        locate = "peerage locate service_id=orders"
        await terminal.check(locate)
        host, _, port = (await terminal.answer(locate)).strip().removeprefix("http://").partition(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        stack.callback(writer.close)
        writer.write(b"POST /v1/orders HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n")
        writer.write(b"Expect: 100-continue\r\nConnection: close\r\n\r\nmi")
        assert (await reader.readuntil(b"\r\n\r\n")).startswith(b"HTTP/1.1 100 ")
        service.signal(number)

        async def is_gone() -> bool:
            async with terminal.running(locate) as child:
                return (await child.end())[0] != 0

        await eventually(is_gone, "the end of the record")
        writer.write(b"lk")
        answer = await reader.read()
        assert answer.startswith(b"HTTP/1.1 200 ")
        assert answer.endswith(b'["tea", "biscuits", "milk"]')
        assert await service.wait() == 0, service.log
        assert service.log == ""


async def test_services_authorize_each_other(terminal: Terminal) -> None:
    """A service with a token of the cluster is let in; without one, only where the handler is open to all."""
    async with terminal.running("python guarded.py") as service:
        await terminal.check("peerage get http://orders.service_id.asab/health")
        await terminal.check("python authorized.py")
        async with terminal.running("peerage get http://orders.service_id.asab/v1/orders") as child:
            await child.end()
        assert "401" in child.log
        service.signal(signal.SIGINT)
        assert await service.wait() == 0
        assert "Traceback" not in service.log


def test_every_command_is_run_by_a_test() -> None:
    source = Path(__file__).read_text(encoding="utf-8")
    run_here = {command for command in ANSWERS if f'"{command}"' in source}
    assert run_here | ELSEWHERE | {f"{command} -d milk" for command in run_here} >= set(ANSWERS)


@pytest.mark.long
async def test_it_is_installed_from_a_checkout_and_from_a_wheel(tmp_path: Path) -> None:
    """The wheel's description has no links into the checkout, and the wheel works without it."""
    checkout, venv = tmp_path / "checkout", tmp_path / "venv"
    environ = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    environ["PATH"] = f"{venv}/bin{os.pathsep}{os.environ['PATH']}"

    async def shell(command: str, cwd: Path = checkout) -> str:
        async with run("sh", "-c", command, environ=environ, cwd=cwd, patience=100) as child:
            code, out = await child.end()
            assert code == 0, child.log
        return out

    shutil.copytree(ROOT, checkout, ignore=shutil.ignore_patterns(".*", "dist", "__pycache__"), symlinks=True)
    await shell(f"{shlex.quote(sys.executable)} -m venv {shlex.quote(str(venv))}", tmp_path)
    await shell(INSTALL)
    assert (await shell("peerage --version", tmp_path)).startswith("peerage ")
    await shell(WHEEL)
    await shell("pip install --quiet --force-reinstall --no-deps dist/*.whl")
    assert (await shell("peerage --version", tmp_path)).startswith("peerage ")
    described = await shell(
        "python -c 'import importlib.metadata as m; print(m.metadata(\"peerage\"))'", tmp_path
    )
    assert "docs/performance.md" in described
    assert not re.search(r"\]\((?!https?://)", described)


def comparison(text: str) -> dict[str, list[str]]:
    """Return the rows of the table of comparison, and the first sentences of their cells."""
    (table,) = re.findall(r"^\| \| peerage \|.*?\n\n", text, re.MULTILINE | re.DOTALL)
    rows = [[cell.strip() for cell in row.strip("|").split("|")] for row in table.strip().splitlines()]
    return {row[0]: [re.sub(r",? \[\d+\]", "", cell).split(". ")[0] for cell in row[1:]] for row in rows}


def test_it_compares_as_the_documentation_does() -> None:
    """Which has more rows, more sentences and the sources."""
    short = comparison(README)
    long = comparison((ROOT / "docs/why.md").read_text(encoding="utf-8"))
    assert len(short) > 5
    assert short.items() <= long.items()


def test_its_links_and_pictures_are_there() -> None:
    """Those into the repository; pictures that are drawn load nothing from elsewhere."""
    for target in re.findall(r"\]\((?!https?://)([^)#]+)", README):
        assert (ROOT / target).exists(), target
    for picture in re.findall(r"!\[[^\]]*\]\(([^)]+\.svg)\)", README):
        drawn = (ROOT / picture).read_text(encoding="utf-8")
        assert not re.search(r"url\(|href|https?://(?!www\.w3\.org/2000/svg)", drawn), picture


@pytest.mark.long
async def test_the_picture_of_the_demo_is_drawn_from_a_run(tmp_path: Path) -> None:
    script, picture = ROOT / "docs/pictures/demo.py", tmp_path / "demo.svg"
    async with run(sys.executable, str(script), str(picture), environ=dict(os.environ), patience=60) as child:
        assert (await child.end())[0] == 0, child.log
    texts = re.findall(r"<text [^>]*>(.*)</text>", picture.read_text(encoding="utf-8"))
    assert "No call failed, and every instance answered." in texts
    assert any("killing pricing-1" in text for text in texts)
