"""The page on troubleshooting: its messages exist, and no error is missing."""

import re
from types import SimpleNamespace

import pytest
from tests.docs.pages import ROOT, text_of
from tests.docs.theme import theme

import peerage
from peerage import errors

PAGE = text_of("docs/troubleshooting.md")


SITE = theme("messages")

#: Raised with a text that other functions made.
ELSEWHERE = {"DeadlineExceededError", "PeerageError", "RegistryError"}


def messages() -> tuple:
    """All messages of the source, which is read once, by the first test."""
    return SITE.messages(ROOT / "src" / "peerage")


def documented() -> list[str]:
    """The texts in the first columns of the tables."""
    tables = re.findall(r"^\| message \|.*?\n\n", PAGE, re.MULTILINE | re.DOTALL)
    rows = [row for table in tables for row in table.splitlines()[2:] if row]
    return [re.match(r"\| `([^`]+)` \|", row)[1] for row in rows]


@pytest.mark.parametrize("text", documented())
def test_a_message_exists(text):
    """The source has the words of the page, in that order."""
    pattern = re.compile(".*?".join(re.escape(part) for part in text.split("…")), re.DOTALL)
    assert any(pattern.search(message.text) for message in messages())


def test_each_error_is_explained():
    """In the table of errors, with what else it is."""
    _, _, table = PAGE.partition("\n## By error\n")
    rows = dict(re.findall(r"^\| `(\w+)` \|(.*?)\|", table.partition("\n## ")[0], re.MULTILINE))
    assert rows.keys() == {*errors.__all__, "UnreachableError"} - {"PeerageError"}
    for name, also in rows.items():
        bases = {base.__name__ for base in getattr(peerage, name).__bases__} - {"PeerageError"}
        assert also.strip(" `").rpartition(".")[2] == "".join(bases)


def test_every_message_has_a_place():
    """The list on the site has all of them; a module in no area fails the build."""
    config = SimpleNamespace(docs_dir=ROOT / "docs")
    listed = SITE.on_page_markdown(SITE.MARK, config)
    assert listed.count("<code>") == len(messages()) > 250


@pytest.mark.parametrize("name", sorted({*errors.__all__} - ELSEWHERE))
def test_each_error_that_is_raised_has_messages(name):
    """The search finds the messages of each kind, so that it misses none for its form."""
    assert any(message.kind == name for message in messages())
