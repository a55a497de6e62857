"""The site is checked when it is built."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec

import pytest
from tests.docs.pages import ROOT
from tests.docs.theme import theme

PAGE = '<h1 id="top">A page</h1>{}<img src="picture.svg">'


@pytest.fixture
def site(tmp_path):
    """A function that makes a site of two pages, the second one with the given HTML."""

    def make(html: str) -> list[str]:
        (tmp_path / "picture.svg").write_text("<svg/>")
        (tmp_path / "index.html").write_text(PAGE.format(""))
        (tmp_path / "other.html").write_text(PAGE.format(html))
        return list(theme("links").check(tmp_path))

    return make


@pytest.mark.parametrize(
    "link",
    [
        '<a href="index.html#top">',
        '<a href="#top">',
        '<a href=".">',
        '<a href="https://example.org/path#part">',
        '<link href="data:,">',
    ],
)
def test_a_link_leads_somewhere(site, link):
    """To a page, to a part of it, or to another host."""
    assert site(link) == []


@pytest.mark.parametrize(
    ("link", "problem"),
    [
        ('<a href="missing.html">', "no such file"),
        ('<a href="index.html#missing">', "no such anchor"),
        ('<a href="#missing">', "no such anchor"),
        ('<a href="https://example/">', "not the URL of a web page"),
        ('<a href="file:///etc/hosts">', "not the URL of a web page"),
        ('<script src="https://cdn.example.org/x.js">', "loaded from another host"),
        ('<link rel="stylesheet" href="//cdn.example.org/x.css">', "loaded from another host"),
        ('<img src="missing.svg">', "no such file"),
    ],
)
def test_a_wrong_link_is_found(site, link, problem):
    """The message names page and link."""
    (found,) = site(link)
    assert found.startswith("other.html: ")
    assert found.endswith(problem)


@pytest.mark.parametrize(
    "line", ["@import 'https://example.org/x.css';", "a { background: url(//example.org/x) }"]
)
def test_a_style_sheet_loads_nothing_from_elsewhere(site, tmp_path, line):
    (tmp_path / "extra.css").write_text(line)
    (found,) = site("")
    assert found.startswith("extra.css: ")


@pytest.mark.long
@pytest.mark.skipif(not find_spec("mkdocs"), reason="mkdocs isn't installed: make docs installs it")
def test_the_reference_has_no_roles_left(tmp_path):
    """Docstrings are reStructuredText in part; the site shows links, and code in blocks."""
    command = (sys.executable, "-m", "mkdocs", "build", "--quiet", "--strict", "--site-dir", tmp_path)
    environ = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, check=False, cwd=ROOT, env=environ, capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (0, "")
    pages = {path.stem: path.read_text(encoding="utf-8") for path in (tmp_path / "reference").glob("*.html")}
    assert len(pages) > 8
    for page in pages.values():
        assert not re.search(r":(meth|class|func|attr|mod|data):", page)
        assert not re.search(r"<p>::</p>|::\n", page)
    assert 'href="peerage.html#peerage.Discovery"' in pages["web"]
    assert 'href="#peerage.web.propagate"' in pages["web"]
    for name in (
        "peerage.web.PRINCIPAL",
        "peerage.integrations.asgi.discovered",
        "peerage.testing.eventually",
    ):
        assert any(f'id="{name}"' in page for page in pages.values()), name
