"""docs/asab-migration.md: its lines run, and its messages are those that programs get."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.asab.both import ours, theirs

import peerage

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs/asab-migration.md").read_text(encoding="utf-8")


def rows(title: str) -> list[list[str]]:
    """The cells of the table below a title."""
    _, _, section = GUIDE.partition(f"\n## {title}\n")
    lines = [line for line in section.split("\n## ")[0].splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines[2:]]


def quoted(cell: str) -> list[str]:
    return re.findall(r"`([^`]+)`", cell)


@pytest.mark.parametrize("cells", rows("What to change"), ids=lambda cells: cells[0])
def test_import_lines(cells):
    """The old lines run on the original and the new ones here; removed lines aren't needed."""
    before, after = map(quoted, cells)
    assert before
    assert theirs("\n".join(before)).code == 0
    assert ours("\n".join(after)).code == 0
    for line in before if not after else ():
        name = line.removeprefix("import asab.")
        assert ours(f"say(asab.{name}.__name__)").lines == [f"peerage.asab.{name}"]


def messages() -> Iterator[str]:
    """All texts of the library, with … for what is filled in."""
    for file in Path(peerage.__file__).parent.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.JoinedStr):
                yield "".join(part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                yield re.sub(r"%(\.\d)?[a-z]", "…", node.value)


def test_messages():
    """The table names only messages that exist."""
    texts = [re.sub("[\"']…[\"']", "…", text) for text in messages()]
    wanted = [message for cells in rows("By message") for message in quoted(cells[0])]
    assert len(wanted) > 15
    assert [message for message in wanted if not any(message in text for text in texts)] == []
