"""The files of the page, as browsers get them."""

from pathlib import Path
from urllib.parse import urljoin

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from peerage.serve import page
from peerage.serve.hosts import HEADERS, add_headers, guard

_STATIC = Path(page.__file__).with_name("static")
_FILES = sorted(path.name for path in _STATIC.iterdir())


@pytest.fixture
async def client():
    """A client of a server that has nothing but the page."""
    app = web.Application(middlewares=[guard()])
    app.on_response_prepare.append(add_headers)
    page.add_page(app)
    async with TestClient(TestServer(app)) as client:
        yield client


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/", "text/html; charset=utf-8"),
        ("/static/page.css", "text/css; charset=utf-8"),
        ("/static/page.js", "text/javascript; charset=utf-8"),
        ("/static/icon.svg", "image/svg+xml"),
    ],
)
async def test_the_files_are_served(client, path, kind):
    """With the type that browsers insist on, and the headers of everything that is served."""
    answer = await client.get(path)
    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
    assert HEADERS.items() <= dict(answer.headers).items()
    name = "index.html" if path == "/" else path.rpartition("/")[2]
    assert await answer.read() == (_STATIC / name).read_bytes()
    head = await client.head(path)
    assert (head.status, head.headers["Content-Length"]) == (200, answer.headers["Content-Length"])


@pytest.mark.parametrize("name", _FILES)
async def test_a_file_is_kept_until_it_changes(client, name):
    """A browser asks each time, so that another version of peerage is shown at once."""
    answer = await client.get(f"/static/{name}")
    assert (answer.status, answer.headers["Cache-Control"]) == (200, "no-cache")
    again = await client.get(f"/static/{name}", headers={"If-None-Match": answer.headers["ETag"]})
    assert again.status == 304
    other = await client.get(f"/static/{name}", headers={"If-None-Match": '"another"'})
    assert other.status == 200


@pytest.mark.parametrize("path", ["/static/", "/static/missing.js", "/static/..%2F__init__.py", "/page.js"])
async def test_nothing_else_is_served(client, path):
    assert (await client.get(path)).status == 404


@pytest.mark.parametrize("name", [name for name in _FILES if name.endswith(".js")])
async def test_modules_import_what_is_there(client, name):
    """Relative to themselves, so that the page can be mounted below a prefix."""
    text = (_STATIC / name).read_text()
    for line in text.splitlines():
        if line.startswith("import "):
            imported = line.rpartition(" from ")[2].strip('";')
            assert imported.startswith("./")
            assert (await client.get(urljoin("/static/", imported))).status == 200


def test_the_page_keeps_to_its_policy():
    """No inline script or style, and nothing from another origin; the policy would forbid it."""
    text = (_STATIC / "index.html").read_text()
    assert "<style" not in text
    assert " style=" not in text
    assert text.count("<script") == text.count('<script type="module" src="static/')
    for part in text.split('href="')[1:] + text.split('src="')[1:]:
        assert part.startswith(("static/", "v1/"))


def test_texts_never_become_markup():
    """Records are untrusted."""
    for name in _FILES:
        text = (_STATIC / name).read_text()
        for word in ("innerHTML", "outerHTML", "insertAdjacentHTML", "document.write", "eval("):
            assert word not in text, name
