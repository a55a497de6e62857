"""The code in docstrings, which the API reference shows, is valid."""

import ast
import re
import textwrap
from collections.abc import Iterator

import pytest
from tests.docs.pages import ROOT

_LITERAL = re.compile(r"^( *)::\n\n((?:\1 {4}.*\n?|\n)+)", re.MULTILINE)


def literals() -> Iterator[pytest.param]:
    """Yield the literal blocks of Python in docstrings of the library."""
    for file in sorted((ROOT / "src").rglob("*.py")):
        source = file.read_text(encoding="utf-8")
        # Every process that runs tests collects this file, and parsing takes most of the time.
        if "::\n\n" not in source:
            continue
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                for block in _LITERAL.finditer((ast.get_docstring(node) or "") + "\n"):
                    if not re.search(r"[│├└─►▼]|\A\s*\w+ --\w", block[2]):
                        name = getattr(node, "name", "module")
                        yield pytest.param(textwrap.dedent(block[2]), id=f"{file.stem}-{name}")


@pytest.mark.parametrize("text", [*literals()])
def test_the_code_in_a_docstring_is_valid(text):
    """It is Python, with … for what is left to the reader."""
    compile(text.replace("…", "..."), "docstring", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)
