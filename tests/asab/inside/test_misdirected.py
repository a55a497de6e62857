"""Requests that reach a service by another's record: through a proxy, or on a port that was taken over."""

import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from kazoo.client import KazooClient
from tests.asab.api.programs import SERVICE
from tests.asab.inside.programs import ORIGINAL, OURS, guest
from tests.asab.inside.programs import named as guest_named
from tests.asab.running import named, running
from tests.asab.zookeeper.programs import on

from peerage import Discovery
from peerage.testing import eventually

#: A service of the own layer.
OWN = (
    SERVICE
    + """
class Own(Service):
    def __init__(self):
        super().__init__()
        self.Web.WebApp.router.add_route("*", "/who", self.who)
    async def who(self, request):
        return aiohttp.web.json_response({"who": os.environ["INSTANCE_ID"]})
    async def main(self):
        while self.Web.Addresses is None:
            await asyncio.sleep(0.005)
        say(self.Web.Addresses[0][1])
Own().run()
"""
)


@asynccontextmanager
async def serving(app: web.Application) -> AsyncIterator[int]:
    """Serve *app* on a free port of loopback, and return the port."""
    runner = web.AppRunner(app)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        yield runner.addresses[0][1]
    finally:
        await runner.cleanup()


@asynccontextmanager
async def proxy(port: int) -> AsyncIterator[int]:
    """Hand each request on to *port* with all its headers, the Host included; return the proxy's port."""

    async def hand_on(request: web.Request) -> web.Response:
        url = f"http://127.0.0.1:{port}{request.rel_url}"
        async with session.request(
            request.method, url, headers=request.headers, data=await request.read()
        ) as response:
            body = await response.read()
            return web.Response(status=response.status, body=body, content_type=response.content_type)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", hand_on)
    async with aiohttp.ClientSession() as session, serving(app) as own_port:
        yield own_port


class Cluster:
    """A service of asab, one of the own layer, one inside asab, and a Discovery."""

    def __init__(self, kind, zookeeper):
        self._kind = kind
        self._environ = on(zookeeper)
        # The program of the own layer adds this to the path.
        self._path = f"{self._environ['TEST_PATH']}-ours"
        self.url = f"zookeeper://{zookeeper.address}{self._path}"
        self.servers = zookeeper.address
        self.run = f"{self._path}/run"
        self.ports: dict[str, int] = {}

    @asynccontextmanager
    async def started(self):
        environ = {**self._environ, "TEST_PATH": self._path}
        async with AsyncExitStack() as stack:
            enter = stack.enter_async_context
            self.asab = await enter(guest(self._kind, guest_named(environ, "asab-1", ORIGINAL)))
            self.inside = await enter(guest(self._kind, guest_named(environ, "inside-1", OURS)))
            own = await enter(running(OWN, environ=named(self._environ, "own-1")))
            self.discovery = await enter(Discovery(self.url, service_id="tester", instance_id="tester-1"))
            self.ports = {
                "asab-1": self.asab.session._base_url.port,
                "inside-1": self.inside.session._base_url.port,
                "own-1": int(await own.line()),
            }
            await eventually(lambda: len(self.discovery.directory) == 3, "three records")
            yield self


@pytest.mark.parametrize("target", ["asab-1", "own-1", "inside-1"])
async def test_a_proxy_that_hands_all_headers_on_gets_an_answer(inside, zookeeper, target):
    """From each kind of service, whether asab or peerage calls the proxy by its name."""
    async with (
        Cluster(inside, zookeeper).started() as cluster,
        proxy(cluster.ports[target]) as port,
        Discovery(cluster.url, service_id="front", instance_id="front-1") as front,
    ):
        await front.advertise(web=[("0.0.0.0", port)])
        url = "http://front.service_id.asab/who"
        for caller in (cluster.asab, cluster.inside):
            await caller.found(service_id="front")
            assert await caller.calls(url) == (200, {"who": target})
        await eventually(lambda: cluster.discovery.locate(service_id="front"))
        async with cluster.discovery.session() as session, session.get(url) as response:
            assert (response.status, await response.json()) == (200, {"who": target})


@pytest.mark.parametrize("taker", ["own-1", "inside-1"])
async def test_a_request_for_a_service_whose_port_was_taken_over_moves_on(inside, zookeeper, taker):
    """Also a POST: the service on that port refuses it unprocessed, and the client asks another instance."""

    async def answer(request: web.Request) -> web.Response:
        return web.json_response({"who": "moved-2", "sent": await request.text()})

    app = web.Application()
    app.router.add_route("*", "/who", answer)
    client = KazooClient(zookeeper.address)
    client.start()
    try:
        async with (
            Cluster(inside, zookeeper).started() as cluster,
            serving(app) as port,
            Discovery(cluster.url, service_id="moved", instance_id="moved-2") as moved,
        ):
            await moved.advertise(web=[("0.0.0.0", port)])
            dead = {"host": "127.0.0.1", "instance_id": "moved-1", "service_id": "moved"}
            record = {**dead, "web": [["0.0.0.0", cluster.ports[taker]]]}
            client.create(f"{cluster.run}/Dead.", json.dumps(record).encode(), sequence=True, ephemeral=True)
            await eventually(
                lambda: cluster.discovery.instances(service_id="moved"), wanted=lambda found: len(found) == 2
            )
            url = "http://moved.service_id.asab/who"
            async with cluster.discovery.session() as session:
                for method in ("GET", "POST") * 4:
                    async with session.request(method, url, data=b"body" * (method == "POST")) as response:
                        assert response.status == 200
                        assert (await response.json())["who"] == "moved-2"
    finally:
        client.stop()
        client.close()


#: A program that is also advertised in a second cluster, by a container that only asab knows.
DOUBLE = """
class Double(Guest):
    def __init__(self):
        super().__init__()
        self.Other = asab.zookeeper.ZooKeeperContainer(
            self.get_service("asab.ZooKeeperService"), "zookeeper", z_path=os.environ["TEST_PATH"] + "-other"
        )
    async def main(self):
        await super().main()
        web = [["0.0.0.0", self.Web.Addresses[0][1]]]
        self.Other.advertise({"host": "127.0.0.1", "instance_id": "legacy-1", "web": web}, "/run/Legacy.")
Double().run()
"""


async def test_a_record_that_a_second_container_advertises_is_the_programs_own(inside, zookeeper):
    environ = on(zookeeper)
    async with (
        guest(inside, guest_named(environ, "double-1", OURS), DOUBLE),
        Discovery(f"zookeeper://{zookeeper.address}{environ['TEST_PATH']}-other") as discovery,
    ):
        await eventually(lambda: discovery.locate(instance_id="legacy-1"))
        async with (
            discovery.session() as session,
            session.post("http://legacy-1.instance_id.asab/nowhere") as response,
        ):
            assert response.status == 404
