"""The routes of the HTTP API; ``openapi.json`` describes them."""

import json
from collections.abc import Iterator
from importlib.resources import files
from typing import Any

from aiohttp import hdrs, web

from peerage import __version__
from peerage.directory import Criteria
from peerage.directory.listing import Row, matching_rows, order, row
from peerage.directory.services import Services
from peerage.records.text import as_json
from peerage.serve.answers import answer, refuse
from peerage.serve.events import Events
from peerage.serve.questions import not_ready, question
from peerage.serve.sending import send_list, separated
from peerage.serve.view import View
from peerage.waiting import Slices

_DOCUMENT = "/v1/openapi.json"


def add_api(app: web.Application, view: View, events: Events | None = None) -> None:
    """Add the API's routes to *app*: ``/healthz``, ``/readyz`` and what is below ``/v1/``.

    Args:
        app: gets the routes.
        view: what is shown.
        events: serves the changes; made by default.
    """
    api, get = _Api(view), app.router.add_get
    events = Events(view) if events is None else events
    app.on_shutdown.append(events.end)
    get("/healthz", api.healthz, name="healthz")
    get("/readyz", api.readyz, name="readyz")
    get("/v1/status", api.status)
    get("/v1/services", question(view, api.services))
    get("/v1/instances", question(view, api.instances))
    get("/v1/instances/{name}", question(view, api.instance))
    get("/v1/locate", question(view, api.locate))
    get("/v1/timeline", api.timeline)
    get("/v1/changes", events.handle)
    get(_DOCUMENT, document)


async def document(request: web.Request) -> web.Response:
    """Answer with the OpenAPI document of the API, as it is mounted here."""
    described = json.loads(files(__package__).joinpath("openapi.json").read_bytes())
    described["info"]["version"] = __version__
    described["servers"] = [{"url": request.path.removesuffix(_DOCUMENT) or "/"}]
    return answer(described)


class _Api:
    def __init__(self, view: View) -> None:
        self._view = view
        self._directory = view.membership.directory

    async def healthz(self, _request: web.Request) -> web.Response:
        if self._view.failed:
            return refuse(503, "The view of the cluster has ended, which is a bug: restart this server.")
        return answer({"alive": True})

    async def readyz(self, _request: web.Request) -> web.Response:
        return not_ready(self._view) or answer({"ready": True})

    async def status(self, _request: web.Request) -> web.Response:
        return answer(self._view.status())

    async def timeline(self, _request: web.Request) -> web.Response:
        moments = b"[%b]\n" % b"".join(separated(self._view.timeline.entries()))
        headers = {hdrs.CACHE_CONTROL: "no-store"}
        return web.Response(body=moments, content_type="application/json", headers=headers)

    # Questions about the directory

    async def services(self, request: web.Request, criteria: Criteria) -> web.StreamResponse:
        services, slices = Services(), Slices()
        for each in matching_rows(self._directory, criteria):
            services.add(each)
            await slices.pause()
        values = (as_json(entry).encode() for entry in services.entries())
        return await send_list(request, values, {hdrs.CACHE_CONTROL: "no-store"})

    async def instances(self, request: web.Request, criteria: Criteria) -> web.StreamResponse:
        # Taken first: a change meanwhile is in the list, perhaps, and has another tag.
        tag = f'W/"{self._view.version}"'
        headers: dict[str, str] = {hdrs.ETAG: tag, hdrs.CACHE_CONTROL: "no-cache"}
        if any(f'W/"{known.value}"' == tag for known in request.if_none_match or ()):
            return web.Response(status=304, headers=headers)
        rows, slices = [], Slices()
        for each in matching_rows(self._directory, criteria):
            rows.append((order(each), each))
            await slices.pause()
        rows.sort(key=_key)
        return await send_list(request, _entries(rows), headers)

    async def instance(self, request: web.Request, _criteria: Criteria) -> web.Response:
        found = row(self._directory, request.match_info["name"])
        if found is None:
            return refuse(404, "There is no record of this name: the names are in the list v1/instances.")
        return answer(found.entry())

    async def locate(self, _request: web.Request, criteria: Criteria) -> web.Response:
        if not criteria:
            return refuse(400, "Name at least one id, for example ?service_id=orders")
        return answer(sorted(set(self._directory.urls(criteria))))


def _key(keyed: tuple[Any, Row]) -> Any:
    return keyed[0]


def _entries(rows: list[tuple[Any, Row]]) -> Iterator[bytes]:
    return (as_json(each.entry()).encode() for _, each in rows)
