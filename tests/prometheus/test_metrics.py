"""The metrics of a Discovery, and those of peerage serve."""

import asyncio
import itertools
import math
import sys

import pytest
from aiohttp import ClientTimeout, web
from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.parser import text_string_to_metric_families
from tests.prometheus.conftest import served
from tests.support import record

import peerage.prometheus
import peerage.sync
from peerage import Discovery
from peerage.balancing import Outcome
from peerage.errors import MissingExtraError, NotDiscoveredError, TokenRefusedError
from peerage.prometheus import collector, handler
from peerage.prometheus.metrics import MOST_SERVICES, OTHERS
from peerage.serve import View, create_app


async def scraped(client):
    """The value of each sample that ``/metrics`` shows, by ``name{label="value"}`` as in its text."""
    async with client.get("/metrics") as response:
        assert response.status == 200
        text = await response.text()
    samples = {}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            labels = ",".join(f'{name}="{value}"' for name, value in sorted(sample.labels.items()))
            shown = f"{sample.name}{{{labels}}}" if labels else sample.name
            assert shown not in samples
            samples[shown] = sample.value
    return samples


@pytest.fixture
async def program(discovery):
    """A session for a program that shows the metrics of its Discovery."""
    registry = CollectorRegistry()
    registry.register(collector(discovery))
    app = web.Application()
    app.router.add_get("/metrics", handler(registry))
    async with served(app) as session:
        yield session


async def test_the_registry_and_what_is_known_of_it(client, registry, discovery):
    """Each state of an instance has its number, and an outage shows."""
    await discovery.ready()
    directory = discovery.directory
    directory.put(record("1", host="node-2"))
    directory.put(record("2", 2, peerage={"state": "draining"}))
    directory.put(record("3", 3, service_id="Bills", web=None))
    directory.put(record("4", data=b"{"))
    samples = await scraped(client)
    assert samples["peerage_registry_ready"] == samples["peerage_registry_in_touch"] == 1
    assert samples["peerage_serve_clients"] == samples["peerage_serve_clients_dropped_total"] == 0
    assert samples["peerage_registry_age_seconds"] == samples["peerage_registry_outages_total"] == 0
    assert samples[f'peerage_registry_info{{url="{registry.url}"}}'] == 1
    assert samples["peerage_directory_records"] == 4
    assert samples["peerage_directory_malformed_records"] == len(directory.problems)
    assert samples["peerage_directory_changes_total"] == 3
    assert samples['peerage_directory_instances{state="ready"}'] == 1
    assert samples['peerage_service_instances{service="orders",state="ready"}'] == 1
    assert samples['peerage_service_instances{service="orders",state="draining"}'] == 1
    assert samples['peerage_service_instances{service="bills",state="uncallable"}'] == 1
    assert samples['peerage_service_instances{service="bills",state="ready"}'] == 0
    registry.lose("the cable")
    await discovery.membership.wait_stale()
    samples = await scraped(client)
    assert samples["peerage_registry_ready"] == samples["peerage_registry_outages_total"] == 1
    assert samples["peerage_registry_in_touch"] == 0 < samples["peerage_registry_age_seconds"]
    # They are gone with the registry's records, as far as one knows.
    directory.remove("1")
    samples = await scraped(client)
    assert samples['peerage_service_instances{service="orders",state="suspect"}'] == 1


async def test_nothing_is_known_yet(registry):
    """The age is infinite: an alert on it fires."""
    registry.lose("the cable")
    async with Discovery(registry) as discovery, View(discovery.membership) as view:
        await discovery.membership.wait_stale()
        async with served(create_app(view)) as client:
            samples = await scraped(client)
    assert samples["peerage_registry_ready"] == samples["peerage_registry_in_touch"] == 0
    assert samples["peerage_registry_age_seconds"] == math.inf


