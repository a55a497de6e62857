"""Every command of the documentation exists, with the options that it is given."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, blocks, commands, is_read, pages, text_of
from typer.testing import CliRunner

from peerage.cli.app import app

BIN = Path(sys.executable).parent

#: Programs of the system; whether they are installed here doesn't matter.
SYSTEM = {
    "cd",
    "curl",
    "docker",
    "git",
    "journalctl",
    "kill",
    "kubectl",
    "openssl",
    "ssh",
    "sudo",
    "systemctl",
}

#: Programs whose help lists all options of all that they do.
SERVERS = {"granian", "gunicorn", "hypercorn", "uvicorn"}

#: A command in a sentence.
_INLINE = re.compile(r"`((?:granian|gunicorn|hypercorn|make|peerage|pip install|uvicorn) [^`\n]+)`")


def steps() -> list[tuple[str, str]]:
    """The commands of all pages, and the pages."""
    found = [
        (page, command)
        for page in pages()
        for command in (*(command for command, _ in commands(page)), *_INLINE.findall(text_of(page)))
    ]
    return list(dict.fromkeys(found))


@cache
def help_of(*words: str) -> str:
    """What a command says of its options."""
    environ = {**os.environ, "COLUMNS": "200", "TERM": "dumb", "NO_COLOR": "1"}
    command = (BIN / words[0], *words[1:], "--help")
    return subprocess.run(command, check=True, capture_output=True, text=True, env=environ).stdout


@pytest.mark.parametrize(("page", "command"), steps())
def test_a_command_exists(page, command):
    """Its program is there, and so are the options, targets, extras and files that it names."""
    words = shlex.split(command, comments=True)
    while words and re.match(r"[A-Z_]+=", words[0]):
        check_variable(words.pop(0))
    if words:
        program, *rest = words
        if check := CHECKS.get(program):
            check(page, rest)
        else:
            assert program in SYSTEM or (BIN / program).exists(), "nothing says that this command exists"
            if program in SERVERS:
                check_options(help_of(program), rest)


def check_export(_page: str, assignments: list[str]) -> None:
    assert assignments
    for assignment in assignments:
        check_variable(assignment)


def check_make(_page: str, targets: list[str]) -> None:
    for target in targets:
        assert "=" in target or re.search(rf"^{target}:", text_of("Makefile"), re.MULTILINE)


def check_pip(_page: str, words: list[str]) -> None:
    if words[0] != "install":
        check_options(help_of("pip", words[0]), words)
        return
    for requirement in words[1:]:
        check_requirement(requirement)


def check_python(page: str, words: list[str]) -> None:
    if words[0] == "-m":
        assert find_spec(words[1])
    else:
        assert (ROOT / words[0]).exists() or words[0] in {block.detail for block in blocks(page)}


def check_peerage(_page: str, words: list[str]) -> None:
    name = [] if words[0].startswith("-") else words[:1]
    told = CliRunner().invoke(app, [*name, "--help"], env={"COLUMNS": "200", "TERM": "dumb"})
    assert told.exit_code == 0, told.output
    check_options(told.output, words)


CHECKS = {
    "export": check_export,
    "make": check_make,
    "peerage": check_peerage,
    "pip": check_pip,
    "python": check_python,
}


def check_options(told: str, words: list[str]) -> None:
    for word in words:
        if word.startswith("-"):
            assert re.search(rf"(?<![\w-]){re.escape(word.partition('=')[0])}(?![\w-])", told), word


def check_variable(assignment: str) -> None:
    """One of a program, or one that the library reads."""
    name = assignment.partition("=")[0]
    assert name == "ARGS" or is_read(name), name


def check_requirement(requirement: str) -> None:
    extras = re.fullmatch(r"(?:peerage|\.|dist/\S+)(?:\[([\w,]+)\])?", requirement)
    project = tomllib.loads(text_of("pyproject.toml"))["project"]
    if extras:
        assert set(filter(None, (extras[1] or "").split(","))) <= project["optional-dependencies"].keys()
    elif not requirement.startswith("-"):
        assert find_spec(requirement.partition("[")[0].replace("-", "_")), requirement
