"""A fake SeaCat Auth and services that fetch its keys, both controlled over HTTP."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import aiohttp
from tests.asab.running import Running, named, running
from tests.auth.support import claims, jwk, jwks, token

__all__ = [
    "CALLER",
    "KEYS_URL",
    "READER",
    "ROOT",
    "SEACAT",
    "SERVICE",
    "Asked",
    "asked",
    "bearer",
    "named",
    "seacat",
]

#: As documented.
KEYS_URL: Final = "http://seacat-auth.service_id.asab/.well-known/jwks.json"

_ADVERTISED: Final = """
import aiohttp, aiohttp.web, json
load("web", "web.rest", "web.auth", "zookeeper", "api", "contextvars", "exceptions")
asab.Config.add_defaults({"web": {"listen": "0.0.0.0 0"}})
if "TEST_SERVERS" in os.environ:
    asab.Config.add_defaults({
        "zookeeper": {"servers": os.environ["TEST_SERVERS"], "path": os.environ["TEST_PATH"]}})

class Advertised(asab.Application):
    def __init__(self):
        super().__init__()
        self.add_module(asab.web.Module)
        self.Web = asab.web.WebContainer(self.get_service("asab.WebService"), "web")
        self.add_module(asab.zookeeper.Module)
        self.Zk = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"), "zookeeper")
        self.Api = asab.api.ApiService(self)
        self.Api.initialize_web(self.Web)
        self.Api.initialize_zookeeper(self.Zk)
        self.Discovery = self.get_service("asab.DiscoveryService")

    async def main(self):
        while self.Web.Addresses is None:
            await asyncio.sleep(0.005)
        say(self.Web.Addresses[0][1])
"""

#: Answers the key set that it was given by PUT.
SEACAT: Final = (
    _ADVERTISED
    + """
class SeaCatAuth(Advertised):
    def __init__(self):
        super().__init__()
        self.Keys, self.Fetches = b"{}", []
        self.Web.WebApp.router.add_get("/.well-known/jwks.json", self.keys)
        self.Web.WebApp.router.add_put("/.well-known/jwks.json", self.change)
        self.Web.WebApp.router.add_get("/fetches", self.fetches)
    async def keys(self, request):
        self.Fetches.append(request.headers.get("Authorization"))
        return aiohttp.web.Response(body=self.Keys, content_type="application/json")
    async def change(self, request):
        self.Keys = await request.read()
        return aiohttp.web.json_response(None)
    async def fetches(self, request):
        return aiohttp.web.json_response(self.Fetches)
SeaCatAuth().run()
"""
)

#: The documented program with authorization; ``ROUTES(app)`` adds what a test needs.
SERVICE: Final = (
    _ADVERTISED
    + """
ROUTES = []
class Service(Advertised):
    def __init__(self):
        super().__init__()
        self.AuthService = asab.web.auth.AuthService(self)
        router = self.Web.WebApp.router
        router.add_get("/open", self.open)
        router.add_get("/closed", self.closed)
        router.add_get("/read", self.read)
        router.add_get("/write", self.write)
        router.add_get("/root", self.root)
        for add in ROUTES:
            add(self, router)
    @asab.web.auth.noauth
    async def open(self, request):
        return asab.web.rest.json_response(request, "open")
    async def closed(self, request):
        authz = asab.contextvars.Authz.get()
        return asab.web.rest.json_response(request, {"who": authz.CredentialsId, "by": authz.Issuer})
    @asab.web.auth.require("a:read")
    async def read(self, request):
        return asab.web.rest.json_response(request, "read")
    @asab.web.auth.require("a:write")
    async def write(self, request):
        return asab.web.rest.json_response(request, "written")
    @asab.web.auth.require_superuser
    async def root(self, request):
        return asab.web.rest.json_response(request, "ruled")
"""
)

#: ``/call`` and ``/free`` call a URL in a session, ``/got`` says what came; ``/away`` leads away.
CALLER: Final = (
    SERVICE
    + """
class Caller(Service):
    def __init__(self):
        super().__init__()
        router = self.Web.WebApp.router
        router.add_get("/got", self.got)
        router.add_get("/call", self.call)
        router.add_get("/free", self.free)
        router.add_get("/socket", self.socket)
        router.add_get("/away", self.away)
    async def got(self, request):
        authz = asab.contextvars.Authz.get()
        return aiohttp.web.json_response([authz.Issuer, request.headers.get("Authorization")])
    @asab.web.auth.noauth
    async def away(self, request):
        raise aiohttp.web.HTTPFound(request.query["to"])
    def session(self, request):
        auth = {"none": None, "internal": "internal", "request": request}[request.query.get("auth", "none")]
        return self.Discovery.session(auth=auth)
    @asab.web.auth.noauth
    async def free(self, request):
        return await self.call(request)
    async def call(self, request):
        try:
            async with self.session(request) as session, session.get(request.query["url"]) as response:
                text = await response.text()
                found = [response.status, json.loads(text) if response.status == 200 else None]
        except Exception as error:
            found = [0, type(error).__name__]
        return aiohttp.web.json_response(found)
    async def socket(self, request):
        try:
            async with self.session(request) as session, session.ws_connect(request.query["url"]) as socket:
                found = (await socket.receive()).data
        except aiohttp.ClientError as error:
            found = type(error).__name__
        return aiohttp.web.json_response(found)
Caller().run()
"""
)

READER: Final = token()
ROOT: Final = token(claims(resources={"*": ["authz:superuser"]}))


def bearer(text: str) -> dict[str, str]:
    """The header with that token."""
    return {"Authorization": f"Bearer {text}"}


class Asked:
    """A running program, as seen over HTTP."""

    def __init__(self, running: Running, session: aiohttp.ClientSession) -> None:
        self.running = running
        self.session = session

    async def get(
        self, path: str, token: str | None = None, headers: Mapping[str, str] | None = None, **query: str
    ) -> tuple[int, Any]:
        """Return the status of its answer, and the JSON."""
        sent = {**(bearer(token) if token else {}), **(headers or {})}
        async with self.session.get(path, headers=sent, params=query) as response:
            found = await response.json() if "json" in response.content_type else await response.text()
            return response.status, found

    async def status(self, path: str, token: str | None = None) -> int:
        """Return the status of its answer."""
        return (await self.get(path, token))[0]


class SeaCat(Asked):
    """The fake SeaCat Auth."""

    async def publish(self, *keys: Any) -> None:
        """Answer these keys from now on."""
        async with self.session.put("/.well-known/jwks.json", data=jwks(*keys)) as response:
            assert response.status == 200, self.running.log

    async def fetches(self) -> list[str | None]:
        """What Authorization header each fetch of the keys had."""
        return (await self.get("/fetches"))[1]


@asynccontextmanager
async def asked(
    program: str, environ: Mapping[str, str], *, original: bool = False, config: Path | None = None
) -> AsyncIterator[Asked]:
    """Run *program*, which prints its port."""
    args = () if config is None else ("-c", str(config))
    kind = {"original": True} if original else {}
    async with running(program, *args, environ=environ, **kind) as one:
        port = await one.line()
        async with aiohttp.ClientSession(f"http://127.0.0.1:{port}") as session:
            yield Asked(one, session)


@asynccontextmanager
async def seacat(environ: Mapping[str, str]) -> AsyncIterator[SeaCat]:
    """Run the fake SeaCat Auth with the key ``first``."""
    async with asked(SEACAT, named(environ, "seacat-auth-1")) as one:
        two = SeaCat(one.running, one.session)
        await two.publish(jwk())
        yield two
