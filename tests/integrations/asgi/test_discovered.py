"""What a server and an application see of `discovered`."""

import asyncio

import aiohttp
import pytest
from tests.integrations.asgi.serving import serving

from peerage import Advert, Discovery
from peerage.integrations.asgi import Discovered, discovered
from peerage.integrations.ports import IDENTIFY
from peerage.testing import eventually

REGISTRY = "memory:discovered"


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    """Where workers agree on one that advertises."""
    monkeypatch.setenv("PEERAGE_DIR", str(tmp_path / "locks"))


async def plain(scope, receive, send):
    """An application that knows no lifespan."""
    assert scope["type"] == "http"
    body = type(scope["state"]["discovery"]).__name__.encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": body})


class Lifespan:
    """The side of the server."""

    def __init__(self, app, state=None):
        self.scope = {"type": "lifespan", "asgi": {"version": "3.0"}, "state": {} if state is None else state}
        self.events = asyncio.Queue()
        self.sent = asyncio.Queue()
        self.task = asyncio.create_task(app(self.scope, self.events.get, self.sent.put))

    async def __aenter__(self):
        assert await self.tell("startup") == {"type": "lifespan.startup.complete"}
        return self

    async def __aexit__(self, *_):
        assert await self.tell("shutdown") == {"type": "lifespan.shutdown.complete"}
        await self.task

    async def tell(self, event):
        self.events.put_nowait({"type": f"lifespan.{event}"})
        return await self.sent.get()


async def test_it_is_advertised_while_the_server_runs():
    """At the port that the server has; without an instance_id it gets one."""
    app = discovered(plain, registry=REGISTRY, service_id="orders", lame_duck=0)
    async with Discovery(REGISTRY) as discovery, discovery.session() as session:
        async with serving(app) as url:
            await eventually(lambda: discovery.directory.find((("service_id", "orders"),)))
            async with session.get("http://orders.service_id.asab/") as response:
                assert await response.text() == "Discovery"
            (instance,) = await discovery.instances(service_id="orders")
            assert instance.urls == (url,)
            assert instance.instance_id == f"orders-{instance.host}-{url.rpartition(':')[2]}"
        await eventually(lambda: not discovery.directory.find((("service_id", "orders"),)))


async def test_it_can_be_run_again():
    """As tests of an application do."""
    app = discovered(plain, registry=REGISTRY, service_id="again", lame_duck=0)
    async with Discovery(REGISTRY) as discovery:
        for _ in range(2):
            async with serving(app) as url:
                await eventually(lambda: discovery.directory.find((("service_id", "again"),)))
                async with aiohttp.ClientSession() as session, session.get(url) as response:
                    assert response.status == 200


async def test_workers_that_cannot_agree_advertise_all_the_same(tmp_path, monkeypatch, caplog):
    """The log says why they can't, and what to do."""
    (tmp_path / "file").touch()
    monkeypatch.setenv("PEERAGE_DIR", str(tmp_path / "file"))
    app = discovered(plain, registry=REGISTRY, service_id="apart", lame_duck=0)
    async with Discovery(REGISTRY) as discovery, serving(app):
        await eventually(lambda: discovery.directory.find((("service_id", "apart"),)))
    assert "Each worker advertises, because they can't agree on one" in caplog.text
    assert "PEERAGE_DIR" in caplog.text


async def test_a_middleware_may_be_used_as_well():
    """Starlette hands the lifespan to its middlewares, too."""
    starlette = pytest.importorskip("starlette.applications")
    app = starlette.Starlette()
    app.add_middleware(Discovered, registry=REGISTRY, service_id="star", lame_duck=0)
    async with Discovery(REGISTRY) as discovery, serving(app):
        await eventually(lambda: discovery.directory.find((("service_id", "star"),)))


async def test_the_application_can_call_others_in_its_startup():
    """The Discovery is open, and in the state."""
    found = []

    async def app(scope, receive, send):
        await receive()
        found.append(await scope["state"]["discovery"].locate(service_id="nothing"))
        await send({"type": "lifespan.startup.complete"})
        await receive()
        await send({"type": "lifespan.shutdown.complete"})

    async with Lifespan(discovered(app, registry=REGISTRY)):
        assert found == [set()]


@pytest.mark.parametrize("receives", [False, True])
async def test_an_application_without_a_lifespan_is_started(receives):
    """Whether it raises at once, or takes the event and returns."""

    async def app(_, receive, send):
        if not receives:
            raise ValueError("only HTTP")
        await receive()

    async with Lifespan(discovered(app, registry=REGISTRY)):
        pass


async def test_a_startup_that_fails_is_reported():
    """As the application says it."""

    async def app(_, receive, send):
        await receive()
        await send({"type": "lifespan.startup.failed", "message": "no database"})
        raise ValueError("no database")

    lifespan = Lifespan(discovered(app, registry=REGISTRY))
    assert (await lifespan.tell("startup"))["message"] == "no database"
    with pytest.raises(ValueError, match="no database"):
        await lifespan.task


async def test_what_cannot_be_advertised_ends_the_startup():
    """The server logs the message."""
    lifespan = Lifespan(discovered(plain, None, Advert(ids={"a b": 1}), registry=REGISTRY))
    answer = await lifespan.tell("startup")
    assert answer["type"] == "lifespan.startup.failed"
    assert "'a b' can't be the key of a custom id" in answer["message"]
    await lifespan.task


def test_two_ways_to_say_who_it_is_are_refused():
    with pytest.raises(TypeError, match=r"\(service_id\), not both"):
        discovered(plain, Discovery(REGISTRY), service_id="orders")


async def test_only_the_question_for_this_service_is_answered():
    """Every other HEAD is the application's."""
    app = discovered(plain, registry=REGISTRY, service_id="orders", lame_duck=0)
    async with serving(app) as url, aiohttp.ClientSession() as session:
        for name, status in (("orders", 204), ("billing", 200)):
            async with session.head(url, headers={IDENTIFY: name}) as response:
                assert (response.status, response.headers.get(IDENTIFY)) == (
                    status,
                    name if status == 204 else None,
                )


async def test_a_test_of_the_application_opens_nothing():
    """It sends requests without a lifespan and without a port."""
    sent = []
    app = discovered(plain, registry=REGISTRY)
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": "GET",
        "path": "/",
        "headers": [],
        "server": ("testserver", 80),
    }

    async def send(message):
        sent.append(message)

    await app(scope, None, send)
    assert sent[0]["status"] == 200


@pytest.mark.parametrize(("version", "closed"), [("1.1", True), ("2", False)])
async def test_connections_are_closed_while_it_stops(version, closed):
    """HTTP/2 has no header for that."""
    sent = []
    app = discovered(plain, registry=REGISTRY)
    app._requests.closing = True
    scope = {"type": "http", "http_version": version, "method": "GET", "path": "/", "headers": []}

    async def send(message):
        sent.append(message)

    await app(scope, None, send)
    assert ((b"connection", b"close") in sent[0]["headers"]) is closed
