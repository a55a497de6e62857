"""The routes of the HTTP API."""

from aiohttp import web

from peerage.directory import fold_criteria
from peerage.directory.listing import listing, row
from peerage.records.text import as_json
from peerage.serve.events import Events
from peerage.serve.view import View


def add_api(app: web.Application, view: View) -> None:
    """Add the API's routes, below ``/v1/``, to *app*."""
    api = _Api(view)
    app.router.add_get("/v1/status", api.status)
    app.router.add_get("/v1/instances", api.instances)
    app.router.add_get("/v1/instances/{name}", api.instance)
    app.router.add_get("/v1/changes", Events(view).handle)


class _Api:
    def __init__(self, view: View) -> None:
        self._view = view

    async def status(self, _request: web.Request) -> web.Response:
        return _json(self._view.status())

    async def instances(self, request: web.Request) -> web.Response:
        rows = listing(self._view.membership.directory, fold_criteria(dict(request.query)))
        return _json([each.entry() for each in rows])

    async def instance(self, request: web.Request) -> web.Response:
        found = row(self._view.membership.directory, request.match_info["name"])
        if found is None:
            return web.json_response({"error": "There is no such record."}, status=404)
        return _json(found.entry())


def _json(value: object) -> web.Response:
    return web.Response(text=as_json(value), content_type="application/json")  # type: ignore[arg-type]
