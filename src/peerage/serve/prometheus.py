"""What Prometheus asks for: its targets, and the metrics of this server."""

from functools import partial
from typing import NamedTuple

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from peerage.directory import Criteria
from peerage.errors import MissingExtraError
from peerage.prometheus import collector, handler, sort_key, target_groups
from peerage.records.instance import Instance
from peerage.records.text import as_json
from peerage.serve.answers import refuse
from peerage.serve.events import Events
from peerage.serve.questions import question
from peerage.serve.sending import send_list
from peerage.serve.view import View
from peerage.waiting import Slices


class _Known(NamedTuple):
    """The groups of one instance as they are sent."""

    instance: Instance
    key: str
    data: bytes


def add_prometheus(app: web.Application, view: View, events: Events | None = None) -> None:
    """Add ``/v1/prometheus/targets`` and ``/metrics`` to *app*.

    Args:
        app: gets the routes.
        view: what is shown.
        events: those of the API, whose clients are counted.
    """
    app.router.add_get("/v1/prometheus/targets", question(view, Targets(view).handle))
    app.router.add_get("/metrics", _metrics(view, events))


def _metrics(view: View, events: Events | None) -> Handler:
    try:
        # Not what a program has in prometheus_client's registry, which isn't about the cluster.
        return handler(*(collector(each) for each in (view.membership, events) if each is not None))
    except MissingExtraError as error:
        return partial(_refuse, f"{error}")


async def _refuse(message: str, _request: web.Request) -> web.StreamResponse:
    return refuse(501, message)


class Targets:
    """Answers Prometheus' HTTP service discovery with what is known of the cluster.

    An error makes Prometheus keep the targets that it has, and an empty list makes it forget them. So nothing
    is answered before the registry was read, and afterwards always everything that is known.
    """

    def __init__(self, view: View) -> None:
        self._directory = view.membership.directory
        self._known: dict[str, _Known] = {}

    async def handle(self, request: web.Request, criteria: Criteria) -> web.StreamResponse:
        """Answer with the targets that match all *criteria*; none: with all targets."""
        return await send_list(request, await self.groups(criteria), {hdrs.CACHE_CONTROL: "no-store"})

    async def groups(self, criteria: Criteria = ()) -> list[bytes]:
        """Return the groups as JSON, made in slices from the instances that are known when it is begun."""
        found, slices = [], Slices()
        for instance in self._directory.find(criteria):
            found.append(self._groups_of(instance))
            await slices.pause()
        self._forget()
        found.sort(key=_key)
        return [known.data for known in found if known.data]

    def _forget(self) -> None:
        """Forget the instances that left, once they are as many as those that are known."""
        if len(self._known) > 2 * len(self._directory):
            self._known = {
                name: known
                for name, known in self._known.items()
                if self._directory.get(name) is known.instance
            }

    def _groups_of(self, instance: Instance) -> _Known:
        known = self._known.get(instance.name)
        if known is None or known.instance is not instance:
            data = as_json(target_groups(instance))[1:-1].encode()
            known = self._known[instance.name] = _Known(instance, sort_key(instance), data)
        return known


def _key(known: _Known) -> str:
    return known.key
