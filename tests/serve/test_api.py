"""The HTTP API over real sockets."""

import json
from uuid import uuid4

import aiohttp
import pytest
from aiohttp import web
from tests.serve.clients import Known, parsed, strict

import peerage
from peerage import Discovery
from peerage.directory.listing import listing
from peerage.registry import open_registry
from peerage.serve import View, create_app
from peerage.testing import eventually

RECORD = {
    "host": "node-1",
    "service_id": "orders",
    "instance_id": "orders-1",
    "node_id": "node-1",
    "version": "v1",
    "web": [["0.0.0.0", 8080]],
    "discovery": {"shard": [1, 2]},
}


class Served:
    """An application that shows a registry of its own in memory."""

    def __init__(self, registry, discovery, view, url, session):
        self.registry, self.discovery, self.view = registry, discovery, view
        self.url, self.session = url, session

    async def advertise(self, **fields):
        """Advertise a record, and return once the view shows it."""
        advertisement = self.registry.advertise("A", json.dumps({**RECORD, **fields}).encode())
        name = await advertisement.registered()
        await eventually(lambda: any(name.encode() in row for row in self.view.rows()))
        return advertisement

    async def get(self, path, **options):
        """Return status, headers and the JSON of the answer."""
        async with self.session.get(f"{self.url}{path}", **options) as response:
            body = await response.read()
            is_json = response.content_type == "application/json"
            return response.status, response.headers, strict(body) if is_json and body else None

    async def json(self, path):
        """Return the JSON of an answer that must be a success."""
        status, _, body = await self.get(path)
        assert status == 200, body
        return body


@pytest.fixture(params=["", "/discovery"], ids=["alone", "mounted"])
async def served(request):
    """By itself, and below a prefix of another application."""
    registry = open_registry(f"memory:{uuid4().hex}")
    async with Discovery(registry.url) as discovery, View(discovery.membership) as view:
        app = create_app(view, host_names=["cluster.example"])
        if request.param:
            outer = web.Application()
            outer.add_subapp(request.param, app)
            app = outer
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        url = f"http://127.0.0.1:{runner.addresses[0][1]}{request.param}"
        async with aiohttp.ClientSession() as session:
            yield Served(registry, discovery, view, url, session)
        await runner.cleanup()
    await registry.aclose()


async def test_instances_are_the_rows_of_the_listing(served):
    await served.advertise()
    await served.advertise(service_id="stock", instance_id="stock-1", discovery={})
    listed = [row.entry() for row in listing(served.discovery.directory)]
    assert await served.json("/v1/instances") == listed
    assert [row["instance"] for row in listed] == ["orders-1", "stock-1"]
    assert await served.json("/v1/instances?service-id=Orders&shard=2") == listed[:1]
    assert await served.json("/v1/instances?shard=3") == []
    assert await served.json(f"/v1/instances/{listed[1]['name']}") == listed[1]


async def test_every_record_is_valid_json(served):
    """Whatever it contains: numbers that aren't JSON, text that can't be encoded, great depth and size."""
    for fields in (
        {"version": float("nan"), "launch_time": [float("inf")], "discovery": {"a": [1e999, "\ud800"]}},
        {"attention_required": {"a": "\ud800\x00</script>"}, "service_id": "\u202eabc"},
        {"instance_id": "x" * 60_000},
    ):
        await served.advertise(**fields)
    deep = '{"service_id": "orders", "version": %s}' % ("[" * 900 + "]" * 900)
    name = await served.registry.advertise("A", deep.encode()).registered()
    await eventually(lambda: len(served.view.rows()) == 4)
    rows = await served.json("/v1/instances")
    assert len(rows) == 4
    assert [await served.json(f"/v1/instances/{row['name']}") for row in rows] == rows
    services = await served.json("/v1/services")
    assert sum(each["instances"] + each["superseded"] for each in services) == 4
    assert name in {row["name"] for row in rows}


async def test_services_are_counted(served):
    await served.advertise()
    await served.advertise(
        instance_id="orders-2", node_id="node-2", version="v2", peerage={"state": "draining"}
    )
    await served.advertise(service_id="stock", instance_id="stock-1", attention_required={"disk": "full"})
    assert await served.json("/v1/services") == [
        {
            "service": "orders",
            "instances": 2,
            "states": {"draining": 1, "ready": 1},
            "versions": [{"version": "v1", "instances": 1}, {"version": "v2", "instances": 1}],
            "mixed_versions": True,
            "nodes": ["node-1", "node-2"],
            "attention_required": 0,
            "superseded": 0,
        },
        {
            "service": "stock",
            "instances": 1,
            "states": {"ready": 1},
            "versions": [{"version": "v1", "instances": 1}],
            "mixed_versions": False,
            "nodes": ["node-1"],
            "attention_required": 1,
            "superseded": 0,
        },
    ]
    assert [each["service"] for each in await served.json("/v1/services?service_id=stock")] == ["stock"]


async def test_locate_says_what_would_be_called(served):
    """As `peerage locate` does: ready instances, not the draining one."""
    await served.advertise()
    await served.advertise(instance_id="orders-2", web=[["0.0.0.0", 8081]], peerage={"state": "draining"})
    assert await served.json("/v1/locate?service_id=orders") == ["http://node-1:8080"]
    assert await served.json("/v1/locate?instance_id=orders-2") == ["http://node-1:8081"]
    assert await served.json("/v1/locate?service_id=unknown") == []


async def test_wrong_criteria_are_400(served):
    for path in (
        "/v1/instances?a=1&a=2",
        "/v1/instances?a=",
        "/v1/services?=x",
        "/v1/locate",
        "/v1/locate?a",
    ):
        status, _, body = await served.get(path)
        assert (status, list(body)) == (400, ["error"]), path


