"""A hook of mkdocs: the links of a built site lead somewhere, and no page loads a file from another host."""

import re
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

#: What a style sheet or a picture loads.
_LOADED = re.compile(r"""(?:url\(\s*|@import\s+|\bhref=)["']?([^"')\s]+)""")

_ELSEWHERE = "loaded from another host"


class Page(HTMLParser):
    """The ids of a page, the links that a reader follows, and the files that it loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Collect from one tag."""
        for name, value in attrs:
            if name in {"id", "name"} and value:
                self.ids.add(value)
            elif name in {"src", "srcset", "href", "data", "poster", "action"} and value:
                (self.links if tag in {"a", "area"} else self.loaded).append(value)


def on_post_build(config: Any, **_: Any) -> None:
    """Fail the build if a link is broken."""
    problems = sorted(check(Path(config.site_dir)))
    if problems:
        raise SystemExit("The site has wrong links:\n" + "\n".join(problems))


def check(site: Path) -> Iterator[str]:
    """Say which links of a built *site* are wrong: those within it exactly, others by their form."""

    @cache
    def page(path: Path) -> Page:
        return Page(path.read_text(encoding="utf-8"))

    for path in site.rglob("*.html"):
        where = path.relative_to(site)
        for url in page(path).links:
            problem = _external(url) if urlsplit(url).scheme else _internal(url, path, site, page)
            if problem:
                yield f"{where}: {url}: {problem}"
        for url in page(path).loaded:
            problem = _ELSEWHERE if _is_elsewhere(url) else _internal(url, path, site, page)
            if problem and not url.startswith("data:"):
                yield f"{where}: {url}: {problem}"
    for path in (*site.rglob("*.css"), *site.rglob("*.svg")):
        for url in filter(_is_elsewhere, _LOADED.findall(path.read_text(encoding="utf-8"))):
            yield f"{path.relative_to(site)}: {url}: {_ELSEWHERE}"


def _is_elsewhere(url: str) -> bool:
    return urlsplit(url).scheme not in {"", "data"} or bool(urlsplit(url).netloc)


def _external(url: str) -> str:
    parts = urlsplit(url)
    if parts.scheme == "mailto":
        return "" if "@" in parts.path else "no address"
    well_formed = parts.scheme in {"http", "https"} and "." in (parts.hostname or "") and " " not in url
    return "" if well_formed else "not the URL of a web page"


def _internal(url: str, path: Path, site: Path, page: Any) -> str:
    parts = urlsplit(url)
    # A leading slash only in 404.html, which is shown at any address.
    base = site if parts.path.startswith("/") else path.parent
    target = (base / unquote(parts.path).lstrip("/")).resolve() if parts.path else path
    if target.is_dir():
        target /= "index.html"
    if not target.is_file():
        return "no such file"
    fragment = unquote(parts.fragment)
    if fragment and target.suffix == ".html" and fragment not in page(target).ids | {"__comments"}:
        return "no such anchor"
    return ""
