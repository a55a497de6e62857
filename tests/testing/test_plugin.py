"""The plugin in a pytest of its own, as a project has it that tests its services with peerage."""

import sys
import tomllib
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, blocks, program
from tests.docs.programs import Terminal

from peerage.testing.children import STRICT, run

PAGE = "docs/testing.md"

#: The programs of the page, and the tests of them.
PROGRAMS = {"shop.py", "shop_api.py", "shop_flask.py"}
TESTS = {
    *("test_shop.py", "test_shop_api.py", "test_shop_client.py", "test_shop_flask.py"),
    *("test_shop_process.py", "test_hour.py", "test_cluster.py", "test_ensemble.py"),
}

#: What the installed entry point loads, whatever else is installed here.
ONLY = {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1", "PYTEST_ADDOPTS": "-p peerage.testing.plugin"}


@pytest.fixture
def terminal(tmp_path):
    return Terminal(PAGE, tmp_path, **ONLY)


async def outcome(terminal, *arguments):
    """Run pytest in the folder of *terminal*; return its last line, or everything if a test failed."""
    words = (*STRICT, "-m", "pytest", "-q", "-rN", "-p", "no:cacheprovider", *arguments)
    async with terminal.running(*words) as child:
        code, out = await child.end()
    assert code == 0, f"{out}\n{child.log}"
    return out.splitlines()[-1]


async def test_the_tests_of_the_page_pass(terminal, tmp_path):
    """Exactly as printed, with pytest-asyncio and nothing else."""
    (tmp_path / "pyproject.toml").write_text(program(PAGE, "pyproject.toml"), encoding="utf-8")
    assert {block.detail for block in blocks(PAGE) if block.language == "python"} - {""} == PROGRAMS | TESTS
    assert f"{len(TESTS)} passed" in await outcome(terminal, "-p", "pytest_asyncio.plugin")


def test_the_test_of_a_service_is_short():
    """Two peers, one that hangs, and a lost registry, in twenty lines of code."""
    lines = [line for line in program(PAGE, "test_shop.py").splitlines() if line.strip()]
    assert len(lines) <= 20


#: Two tests, for a plugin that needs marks; the second one may share its event loop with others.
MARKED = """
import asyncio
import pytest
from peerage import Discovery

{mark}
async def test_function(peers, virtual_clock):
    orders = await peers.add("orders", 1)
    async with Discovery() as discovery, discovery.session() as session:
        async with session.get("http://orders.service_id.asab/") as response:
            assert await response.json() == 1
    await asyncio.sleep(3600)

{mark_shared}
async def test_shared(peers, virtual_clock):
    await asyncio.sleep(3600)
    await peers.add("orders", 1)

@pytest.fixture
def anyio_backend():
    return "asyncio"
"""

STRICTLY = {"mark": "@pytest.mark.asyncio", "mark_shared": '@pytest.mark.asyncio(loop_scope="module")'}
BY_ANYIO = {"mark": "@pytest.mark.anyio", "mark_shared": "@pytest.mark.anyio"}


@pytest.mark.parametrize(
    ("plugin", "ini", "marks"),
    [
        ("pytest_asyncio.plugin", "asyncio_default_fixture_loop_scope = function", STRICTLY),
        ("anyio.pytest_plugin", "", BY_ANYIO),
    ],
)
async def test_it_works_with_what_runs_asynchronous_tests(tmp_path, plugin, ini, marks):
    terminal = Terminal("README.md", tmp_path, **ONLY)
    (tmp_path / "pytest.ini").write_text(f"[pytest]\n{ini}\n", encoding="utf-8")
    (tmp_path / "test_it.py").write_text(MARKED.format(**marks), encoding="utf-8")
    assert "2 passed" in await outcome(terminal, "-p", plugin, "test_it.py")


async def test_a_project_keeps_its_own_fixtures(tmp_path):
    """The peers are in the registry of the plugin although the project has another fixture of that name."""
    terminal = Terminal("README.md", tmp_path, **ONLY)
    (tmp_path / "test_it.py").write_text(
        """
import os
import pytest

@pytest.fixture
def registry():
    return "their own"

def test_it(registry, peers):
    peers.add("orders")
    assert registry == "their own"
    assert [each.service_id for each in peers.registry.instances()] == ["orders"]
    assert os.environ["PEERAGE_REGISTRY"] == peers.registry.url

@pytest.mark.peerage_registry("zookeeper")
@pytest.mark.xfail(strict=True)
def test_a_marker_that_is_misspelled(peers):
    pass
""",
        encoding="utf-8",
    )
    assert "1 passed, 1 xfailed" in await outcome(terminal, "--strict-markers", "test_it.py")


async def test_it_loads_next_to_nothing_before_it_is_used(tmp_path):
    program = (
        "import sys, pytest; before = set(sys.modules); import peerage.testing.plugin; "
        "print(*sorted(set(sys.modules) - before))"
    )
    async with run(sys.executable, "-c", program) as child:
        loaded = (await child.line()).split()
    assert loaded == [
        "peerage",
        "peerage.errors",
        "peerage.lazy",
        "peerage.testing",
        "peerage.testing.plugin",
    ]


def test_pytest_finds_it_by_its_entry_point():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    name = project["entry-points"]["pytest11"]["peerage"]
    assert (ROOT / "src" / Path(*name.split("."))).with_suffix(".py").exists()