async def test_calls_are_counted_by_service_and_outcome(program, discovery):
    """Names other than service ids share a label, and names that no instance has are left out."""

    async def answer(request):
        return web.Response(status=503 if request.path == "/bad" else 200)

    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", answer)
    async with served(app) as server, discovery.session() as session:
        port = server._base_url.port
        await discovery.advertise(port=port)
        for _ in range(3):
            async with session.get("http://orders.service_id.asab/good") as response:
                await response.read()
        async with session.post("http://orders.service_id.asab/bad") as response:
            assert response.status == 503
        async with session.get("http://orders-1.instance_id.asab/good") as response:
            await response.read()
        with pytest.raises(NotDiscoveredError):
            await session.get("http://nothing.service_id.asab/", timeout=ClientTimeout(1))
        samples = await scraped(program)
    given_up = "peerage_client_calls_given_up_total"
    assert samples[f'{given_up}{{ending="as_it_is",service="orders"}}'] == 1
    assert samples[f'{given_up}{{ending="not_discovered",service="{OTHERS}"}}'] == 1
    attempts = 'peerage_client_attempts_total{outcome="%s",service="orders"}'
    assert samples[attempts % "answered"] == 3
    assert samples[attempts % "unavailable"] == 1
    assert samples[f'peerage_client_attempts_total{{outcome="answered",service="{OTHERS}"}}'] == 1
    durations = "peerage_client_attempt_duration_seconds"
    assert samples[f'{durations}_count{{service="orders"}}'] == 3
    assert samples[f'{durations}_bucket{{le="+Inf",service="orders"}}'] == 3
    assert 0 < samples[f'{durations}_sum{{service="orders"}}'] < 120
    assert samples['peerage_client_requests_in_flight{service="orders"}'] == 0
    assert samples['peerage_client_retries_total{service="orders"}'] == 0
    assert samples['peerage_registrations{state="registered"}'] == 1


async def test_tokens_are_counted(program, discovery):
    """The reason is one of a few words."""
    verifier = discovery.auth.verifier()
    for token in (None, "nonsense"):
        with pytest.raises(TokenRefusedError):
            await verifier.verify(token)
    header = await discovery.auth.header()("orders.service_id.asab")
    await verifier.verify(header.removeprefix("Bearer "))
    samples = await scraped(program)
    assert samples["peerage_auth_tokens_accepted_total"] == 1
    assert samples['peerage_auth_requests_refused_total{reason="missing"}'] == 1
    assert samples['peerage_auth_requests_refused_total{reason="malformed"}'] == 1


async def test_the_number_of_series_is_bounded(program, discovery):
    """Services beyond the first ones in the order of their names share a label."""
    await discovery.ready()
    names = [f"service-{number:04d}" for number in range(MOST_SERVICES)]
    for number, name in enumerate([*names, "zeta", 'zeta"\n']):
        discovery.directory.put(record(f"{number}", number, service_id=name))
    samples = await scraped(program)
    ready = {name: value for name, value in samples.items() if name.endswith('state="ready"}')}
    assert len(ready) == MOST_SERVICES + 2
    assert sum(ready.values()) == 2 * (MOST_SERVICES + 2)
    assert ready[f'peerage_service_instances{{service="{OTHERS}",state="ready"}}'] == 2


async def test_metrics_are_collected_on_any_thread_meanwhile(discovery):
    """A scrape in a thread, as of prometheus_client's own server, meets a directory that changes."""
    await discovery.ready()
    registry = CollectorRegistry()
    registry.register(collector(discovery))
    numbers = itertools.count()

    def change():
        """One instance more, which is called by a new name."""
        number = next(numbers)
        discovery.directory.put(record(f"{number}", number, service_id=f"{number}"))
        name, balancer = ("service_id", f"{number}"), discovery.balancer
        pick = balancer.pick(discovery.directory.targets(*name), balancer.service(name))
        pick.answered(pick.started)
        pick.done(list(Outcome)[number % len(Outcome)], pick.started)

    async with discovery.session():
        for _ in range(1000):
            change()
        interval = sys.getswitchinterval()
        sys.setswitchinterval(1e-6)
        try:
            scrapes = [asyncio.create_task(asyncio.to_thread(generate_latest, registry)) for _ in range(10)]
            while not all(scrape.done() for scrape in scrapes):
                change()
                await asyncio.sleep(0)
        finally:
            sys.setswitchinterval(interval)
        for text in await asyncio.gather(*scrapes):
            assert b"peerage_directory_changes_total" in text


def test_a_program_without_an_event_loop_has_them_too():
    """Of the Discovery that its process has, found at each scrape."""
    registry = CollectorRegistry()
    with peerage.sync.Discovery("memory:metrics", service_id="shop") as discovery:
        registry.register(collector(discovery.portal.get))
        discovery.advertise(port=80)
        discovery.ready()
        assert b'peerage_registrations{state="registered"} 1.0' in generate_latest(registry)


async def test_without_prometheus_client_the_pip_line_is_said(discovery, monkeypatch):
    """By the function, and by peerage serve, which goes on without metrics."""
    monkeypatch.delattr(peerage.prometheus, "metrics")
    monkeypatch.delitem(sys.modules, "peerage.prometheus.metrics")
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    monkeypatch.setitem(sys.modules, "prometheus_client.core", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'peerage\[prometheus\]'"):
        collector(discovery)
    async with (
        View(discovery.membership) as view,
        served(create_app(view)) as client,
        client.get("/metrics") as response,
    ):
        assert response.status == 501
        assert "pip install" in (await response.json())["error"]
