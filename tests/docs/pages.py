"""The code blocks of the documentation, and what a comment above each says about how it is tested."""

import re
import textwrap
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from peerage.backends.zookeeper import tls

ROOT = Path(__file__).parents[2]

_FENCE = re.compile(r"^( *)```(\S*)[^\n]*\n(.*?)\n\1```", re.MULTILINE | re.DOTALL)
_COMMENT = re.compile(r"<!-- (example|service|not run)(?:: ([^\n]*?))? -->\n\s*\Z")


@dataclass(frozen=True)
class Block:
    """One code block.

    A comment above it says what it is: ``<!-- example: NAME -->`` a program that a test runs by that name,
    ``<!-- service: NAME -->`` one that serves until it is stopped, with or without a name, ``<!-- not run:
    REASON -->`` one whose names are checked only. Without a comment it is a fragment.
    """

    page: str
    line: int
    language: str
    text: str
    mark: str
    detail: str

    @property
    def where(self) -> str:
        """The page and the line."""
        return f"{self.page}:{self.line}"


def pages() -> list[str]:
    """All documents, relative to the root."""
    found = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    return sorted(str(path.relative_to(ROOT)) for path in found)


@cache
def text_of(page: str) -> str:
    """The source of a page."""
    return (ROOT / page).read_text(encoding="utf-8")


@cache
def blocks(page: str) -> tuple[Block, ...]:
    """The code blocks of a page."""
    text = text_of(page)
    found = []
    for fence in _FENCE.finditer(text):
        comment = _COMMENT.search(text, 0, fence.start())
        mark, detail = (comment[1], comment[2] or "") if comment else ("", "")
        line = text.count("\n", 0, fence.start()) + 1
        found.append(Block(page, line, fence[2], textwrap.dedent(fence[3]) + "\n", mark, detail))
    return tuple(found)


def all_blocks(*languages: str) -> list[Block]:
    """Those of all pages in one of the *languages*."""
    return [block for page in pages() for block in blocks(page) if block.language in languages]


def program(page: str, name: str) -> str:
    """Return the program that follows the comment with its name."""
    (block,) = (block for block in blocks(page) if block.mark and block.detail == name)
    return block.text


def commands(page: str) -> list[tuple[str, str]]:
    """Return the commands of a page, and what it says that each prints."""
    text = "".join(block.text for block in blocks(page) if block.language == "console")
    steps = (step.partition("\n") for step in text.removeprefix("$ ").split("\n$ "))
    return [(command, answer.rstrip("\n")) for command, _, answer in steps if command]


@cache
def is_read(variable: str) -> bool:
    """Tell whether the library reads a variable of the environment, or README.md documents it."""
    if variable in {tls.variable(option) for option in ("auth", "acl", "ca", "cert", "key")}:
        return True
    sources = [*(ROOT / "src").rglob("*.py"), ROOT / "README.md"]
    return any(variable in source.read_text(encoding="utf-8") for source in sources)
