"""An extension of griffe: it reads the docstrings of this project, which are reST in part, as Markdown.

Constants are documented by comments that begin with ``#:``.
"""

import re
from typing import Any

import griffe

#: :meth:`peerage.Discovery.advertise`, :class:`~peerage.calling.Call`
_ROLE = re.compile(r":(?:mod|class|meth|func|attr|data|exc):`(~?)([^`]+)`")

#: Two colons on a line of their own, and the indented lines below.
_LITERAL = re.compile(r"^( *)::\n\n((?:\1 {4}.*\n?|\n)+)", re.MULTILINE)

_TREE = re.compile("[│├└─►▼]")

#: A command and its options.
_COMMAND = re.compile(r"\w+ --\w")


class Roles(griffe.Extension):
    """Translates the docstrings of a package once it is loaded."""

    def on_object(self, *, obj: griffe.Object, **_: Any) -> None:
        """Translate the docstring of a module, class, function or attribute."""
        if obj.is_attribute and not obj.docstring and (comment := _comment_above(obj)):
            obj.docstring = griffe.Docstring(comment, parent=obj)
        if obj.docstring:
            text = _LITERAL.sub(_fence, obj.docstring.value + "\n")
            obj.docstring.value = _ROLE.sub(lambda role: _reference(role, obj), text).rstrip()


def _comment_above(obj: griffe.Object) -> str:
    """The lines that begin with ``#:`` and end above the definition."""
    try:
        lines = obj.lines_collection[obj.filepath]
    except KeyError:
        return ""  # a package that is inspected, not read
    begin = end = (obj.lineno or 1) - 1
    while begin and lines[begin - 1].lstrip().startswith("#:"):
        begin -= 1
    return "\n".join(line.lstrip().removeprefix("#:").strip() for line in lines[begin:end])


def _fence(block: re.Match[str]) -> str:
    indent, lines = block[1], block[2].rstrip("\n").split("\n")
    language = (
        "text" if _TREE.search(block[2]) else "console" if _COMMAND.match(lines[0].strip()) else "python"
    )
    inner = "\n".join(line[4:] if line else line for line in lines)
    return f"{indent}```{language}\n{inner}\n{indent}```\n\n"


def _reference(role: re.Match[str], obj: griffe.Object) -> str:
    """A link to what the role names, if the site has it; else its name alone."""
    name = role[2]
    shown = name.rpartition(".")[2] if role[1] else name
    for scope in (None, obj, obj.parent, obj.module):
        found = _canonical(obj, f"{scope.path}.{name}" if scope else name)
        if found:
            return f'<autoref optional identifier="{found}"><code>{shown}</code></autoref>'
    return f"`{shown}`"


def _canonical(obj: griffe.Object, path: str) -> str:
    """The path of what *path* leads to, if anything; an imported name leads to another module."""
    try:
        found = obj.modules_collection.get_member(path)
    except (KeyError, griffe.GriffeError):
        return ""
    return str(found.target_path if found.is_alias else found.path)