async def test_a_change_is_another_etag(served):
    """And no change is 304, whatever the question."""
    first = await served.advertise()
    _, headers, _ = await served.get("/v1/instances")
    known = {"If-None-Match": headers["ETag"]}
    status, headers, body = await served.get("/v1/instances", headers=known)
    assert (status, headers["ETag"], body) == (304, known["If-None-Match"], None)
    await first.withdraw()
    await eventually(lambda: not served.view.rows())
    status, headers, body = await served.get("/v1/instances", headers=known)
    assert (status, body) == (200, [])
    assert headers["ETag"] != known["If-None-Match"]


HOSTS = {
    "localhost": True,
    "localhost.:8600": True,
    "LOCALHOST:1": True,
    "127.8.9.1": True,
    "[::1]:8600": True,
    "cluster.example": True,
    "Cluster.Example:80": True,
    "": False,
    "evil.example": False,
    "localhost.evil.example": False,
    "evil.example@localhost": False,
    "localhost:80@evil.example": False,
    "10.0.0.1": False,
    "0.0.0.0": False,
}


@pytest.mark.parametrize("path", ["/", "/v1/status", "/v1/changes", "/unknown"])
async def test_another_host_is_421(served, path):
    """DNS rebinding; with the headers that protect a browser, whatever the answer."""
    for host, known in HOSTS.items():
        async with served.session.get(f"{served.url}{path}", headers={"Host": host}) as response:
            assert (response.status == 421) is not known, host
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            assert "frame-ancestors 'none'" in response.headers["Content-Security-Policy"]


async def test_other_methods_are_405(served):
    """A browser's preflight included: no page of another origin may send what isn't plain."""
    for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"):
        async with served.session.request(method, f"{served.url}/v1/instances") as response:
            assert response.status == 405, method
            assert response.headers["Allow"] == "GET, HEAD"
            assert not [name for name in response.headers if name.startswith("Access-Control")]
            assert list(await response.json()) == ["error"]


async def test_what_is_not_there_is_404(served):
    for path in ("/v1/instances/none", "/v1/none", "/none", "/static/../x"):
        status, headers, body = await served.get(path)
        assert (status, list(body)) == (404, ["error"]), path
        assert headers["X-Content-Type-Options"] == "nosniff"


async def test_head_answers_without_a_body(served):
    paths = [path for path in (await served.json("/v1/openapi.json"))["paths"] if "{" not in path]
    for path in paths:
        async with served.session.head(f"{served.url}{path}?service_id=x") as response:
            assert response.status == 200, path
            assert await response.read() == b""
            # A proxy that keeps an answer would show it later as what is so.
            assert path == "/metrics" or response.headers["Cache-Control"] in {"no-store", "no-cache"}, path


async def test_the_document_describes_every_path(served):
    """But for the page and its files; where it is mounted, it says where."""
    document = await served.json("/v1/openapi.json")
    app = create_app(served.view)
    paths = {resource.canonical for resource in app.router.resources()}
    assert {path for path in paths if path != "/" and "static" not in path} == set(document["paths"])
    (server,) = document["servers"]
    assert served.url.endswith(server["url"].rstrip("/"))
    assert document["info"]["version"] == peerage.__version__


async def test_nothing_is_said_about_the_directory_before_it_is_known(request):
    """503, never an empty list; afterwards answers go on while the registry is out of reach."""
    registry = open_registry("memory:unread")
    registry.lose("no route to host")
    async with Discovery(registry, disk_cache=False) as discovery, View(discovery.membership) as view:
        runner = web.AppRunner(create_app(view), access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        async with aiohttp.ClientSession() as session:
            served = Served(registry, discovery, view, f"http://127.0.0.1:{runner.addresses[0][1]}", session)
            await eventually(lambda: discovery.stale)
            for path in ("/v1/instances", "/v1/services", "/v1/locate?a=b", "/v1/instances/x", "/readyz"):
                status, headers, body = await served.get(path)
                assert (status, headers["Retry-After"]) == (503, "5"), path
                assert "no route to host" in body["error"]
            assert await served.json("/healthz") == {"alive": True}
            assert (await served.json("/v1/status"))["age"] is None
            registry.restore()
            await discovery.ready()
            assert await served.json("/readyz") == {"ready": True}
            await served.advertise()
            registry.lose("gone")
            await eventually(lambda: discovery.stale)
            assert len(await served.json("/v1/instances")) == 1
            assert await served.json("/readyz") == {"ready": True}
            status = await served.json("/v1/status")
            assert (status["stale"], status["ready"]) == ("gone", True)
        await runner.cleanup()
    await registry.aclose()


async def test_a_client_that_applies_the_events_knows_the_rows(served):
    """First everything, then the changes; what it missed when it comes back."""
    first = await served.advertise()
    known = Known()
    async with served.session.get(f"{served.url}/v1/changes") as response:
        assert response.headers["Content-Type"] == "text/event-stream; charset=utf-8"
        text = b""
        while not known.status:
            text += await response.content.readany()
            known.apply(parsed(text))
    assert list(known.rows.values()) == [row.summary() for row in listing(served.discovery.directory)]
    await first.withdraw()
    await served.advertise(instance_id="orders-2")
    async with served.session.get(
        f"{served.url}/v1/changes", headers={"Last-Event-ID": known.last}
    ) as response:
        text = b""
        while b'"orders-2"' not in text:
            text += await response.content.readany()
    events = parsed(text)
    assert "reset" not in [event.kind for event in events]
    known.apply(events)
    assert list(known.rows.values()) == [row.summary() for row in listing(served.discovery.directory)]
