"""Metrics for Prometheus: register a collector, and serve what is registered (extra ``prometheus``)."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

from aiohttp import hdrs, web

from peerage.errors import MissingExtraError

if TYPE_CHECKING:
    from prometheus_client.registry import Collector, CollectorRegistry

    from peerage.discovery import Discovery
    from peerage.membership import Membership


def collector(source: "Discovery | Membership") -> "Collector":
    """Return what yields the metrics of a Discovery, to be registered once with prometheus_client.

    ::

        from prometheus_client import REGISTRY
        from peerage.prometheus import collector

        REGISTRY.register(collector(discovery))

    Nothing is measured for it: it shows the counters that there are anyway, at the moment when it is asked,
    on any thread. It doesn't work in the multiprocess mode of prometheus_client, which knows no collectors:
    let each worker process serve its own metrics.

    Args:
        source: a :class:`peerage.Discovery`, or only its ``membership``: without calls and tokens.

    Raises:
        MissingExtraError: ``prometheus-client`` isn't installed.
    """
    try:
        from peerage.prometheus.collector import DiscoveryCollector, MembershipCollector  # noqa: PLC0415 - the extra may be missing
    except ModuleNotFoundError as error:
        raise MissingExtraError(
            "Metrics need the package prometheus-client: pip install 'peerage[prometheus]'."
        ) from error
    from peerage.membership import Membership  # noqa: PLC0415

    return MembershipCollector(source) if isinstance(source, Membership) else DiscoveryCollector(source)


def handler(registry: "CollectorRegistry") -> Callable[[web.Request], Awaitable[web.Response]]:
    """Return a handler of aiohttp that answers with all metrics of *registry*.

    ::

        app.router.add_get("/metrics", handler(REGISTRY))

    The text is made in a thread, because that takes milliseconds for a cluster of hundreds of services.
    """
    from prometheus_client.exposition import choose_encoder  # noqa: PLC0415 - the extra may be missing

    async def metrics(request: web.Request) -> web.Response:
        encode, content_type = choose_encoder(request.headers.get(hdrs.ACCEPT, ""))
        body = await asyncio.to_thread(encode, registry)
        return web.Response(body=body, headers={hdrs.CONTENT_TYPE: content_type})

    return metrics
