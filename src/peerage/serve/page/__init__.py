"""The page: static files that show what the API says."""

from pathlib import Path
from typing import Final

from aiohttp import web

_FILES: Final = Path(__file__).with_name("static")


def add_page(app: web.Application) -> None:
    """Add the page's files to *app*, the page itself as ``/``."""

    async def page(_request: web.Request) -> web.FileResponse:
        return web.FileResponse(_FILES / "index.html", headers={"Cache-Control": "no-cache"})

    app.router.add_get("/", page)
    app.router.add_static("/static/", _FILES)
