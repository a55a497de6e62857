"""A hook of mkdocs: the page on troubleshooting lists every message, read from the source."""

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from functools import cache
from html import escape
from pathlib import Path
from typing import Any, NamedTuple

#: Where the page has the list.
MARK = "<!-- every message -->"

#: Headings, and the beginnings of the paths that belong to each; the first one that fits counts.
AREAS = {
    "The embedded registry": ("backends/embedded",),
    "ZooKeeper": ("backends/zookeeper",),
    "Other registries, and their URLs": ("backends", "registry"),
    "Advertising": (
        "records",
        "registration",
        "predecessors",
        "integrations/advertising",
        "integrations/election",
    ),
    "Finding": ("discovery", "finder", "disk_cache", "membership", "directory", "outage_log", "changes"),
    "Calls": ("calling", "client", "balancing", "deadlines", "telemetry", "integrations/transports"),
    "Clients of other kinds": ("integrations/httpx", "integrations/portal", "integrations/synchronous"),
    "Servers": ("serving", "web", "integrations"),
    "Tokens and keys": ("auth",),
    "Page, HTTP API and Prometheus": ("serve", "prometheus"),
    "The command line": ("cli",),
    "Programs of ASAB": ("asab",),
    "Tests": ("testing",),
    "Installation": ("lazy",),
}

_LEVELS = {
    "info": "INFO",
    "warning": "WARNING",
    "error": "ERROR",
    "exception": "ERROR",
    "critical": "CRITICAL",
}

#: Files whose functions return the texts that others raise or log.
_TEXTS = ("messages.py", "advice.py")

#: How many words a message has at least; a shorter text is a part of one.
_WORDS = 4

#: Kinds that are functions which make an exception.
_KINDS = {"_bad_request": "HTTP 400", "not_ready": "NotReadyError", "": "an error's text"}


class Message(NamedTuple):
    """A text with … for what is filled in; its kind is an exception or a level of the log."""

    path: str
    kind: str
    text: str


@cache
def messages(package: Path) -> tuple[Message, ...]:
    """Return what the modules of a package raise and log, as far as it is a sentence.

    An exception whose text begins in small letters is a part of another message.
    """
    found = []
    for file in sorted(package.rglob("*.py")):
        path = str(file.relative_to(package))
        if not path.startswith("cli/demo"):
            for kind, node in _said(ast.parse(file.read_text(encoding="utf-8")), texts=file.name in _TEXTS):
                text = text_of(node)
                part = len(text.split()) < _WORDS or (text[0].islower() and not kind.isupper())
                if kind != "AssertionError" and not part:
                    found.append(Message(path, _KINDS.get(kind, kind), text))
    return tuple(dict.fromkeys(found))


def _said(tree: ast.AST, *, texts: bool) -> Iterator[tuple[str, ast.expr | None]]:
    for node in ast.walk(tree):
        match node:
            case ast.Raise(exc=ast.Call(func=ast.Name(name) | ast.Attribute(attr=name), args=args)):
                yield from ((name, argument) for argument in args)
            case ast.Call(func=ast.Name("refuse"), args=[ast.Constant(int(status)), text]):
                yield f"HTTP {status}", text
            case ast.Call(func=ast.Attribute(logger, level), args=[text, *_]):
                if level in _LEVELS and ast.unparse(logger).lower().endswith(("log", "logger")):
                    yield _LEVELS[level], text
            case ast.Return(value=text) | ast.Assign(value=text) if texts:
                yield "", text


def text_of(node: ast.expr | None) -> str:
    """Return a literal text, with … for what is filled in; empty if it is none."""
    match node:
        case ast.JoinedStr(values):
            return "".join(part.value if isinstance(part, ast.Constant) else "…" for part in values)
        case ast.Constant(str(text)):
            return re.sub(r"%(\.\d)?[a-z]", "…", text)
    return ""


def area_of(path: str) -> str:
    """Return the heading under which the messages of a module are listed."""
    name = path.removesuffix(".py").removesuffix("/__init__")
    for area, beginnings in AREAS.items():
        if any(name == beginning or name.startswith(f"{beginning}/") for beginning in beginnings):
            return area
    raise SystemExit(f"docs/theme/messages.py: no area has {path}.")


def on_page_markdown(markdown: str, config: Any, **_: Any) -> str:
    """Put the list into the page that asks for it."""
    if MARK not in markdown:
        return markdown
    by_area = defaultdict(list)
    for message in messages(Path(config.docs_dir).parent / "src" / "peerage"):
        by_area[area_of(message.path)].append(message)
    sections = (f"### {area}\n\n{_table(by_area[area])}" for area in AREAS if by_area[area])
    return markdown.replace(MARK, "\n\n".join(sections))


def _table(rows: list[Message]) -> str:
    lines = [f"| {_cell(row.text)} | {row.kind} |" for row in sorted(rows, key=lambda row: row.text)]
    return "\n".join(["| message | what it is |", "| --- | --- |", *lines])


def _cell(text: str) -> str:
    shown = escape(" ".join(text.split()))
    for character in "|*_`[]":
        shown = shown.replace(character, f"&#{ord(character)};")
    return f"<code>{shown}</code>"
