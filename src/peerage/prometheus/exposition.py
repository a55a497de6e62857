"""Metrics for Prometheus: collecting those of a Discovery, and serving them (extra ``prometheus``)."""

import asyncio
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

from aiohttp import hdrs, web
from aiohttp.typedefs import Handler

from peerage.discovery import Discovery
from peerage.errors import MissingExtraError
from peerage.membership import Membership

if TYPE_CHECKING:
    from prometheus_client.registry import Collector


class Clients(Protocol):
    """Who follows the changes of the cluster over HTTP."""

    @property
    def clients(self) -> int:
        """How many are connected."""

    @property
    def dropped(self) -> int:
        """How many were disconnected because they were slow."""


def collector(source: Discovery | Callable[[], Discovery] | Membership | Clients) -> "Collector":
    """Return what yields the metrics of a Discovery, to be registered once with prometheus_client.

    ::

        from prometheus_client import REGISTRY
        from peerage.prometheus import collector

        REGISTRY.register(collector(discovery))

    Nothing is measured for it: it shows the counters that there are anyway, at the moment when it is asked,
    on any thread. It can't be used in the multiprocess mode of prometheus_client: let each worker process
    serve its own metrics.

    Args:
        source: a :class:`peerage.Discovery`, or a function that returns the one of this process, such as
            ``portal.get`` of a :class:`peerage.sync.Discovery`; or only its ``membership``: without calls and
            tokens; or the clients of ``peerage serve``.

    Raises:
        MissingExtraError: ``prometheus-client`` isn't installed.
    """
    with _extra():
        from peerage.prometheus import metrics  # noqa: PLC0415 - the extra may be missing
    if isinstance(source, Membership):
        return metrics.MembershipCollector(source)
    if isinstance(source, Discovery):
        return metrics.DiscoveryCollector(lambda: source)
    return metrics.DiscoveryCollector(source) if callable(source) else metrics.ClientsCollector(source)


def handler(*collectors: "Collector") -> Handler:
    """Return a handler of aiohttp that answers with the metrics of *collectors*: registries, or single ones.

    ::

        app.router.add_get("/metrics", handler(REGISTRY))

    The text is made in a thread, because that takes milliseconds for a cluster of hundreds of services.

    Raises:
        MissingExtraError: ``prometheus-client`` isn't installed.
    """
    with _extra():
        from peerage.prometheus import metrics  # noqa: PLC0415 - the extra may be missing

    async def handle(request: web.Request) -> web.StreamResponse:
        accept = request.headers.get(hdrs.ACCEPT, "")
        content_type, body = await asyncio.to_thread(metrics.encode, accept, collectors)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    return handle


@contextmanager
def _extra() -> Iterator[None]:
    try:
        yield
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "Metrics need the package prometheus-client: pip install 'peerage[prometheus]'."
        ) from error
