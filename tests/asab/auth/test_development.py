"""``[auth] enabled=development``: an authorization server is asked whose an access token is."""

import json

import pytest
from tests.asab.auth.small import SMALL, tokens
from tests.asab.both import both, ours
from tests.auth.support import claims, jwk, jwks, token

#: A server of keys that also turns ``access-<name>`` into an ID token, in the same process.
DEVELOPMENT = (
    SMALL
    + """
import socket
ASKED, SOCKET = [], socket.create_server(("127.0.0.1", 0))
URL = f"http://127.0.0.1:{SOCKET.getsockname()[1]}"
asab.Config.add_defaults({"auth": {
    "enabled": "development", "public_keys_url": f"{URL}/keys", "introspection_url": f"{URL}/introspect"}})
asab.Config["auth"]["public_keys_file"] = ""
async def introspect(request):
    ASKED.append(dict(request.headers))
    name = request.headers["Authorization"].removeprefix("Bearer access-")
    if name == "moved":
        raise aiohttp.web.HTTPTemporaryRedirect("/introspect/elsewhere")
    if name == "empty":
        return aiohttp.web.Response()
    if name not in TOKENS:
        return aiohttp.web.Response(status=401)
    return aiohttp.web.Response(headers=bearer(name))
async def keys(request):
    return aiohttp.web.json_response(json.loads(os.environ["TEST_JWKS"]))
async def serve_auth():
    webapp = aiohttp.web.Application()
    webapp.router.add_post("/introspect", introspect)
    webapp.router.add_get("/keys", keys)
    runner = aiohttp.web.AppRunner(webapp)
    await runner.setup()
    await aiohttp.web.SockSite(runner, SOCKET).start()
    return runner
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.web.Module])
        self.container = asab.web.WebContainer(self.get_service("asab.WebService"), "web")
        self.container.WebApp.router.add_get("/read", require("a:read")(answer))
        self.auth = asab.web.auth.AuthService(self)
    async def initialize(self):
        self.runner = await serve_auth()
    async def finalize(self):
        await self.runner.cleanup()
async def ask(session, text):
    async with session.get("/read", headers={"Authorization": f"Bearer {text}"}) as response:
        await response.read()
        return response.status
"""
)


@pytest.fixture
def environ(tmp_path):
    more = {"other": token(claims(sub="other", resources={"*": ["b:read"]}))}
    return {**tokens(tmp_path, **more), "TEST_JWKS": jwks(jwk()).decode()}


def test_whose_an_access_token_is(environ):
    """Asked once for each; an ID token needs no asking. The original is asked the same."""
    outcome = both(
        DEVELOPMENT
        + """
async def program(app, session):
    for text in ("access-reader", "access-reader", TOKENS["reader"], "access-other", "access-nobody"):
        say(text[:15], await ask(session, text), len(ASKED))
go(App(), program)
""",
        **environ,
    )
    assert [line.split()[1:] for line in outcome.lines] == [
        *(["200", "1"], ["200", "1"], ["200", "1"], ["403", "2"], ["401", "3"])
    ], outcome.log


def test_what_it_is_told(environ):
    """The token and nothing else of the request; what it says instead of an ID token is refused."""
    outcome = ours(
        DEVELOPMENT
        + """
async def program(app, session):
    session.headers["Cookie"] = "secret=1"
    for name in ("reader", "empty", "stranger", "expired", "moved"):
        say(name, await ask(session, f"access-{name}"))
    say("a.b.c", await ask(session, "a.b.c"))
    say(await status(session, "/read"), len(ASKED))
    say({name for headers in ASKED for name in headers} & {"Cookie", "X-Other"})
    await app.runner.cleanup()
    say(await ask(session, "access-reader"), await ask(session, "access-new"))
go(App(), program)
""",
        **environ,
    )
    assert outcome.lines == [
        *("reader 200", "empty 401", "stranger 401", "expired 401"),
        *("moved 401", "a.b.c 401", "401 6", "set()", "200 503"),
    ], outcome.log
    assert "enabled=development" in outcome.log
    for secret in json.loads(environ["TEST_TOKENS"]).values():
        assert secret not in outcome.log
