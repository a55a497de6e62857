"""The names that a piece of Python uses and doesn't bind."""

import ast
import builtins
from collections.abc import Iterator


def unknown_names(tree: ast.AST, known: set[str]) -> set[str]:
    """Return the names that are neither built in, nor *known*, nor bound anywhere in *tree*."""
    used = {node.id for node in ast.walk(tree) if isinstance(node, ast.Name)}
    return used - known - vars(builtins).keys() - set(_bound(tree))


def _bound(tree: ast.AST) -> Iterator[str]:
    """Yield the names that a program binds."""
    for node in ast.walk(tree):
        match node:
            case ast.Name(name, ast.Store()) | ast.arg(name):
                yield name
            case ast.FunctionDef(name) | ast.AsyncFunctionDef(name) | ast.ClassDef(name):
                yield name
            case ast.alias(name, other):
                yield other or name.partition(".")[0]
