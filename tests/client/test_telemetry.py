"""Spans and metrics of calls, by OpenTelemetry's own SDK."""

import asyncio
import subprocess
import sys

import aiohttp
import pytest
from aiohttp import web
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode
from tests.client.conftest import Fleet

from peerage import Discovery
from peerage.client import Client
from peerage.errors import MissingExtraError
from peerage.telemetry import BUCKETS, OpenTelemetry
from peerage.testing import begun, eventually

ORDERS = "http://orders.service_id.asab/v1?q=1"


class Observed:
    """A fleet whose calls are reported, and what came of it."""

    def __init__(self, fleet: Fleet):
        self._exporter = InMemorySpanExporter()
        self._reader = InMemoryMetricReader()
        self.tracing = TracerProvider()
        self.tracing.add_span_processor(SimpleSpanProcessor(self._exporter))
        self.telemetry = OpenTelemetry(
            tracer_provider=self.tracing, meter_provider=MeterProvider(metric_readers=[self._reader])
        )
        self.client = Client(fleet.membership, telemetry=self.telemetry)

    @property
    def spans(self):
        return self._exporter.get_finished_spans()

    @property
    def points(self):
        """The points of the histogram."""
        (resource,) = self._reader.get_metrics_data().resource_metrics
        (scope,) = resource.scope_metrics
        (metric,) = scope.metrics
        assert (metric.name, metric.unit) == ("http.client.request.duration", "s")
        return metric.data.data_points


@pytest.fixture
async def observed(fleet):
    observed = Observed(fleet)
    yield observed
    await observed.client.aclose()
    observed.tracing.shutdown()


async def ask(session, method="GET", url=ORDERS):
    async with session.request(method, url) as response:
        await response.read()
        return response.status


async def test_one_span_of_the_kind_client_names_the_service_and_the_instance(fleet, observed):
    served = await fleet.serve()
    async with observed.client.session() as session:
        await ask(session, url="http://me:secret@orders.service_id.asab/v1?q=1")
    (span,) = observed.spans
    assert (span.name, span.kind, span.status.status_code) == ("GET", SpanKind.CLIENT, StatusCode.UNSET)
    assert dict(span.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "network.peer.address": "127.0.0.1",
        "network.peer.port": served.port,
        "server.address": "orders.service_id.asab",
        "server.port": 80,
        "url.full": ORDERS,
    }


async def test_each_attempt_has_a_span_whose_context_it_carries(fleet, observed):
    fleet.refuse()
    served = await fleet.serve()
    with observed.tracing.get_tracer("test").start_as_current_span("caller") as caller:
        async with observed.client.session() as session:
            for _ in range(100):
                await ask(session)
                if len(observed.spans) > served.hits:
                    break
    failed, answered = [span for span in observed.spans if span.kind is SpanKind.CLIENT][-2:]
    parent = caller.get_span_context()
    for span in (failed, answered):
        assert (span.parent.span_id, span.context.trace_id) == (parent.span_id, parent.trace_id)
    assert failed.attributes["error.type"] == "aiohttp.client_exceptions.ClientConnectorError"
    assert failed.status.status_code is StatusCode.ERROR
    assert "http.request.resend_count" not in failed.attributes
    assert answered.attributes["http.request.resend_count"] == 1
    carried = served.seen[-1].headers.getall("traceparent")
    (version, trace_id, span_id, _flags) = carried[0].split("-")
    context = answered.context
    assert (version, trace_id, span_id) == ("00", f"{context.trace_id:032x}", f"{context.span_id:016x}")
    assert len(carried) == 1


async def test_an_error_status_is_the_type_of_the_error(fleet, observed):
    async def missing(request):
        raise web.HTTPNotFound

    await fleet.serve(missing)
    async with observed.client.session() as session:
        assert await ask(session, "propfind") == 404
    (span,) = observed.spans
    assert span.name == "HTTP"
    assert span.attributes["http.request.method"] == "_OTHER"
    assert span.attributes["http.request.method_original"] == "PROPFIND"
    assert (span.attributes["http.response.status_code"], span.attributes["error.type"]) == (404, "404")
    assert span.status.status_code is StatusCode.ERROR


async def test_a_request_that_is_given_up_ends_its_span(fleet, observed):
    async def never(request):
        await asyncio.Event().wait()

    served = await fleet.serve(never)
    async with observed.client.session() as session:
        asking = await begun(ask(session))
        await eventually(lambda: served.hits)
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    (span,) = observed.spans
    assert span.attributes["error.type"] == "asyncio.exceptions.CancelledError"


async def test_the_durations_are_in_one_histogram_by_the_logical_name(fleet, observed):
    for _ in range(2):
        await fleet.serve()
    async with observed.client.session() as session:
        for _ in range(10):
            await ask(session)
    (point,) = observed.points
    assert (point.count, tuple(point.explicit_bounds)) == (10, BUCKETS)
    assert dict(point.attributes) == {
        "http.request.method": "GET",
        "http.response.status_code": 200,
        "server.address": "orders.service_id.asab",
        "server.port": 80,
    }


async def test_a_backup_has_its_own_caller_as_its_parent(fleet, observed):
    """It is begun by a timer, which another request has started."""
    stopped = fleet.fake()
    await fleet.serve()
    async with observed.client.session(timeout=aiohttp.ClientTimeout(total=30)) as session:
        while observed.client.balancer.stats(stopped.name) is None:
            await ask(session)
        stopped.peer.hang()
        others = []
        while stopped.name not in observed.client.balancer.outstanding:
            others.append(await begun(ask(session)))
            await asyncio.sleep(0.01)
        with observed.tracing.get_tracer("test").start_as_current_span("caller") as caller:
            while observed.client.balancer.outstanding.get(stopped.name) == 1:
                others.append(await begun(ask(session)))
        assert {*await asyncio.gather(*others)} == {200}
        stopped.peer.resume()
    seconds = [span for span in observed.spans if "http.request.resend_count" in span.attributes]
    parents = [None if span.parent is None else span.parent.span_id for span in seconds]
    assert sorted(parents, key=bool) == [None, caller.get_span_context().span_id]


async def test_nothing_is_reported_unless_asked_for(fleet, observed):
    served = await fleet.serve()
    async with fleet.session() as session:
        await ask(session)
    assert observed.spans == ()
    assert "traceparent" not in served.seen[0].headers


async def test_a_discovery_takes_it(fleet, observed):
    async with Discovery("memory:", service_id="orders", telemetry=observed.telemetry) as discovery:
        served = await fleet.serve()
        await discovery.advertise(port=served.port)
        async with discovery.session() as session:
            assert await ask(session) == 200
    assert len(observed.spans) == 1


def test_without_the_package_the_error_says_what_to_install():
    program = (
        "import sys; sys.modules['opentelemetry'] = None\n"
        "from peerage.telemetry import OpenTelemetry\n"
        "try: OpenTelemetry()\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.startswith(f"{MissingExtraError.__name__} OpenTelemetry needs the package")
    assert "peerage[otel]" in done.stdout
