"""What a scrape costs with 10,000 instances: the metrics of a program that calls all, and the targets."""

import asyncio
import http.client
import statistics
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from aiohttp import web

from benchmarks.heartbeat import Heartbeat
from benchmarks.records import SERVICE_OF, record
from benchmarks.report import Row, heartbeat_row, milliseconds
from peerage import Discovery
from peerage.balancing import Outcome
from peerage.prometheus import collector, handler
from peerage.serve import View, create_app

_LARGE = 10_000

#: Scrapes of each kind, after the first one.
_SCRAPES = 20

#: How a Prometheus asks.
_ACCEPT = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"


def measure() -> list[Row]:
    """Every row of this part."""
    return asyncio.run(_measured())


async def _measured() -> list[Row]:
    rows = []
    async with _served() as port:
        for path, what in (
            ("/program/metrics", "`/metrics` of a program that called all"),
            ("/metrics", "`/metrics` of `peerage serve`,"),
            ("/v1/prometheus/targets", "targets of Prometheus,"),
        ):
            with Heartbeat() as heartbeat:
                await asyncio.to_thread(_get, port, path)
                first = heartbeat.take()
                cpus, gaps = [], []
                for _ in range(_SCRAPES):
                    begin = time.process_time()
                    size = await asyncio.to_thread(_get, port, path)
                    cpus.append(time.process_time() - begin)
                    gaps.append(heartbeat.take())
            cpu = statistics.median(cpus)
            rows += [
                Row(
                    f"{what} {_LARGE:,} instances in {_LARGE // SERVICE_OF:,} services",
                    "≤ 200 ms CPU",
                    f"{milliseconds(cpu)} for {size / 1e3:,.0f} kB",
                    cpu <= 0.2,
                ),
                heartbeat_row(
                    "the event loop meanwhile, in the first scrape and in the others", [first, *gaps]
                ),
            ]
    return rows


@asynccontextmanager
async def _served() -> AsyncIterator[int]:
    """Serve everything on loopback, and yield the port."""
    async with Discovery("memory:bench") as discovery, discovery.session():
        await discovery.ready()
        for number in range(_LARGE):
            discovery.directory.put(record(number))
        _call_all(discovery)
        async with View(discovery.membership) as view:
            app = create_app(view)
            app.router.add_get("/program/metrics", handler(collector(discovery)))
            runner = web.AppRunner(app, access_log=None)
            await runner.setup()
            try:
                await web.TCPSite(runner, "127.0.0.1", 0).start()
                # The rows of the page are made meanwhile, in slices.
                await asyncio.sleep(3)
                yield runner.addresses[0][1]
            finally:
                await runner.cleanup()


def _call_all(discovery: Discovery) -> None:
    balancer = discovery.balancer
    assert balancer is not None
    for number in range(_LARGE // SERVICE_OF):
        name = ("service_id", f"orders{number}")
        pick = balancer.pick(discovery.directory.targets(*name), balancer.service(name))
        assert pick is not None
        pick.answered(pick.started + 0.01)
        pick.done(Outcome.ANSWERED, pick.started)


def _get(port: int, path: str) -> int:
    """Return the size of the answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port)
    try:
        connection.request("GET", path, headers={"Accept": _ACCEPT})
        response = connection.getresponse()
        assert response.status == 200
        return len(response.read())
    finally:
        connection.close()
