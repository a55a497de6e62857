"""The whole programs of a page run by its commands, and print what it says."""

import shlex
from contextlib import AsyncExitStack
from typing import Any

import pytest
from tests.docs.pages import ROOT, Block, all_blocks, blocks, commands, pages
from tests.docs.programs import Terminal, service_of, starts

#: What an application's module may take for granted where a page shows its last lines only.
BEGINNING = """
from aiohttp import web
app = web.Application()
"""


#: The page that is run by `make test`; `make test-all` runs the others.
QUICKSTART = "docs/quickstart.md"


def services(page: str) -> list[Block]:
    return [block for block in blocks(page) if block.mark == "service"]


@pytest.mark.parametrize(
    "block",
    [b for b in all_blocks("python") if b.mark == "service" and not b.detail],
    ids=lambda block: block.where,
)
async def test_a_service_is_found_and_stops(block, tmp_path):
    """The lines of a page that serve an application."""
    terminal = Terminal(block.page, tmp_path)
    begin = "" if "app = " in block.text else BEGINNING
    command = ("python", "-c", begin + terminal.local(block.text))
    async with terminal.serving(service_of(block, ""), *command) as child:
        child.terminate()


def with_programs() -> list[Any]:
    """The pages with services that have names."""
    return [
        pytest.param(page, marks=[] if page == QUICKSTART else [pytest.mark.long])
        for page in pages()
        if any(block.detail for block in services(page))
    ]


@pytest.mark.parametrize("page", with_programs())
async def test_the_programs_of_a_page(page, tmp_path):
    """Services go on; the other commands of peerage and of programs of the page succeed."""
    terminal = Terminal(page, tmp_path)
    programs = [block for block in blocks(page) if block.mark in {"service", "example"} and block.detail]
    unrun = set(programs)
    children = []
    async with AsyncExitStack() as stack:
        for command, answer in commands(page):
            block = next((block for block in programs if starts(block, command)), None)
            unrun.discard(block)
            if block and block.mark == "service":
                words = shlex.split(terminal.local(command))
                service = terminal.serving(service_of(block, command), *words)
                children.append(await stack.enter_async_context(service))
            elif block or command.startswith("peerage "):
                await terminal.check(command, answer)
        for child in children:
            child.terminate()
    assert not unrun, "no command of the page starts these"


def test_a_test_names_each_program():
    """A program with a name is run by a test that has that name in it, or by the test above."""
    tests = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "tests").rglob("test_*.py"))
    run_above = {page for page in pages() if any(block.detail for block in services(page))}
    unrun = [
        block.where
        for block in all_blocks("python")
        if block.mark == "example" and block.page not in run_above and block.detail not in tests
    ]
    assert not unrun
