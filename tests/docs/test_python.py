"""The fragments of Python in the documentation run, with what their pages take for granted."""

import ast
import inspect
from contextlib import AsyncExitStack
from types import EllipsisType
from typing import Any

import pytest
from aiohttp import ClientSession
from tests.docs.names import unknown_names
from tests.docs.pages import Block, all_blocks
from tests.docs.world import world

#: A real ensemble of servers takes a while.
SLOW = "peerage.testing.zookeeper"


def fragments() -> list[Any]:
    """The blocks without a mark above them."""
    return [
        pytest.param(block, id=block.where, marks=[pytest.mark.long] if SLOW in block.text else [])
        for block in all_blocks("python")
        if not block.mark
    ]


@pytest.mark.parametrize("block", fragments())
async def test_a_fragment_runs(block, monkeypatch, tmp_path, peers):
    """It meets a shop, which calls orders, and everything that `import peerage` offers."""
    async with world(monkeypatch, tmp_path, peers) as names:
        await execute(block, names)


async def execute(block: Block, names: dict[str, Any]) -> None:
    tree = Shortened().visit(ast.parse(block.text, block.where))
    code = compile(ast.fix_missing_locations(tree), block.where, "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
    given = set(names)
    async with AsyncExitStack() as stack:
        try:
            result = eval(code, names)  # noqa: S307 - it is our own documentation
            if inspect.isawaitable(result):
                await result
        finally:
            for name in names.keys() - given:
                if isinstance(names[name], ClientSession):
                    stack.push_async_callback(names[name].close)


class Shortened(ast.NodeTransformer):
    """Ends a loop without end whose body is left to the reader, after its first round."""

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        match node.body:
            case [ast.Expr(ast.Constant(value=EllipsisType()))]:
                node.body = [ast.Break()]
        return node


@pytest.mark.parametrize(
    "block", [pytest.param(b, id=b.where) for b in all_blocks("python") if b.mark == "not run"]
)
async def test_what_isnt_run_names_what_exists(block, monkeypatch, tmp_path, peers):
    """Its imports succeed, and no name is unknown; the comment says why it can't be run."""
    assert len(block.detail.split()) >= 3, "a reason"
    tree = ast.parse(block.text)
    async with world(monkeypatch, tmp_path, peers) as names:
        for node in ast.walk(tree):
            if isinstance(node, ast.Import | ast.ImportFrom):
                exec(compile(ast.Module([node], []), block.where, "exec"), {})  # noqa: S102 - likewise
        assert unknown_names(tree, set(names)) == set()
