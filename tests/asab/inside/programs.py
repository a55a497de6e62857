"""A service of the real asab, controlled over HTTP."""

import json
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import aiohttp
from tests.asab.both import Kind
from tests.asab.running import Running, running
from tests.asab.running import named as named_instance

from peerage.testing import eventually

#: The documented program; its ApiService is ours, or the original's.
GUEST: Final = """
import json
load("web", "web.rest", "web.auth", "zookeeper", "metrics", "contextvars", "api")
import aiohttp
ApiService = importlib.import_module(os.environ["TEST_API"]).ApiService
asab.Config.add_defaults({
    "web": {"listen": f"0.0.0.0 {os.environ.get('TEST_PORT', 0)}"},
    "zookeeper": {"servers": os.environ["TEST_SERVERS"], "path": os.environ["TEST_PATH"]},
})

class Guest(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.web.Module, asab.zookeeper.Module, asab.metrics.Module])
        self.Web = asab.web.WebContainer(self.get_service("asab.WebService"), "web")
        self.Zk = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"), "zookeeper")
        self.Api = ApiService(self)
        self.Api.initialize_web(self.Web)
        self.Api.initialize_zookeeper(self.Zk)
        self.Discovery = self.get_service("asab.DiscoveryService")
        router = self.Web.WebApp.router
        router.add_get("/who", self.who)
        router.add_get("/got", self.got)
        router.add_get("/call", self.call)
        router.add_get("/locate", self.locate)
        router.add_get("/discovery", self.discovery)
        router.add_post("/update_discovery", self.update_discovery)
        if "TEST_AUTH" in os.environ:
            asab.web.auth.AuthService(self)

    @asab.web.auth.noauth
    async def who(self, request):
        return asab.web.rest.json_response(request, {"who": os.environ["INSTANCE_ID"]})

    async def got(self, request):
        names = [name for name in ("Authorization", "X-Other") if name in request.headers]
        return asab.web.rest.json_response(request, {name: request.headers[name] for name in names})

    @asab.web.auth.noauth
    async def call(self, request):
        auth = {"none": None, "request": request, "internal": "internal"}[request.query.get("auth", "none")]
        try:
            async with self.Discovery.session(auth=auth) as session:
                async with session.get(request.query["url"]) as response:
                    status, text = response.status, await response.text()
        except Exception as error:
            status, text = 0, repr(error)
        return asab.web.rest.json_response(request, [status, text])

    @asab.web.auth.noauth
    async def locate(self, request):
        if hasattr(self.Discovery, "_rescan_advertised_instances"):
            # By itself the original loses a change that comes while it reads.
            await self.Discovery._rescan_advertised_instances()
        found = await self.Discovery.locate(**request.query)
        return asab.web.rest.json_response(request, sorted(found))

    @asab.web.auth.noauth
    async def discovery(self, request):
        return asab.web.rest.json_response(request, await self.Discovery.get_advertised_instances())

    @asab.web.auth.noauth
    async def update_discovery(self, request):
        self.Api.update_discovery(await request.json())
        return asab.web.rest.json_response(request, None)

    async def main(self):
        while self.Web.Addresses is None:
            await asyncio.sleep(0.005)
        say(self.Web.Addresses[0][1])
"""

#: A service whose requests take as long as their caller says.
WORKER: Final = """
async def work(request):
    await request.read()
    await asyncio.sleep(float(request.query["takes"]))
    return aiohttp.web.json_response({"who": os.environ["INSTANCE_ID"]})
app = Guest()
app.Web.WebApp.router.add_route("*", "/work", work)
app.run()
"""

OURS: Final = "peerage.asab.api"
ORIGINAL: Final = "asab.api"


def named(environ: Mapping[str, str], instance: str, api: str = OURS, **more: str) -> dict[str, str]:
    """The environment of one program."""
    return named_instance(environ, instance, TEST_API=api, **more)


class Guest:
    """A running one, as seen from outside."""

    def __init__(self, running: Running, session: aiohttp.ClientSession) -> None:
        self.running = running
        self.session = session

    async def get(self, path: str, headers: Mapping[str, str] | None = None, **query: str) -> Any:
        """Return the JSON that it answers."""
        async with self.session.get(path, params=query, headers=headers) as response:
            text = await response.text()
            assert response.status == 200, f"{response.status} {text}\n{self.running.log}"
            return json.loads(text)

    async def status(self, path: str, headers: Mapping[str, str] | None = None) -> int:
        """Return the status of its answer."""
        async with self.session.get(path, headers=headers) as response:
            await response.read()
            return response.status

    async def update_discovery(self, ids: Mapping[str, Any]) -> None:
        """Have it found by other ids."""
        async with self.session.post("/update_discovery", json=ids) as response:
            assert response.status == 200, self.running.log

    async def found(self, *, there: bool = True, **ids: str) -> list[str]:
        """Wait until it finds others by *ids*, or doesn't any more."""
        urls: list[str] = await eventually(
            lambda: self.get("/locate", **ids), wanted=lambda urls: bool(urls) is there
        )
        return urls

    async def calls(self, url: str, headers: Mapping[str, str] | None = None, auth: str = "none") -> Any:
        """Have it call *url*; return the status, and what was answered."""
        status, text = await self.get("/call", headers, url=url, auth=auth)
        return status, json.loads(text) if status == 200 else text


@asynccontextmanager
async def guest(
    kind: Kind, environ: Mapping[str, str], program: str = "Guest().run()"
) -> AsyncIterator[Guest]:
    """Run a service."""
    async with running(GUEST + program, kind=kind, environ=environ) as one:
        port = await one.line()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield Guest(one, session)
