"""The page on environment and command line has everything that there is."""

import re

from tests.docs.pages import ROOT, is_read, text_of

from peerage.cli.app import app

PAGE = text_of("docs/reference/environment.md")
SHOWN = set(re.findall(r"`((?:PEERAGE|ASAB)_[A-Z_]+|[A-Z]+_ID)`", PAGE))


def test_every_variable_is_documented():
    """Those that the source names, and no others."""
    files = (ROOT / "src").rglob("*.py")
    source = "\n".join(file.read_text(encoding="utf-8") for file in files)
    named = set(re.findall(r'"((?:PEERAGE|ASAB)_[A-Z]+(?:_[A-Z]+)*)"', source))
    assert named <= SHOWN
    for variable in SHOWN - {"NODE_ID", "SITE_ID"}:
        assert is_read(variable), variable


def test_every_command_and_exit_code_is_documented():
    """In the words of `peerage --help`."""
    for command in app.registered_commands:
        if not command.hidden:
            assert f"`peerage {command.name}" in PAGE
    codes = str(app.info.epilog).removeprefix("Exit codes: ").rstrip(".").split("; ")
    assert re.findall(r"^\| (\d+) \| (.*) \|$", PAGE, re.MULTILINE) == [
        tuple(code.split(" ", 1)) for code in codes
    ]
