"""The registry is gone for a day: everything answers from what is known, and says how old it is."""

import asyncio

import pytest
from aiohttp import web
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader

from peerage import Discovery, NotDiscoveredError
from peerage.telemetry import OpenTelemetry
from peerage.testing import eventually
from peerage.web.running import bound_web

HOUR = 3600.0

#: An idle connection is looked at every 15 seconds, which takes real time.
CLOSE = {"Connection": "close"}


@pytest.fixture
async def service(url):
    """A service that is called all day; its registry isn't the caller's connection that is lost."""

    async def answer(_):
        return web.Response(text="here")

    app = web.Application()
    app.router.add_get("/", answer)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    async with Discovery(url, service_id="orders", instance_id="orders-1") as service:
        await service.advertise(web=bound_web(runner))
        yield service
    await runner.cleanup()


async def test_a_day_without_the_registry(registry, url, service, virtual_clock):
    """Questions, calls and changes answer in each hour, and `age` counts."""
    reader = InMemoryMetricReader()
    telemetry = OpenTelemetry(meter_provider=MeterProvider(metric_readers=[reader]))

    def measured():
        (resource,) = reader.get_metrics_data().resource_metrics
        metrics = {each.name: each for scope in resource.scope_metrics for each in scope.metrics}
        (point,) = metrics["peerage.registry.age"].data.data_points
        assert point.attributes == {"peerage.registry.url": url}
        return point.value

    async with Discovery(registry, telemetry=telemetry) as caller, caller.session() as session:
        await eventually(caller.directory.find)
        assert (caller.stale, caller.age, measured()) == (None, 0, 0)
        registry.lose("no server answers")
        await caller.membership.wait_stale()
        for hour in range(24):
            assert caller.stale == "no server answers"
            assert hour * HOUR <= caller.age < (hour + 1) * HOUR
            assert await caller.locate(service_id="orders")
            assert [each.instance_id for each in await caller.instances()] == ["orders-1"]
            assert "orders-1" in (await caller.discover())["instance_id"]
            assert (await anext(caller.changes())).instance.instance_id == "orders-1"
            async with session.get("http://orders.service_id.asab/", headers=CLOSE) as response:
                assert await response.text() == "here"
            await asyncio.sleep(HOUR)
        assert measured() >= 24 * HOUR
        with pytest.raises(NotDiscoveredError, match=r"out of reach for 86[0-9]{3} s.*no server answers"):
            await session.get("http://stock.service_id.asab/")
        registry.restore()
        await caller.membership.wait_in_touch()
        assert (caller.stale, caller.age, measured()) == (None, 0, 0)
