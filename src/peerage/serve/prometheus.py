"""What Prometheus asks for: its targets, and the metrics of this server."""

import asyncio
from functools import partial
from typing import Final, NamedTuple

from aiohttp import web
from aiohttp.typedefs import Handler

from peerage.directory import Criteria, fold_criteria
from peerage.errors import MissingExtraError
from peerage.prometheus import collector, handler
from peerage.prometheus.targets import sort_key, target_groups
from peerage.records.instance import Instance
from peerage.records.text import as_json
from peerage.serve.view import View
from peerage.timing import monotonic

#: Seconds of work after which other tasks of the event loop run.
_SLICE: Final = 0.003

#: Seconds after which a client may ask again while nothing is known.
_RETRY_AFTER: Final = "5"


class _Known(NamedTuple):
    """The groups of one instance as they are sent."""

    instance: Instance
    key: str
    data: bytes


def add_prometheus(app: web.Application, view: View) -> None:
    """Add ``/v1/prometheus/targets`` and ``/metrics`` to *app*."""
    app.router.add_get("/v1/prometheus/targets", Targets(view).handle)
    app.router.add_get("/metrics", _metrics(view))


def _metrics(view: View) -> Handler:
    try:
        # Not what a program has in prometheus_client's registry, which isn't about the cluster.
        return handler(collector(view.membership))
    except MissingExtraError as error:
        return partial(_refuse, f"{error}")


async def _refuse(message: str, _request: web.Request) -> web.StreamResponse:
    return web.json_response({"error": message}, status=501)


class Targets:
    """Answers Prometheus' HTTP service discovery.

    An error makes Prometheus keep the targets that it has, and an empty list makes it forget them. So the
    answer is 503 as long as the registry wasn't read, and otherwise everything that is known, also while the
    registry is out of reach.
    """

    def __init__(self, view: View) -> None:
        self._view = view
        self._known: dict[str, _Known] = {}

    async def handle(self, request: web.Request) -> web.Response:
        """Answer with the targets that match all criteria, ``?service_id=orders``; none: with all targets."""
        membership = self._view.membership
        if not membership.ready:
            return web.json_response(
                {"error": f"The registry {membership.registry.url} wasn't read yet: ask again later."},
                status=503,
                headers={"Retry-After": _RETRY_AFTER},
            )
        data = await self.render(fold_criteria(dict(request.query)))
        return web.Response(body=data, content_type="application/json")

    async def render(self, criteria: Criteria) -> bytes:
        """Return the list as JSON, made in slices from the instances that are known when it is begun."""
        instances = self._view.membership.directory.find(criteria)
        found: list[_Known] = []
        ends = monotonic() + _SLICE
        for instance in instances:
            found.append(self._groups(instance))
            if monotonic() >= ends:
                await asyncio.sleep(0)
                ends = monotonic() + _SLICE
        self._forget()
        found.sort(key=_key)
        return b"[%b]" % b",\n".join(known.data for known in found if known.data)

    def _forget(self) -> None:
        """Forget the instances that left, once they are as many as those that are known."""
        directory = self._view.membership.directory
        if len(self._known) > 2 * len(directory):
            self._known = {
                name: known for name, known in self._known.items() if directory.get(name) is known.instance
            }

    def _groups(self, instance: Instance) -> _Known:
        known = self._known.get(instance.name)
        if known is None or known.instance is not instance:
            data = as_json(target_groups(instance))[1:-1].encode()
            known = self._known[instance.name] = _Known(instance, sort_key(instance), data)
        return known


def _key(known: _Known) -> str:
    return known.key
