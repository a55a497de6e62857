"""Files of a folder, such as a built user interface."""

import logging
from pathlib import Path

from aiohttp import web

__all__ = ["StaticDirProvider"]

log = logging.getLogger(__name__)


class StaticDirProvider:
    """Serves what is in a folder when the application starts: its files, its folders, and an index.

    Args:
        webapp: the aiohttp application.
        root: the path below which it is served.
        path: the folder.
        index: the file that *root* itself shows.
    """

    def __init__(self, webapp: web.Application, root: str, path: str, index: str = "index.html") -> None:
        self.Path = path
        self.Index = index
        self.Root = root.rstrip("/")
        folder = Path(path)
        if not folder.is_dir():
            log.warning("rootdir=%s is no folder, so nothing is served from there", path)
            return
        webapp.router.add_get(self.Root or "/", self._handler_of(folder / index))
        for entry in sorted(folder.iterdir()):
            if entry.name.startswith("."):
                continue
            if entry.is_file():
                webapp.router.add_get(f"{self.Root}/{entry.name}", self._handler_of(entry))
            elif entry.is_dir():
                webapp.router.add_static(f"{self.Root}/{entry.name}", entry)

    @staticmethod
    def _handler_of(path: Path):  # type: ignore[no-untyped-def] # noqa: ANN205 - a handler
        async def handler(_: web.Request) -> web.FileResponse:
            return web.FileResponse(path)

        return handler
