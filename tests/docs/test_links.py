"""The links of all documents lead to files and headings of the repository, also without the site."""

import re
from functools import cache
from pathlib import Path

import pytest
from tests.docs.pages import ROOT, pages, text_of

_FENCE = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\]\((?!https?://|mailto:)([^)\s#]*)(?:#([^)\s]+))?\)")


@cache
def headings(path: Path) -> set[str]:
    """The anchors of a document's headings, as GitHub and mkdocs make them."""
    titles = re.findall(r"^#+ (.*)$", _FENCE.sub("", path.read_text(encoding="utf-8")), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", title.lower()).strip().replace(" ", "-") for title in titles}


@pytest.mark.parametrize("page", pages())
def test_the_links_of_a_page_lead_somewhere(page):
    """To a file that is there, and to a heading that it has."""
    wrong = []
    for target, anchor in _LINK.findall(_FENCE.sub("", text_of(page))):
        path = (ROOT / page).parent / target if target else ROOT / page
        if not path.exists() or (anchor and path.suffix == ".md" and anchor not in headings(path)):
            wrong.append(f"{target}#{anchor}")
    assert not wrong
