"""The page: static files that show what the API says. There is no build step, and nothing from outside."""

from pathlib import Path
from typing import Final

from aiohttp import hdrs, web

_FILES: Final = Path(__file__).with_name("static")

#: The types of the files, whatever the machine's own table of types says.
_TYPES: Final = {
    ".css": "text/css; charset=utf-8",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}


def add_page(app: web.Application) -> None:
    """Add the page as ``/`` and its files below ``/static/`` to *app*.

    Browsers keep the files, and ask each time whether they have changed: another version of peerage is shown
    at once.
    """

    async def page(_request: web.Request) -> web.FileResponse:
        return _file(_FILES / "index.html")

    async def static(request: web.Request) -> web.FileResponse:
        path = files.get(request.match_info["name"])
        if path is None:
            raise web.HTTPNotFound
        return _file(path)

    files = {path.name: path for path in _FILES.iterdir() if path.suffix in _TYPES}
    app.router.add_get("/", page)
    app.router.add_get("/static/{name}", static)


def _file(path: Path) -> web.FileResponse:
    return web.FileResponse(
        path, headers={hdrs.CONTENT_TYPE: _TYPES[path.suffix], hdrs.CACHE_CONTROL: "no-cache"}
    )
