"""The row ``session()``: whose authorization goes where."""

import pytest
import trustme
from tests.asab.api.programs import SERVICE, on
from tests.asab.both import both, ours, theirs

#: A service that calls for whom it is called: ``/call?url=…&how=…`` uses ``SESSIONS[how]`` and says what the
#: one that it called, itself, has got.
CALLER = (
    SERVICE
    + """
SESSIONS = {}
class Caller(Service):
    def __init__(self):
        super().__init__()
        router = self.Web.WebApp.router
        router.add_get("/got", self.got)
        router.add_get("/call", self.call)
        router.add_get("/away", self.away)
    async def got(self, request):
        names = [name for name in ("Authorization", "X-Other") if name in request.headers]
        return aiohttp.web.json_response({name: request.headers[name] for name in names})
    async def away(self, request):
        raise aiohttp.web.HTTPFound(f"http://127.0.0.1:{self.Web.Addresses[0][1]}/got")
    async def call(self, request):
        session = SESSIONS[request.query["how"]](self.Discovery, request)
        if hasattr(session, "__await__"):
            session = await session
        async with session, session.get(request.query["url"]) as response:
            return aiohttp.web.json_response(await response.json())

async def ask(app, how, url="http://me.instance_id.asab/got", headers=None):
    base = f"http://127.0.0.1:{app.Web.Addresses[0][1]}"
    async with aiohttp.ClientSession(base) as session:
        async with session.get("/call", params={"how": how, "url": url}, headers=headers) as response:
            return await response.json()

async def ready(app):
    await record_of(app)
    await eventually(lambda: app.Discovery.locate("me"))
    assert isinstance(app.Discovery.session, object)
TOKEN = {"Authorization": "Bearer of-the-user"}
"""
)

ENVIRON = {"INSTANCE_ID": "me", "SERVICE_ID": "mine", "ASAB_HOSTNAME": "127.0.0.1"}


def test_relayed(zookeeper):
    """The authorization of the request being handled, or of one that is given; headers= wins."""
    outcome = both(
        CALLER
        + """
SESSIONS.update({
    "nothing": lambda discovery, request: discovery.session(),
    "the request": lambda discovery, request: discovery.session(auth=request),
    "headers": lambda discovery, request: discovery.session(headers={"X-Other": "1"}),
    "own": lambda discovery, request: discovery.session(headers={"Authorization": "Bearer own"}),
    "own and the request": lambda discovery, request: discovery.session(
        auth=request, headers={"Authorization": "Bearer own"}),
    "base": lambda discovery, request: discovery.session("http://me.instance_id.asab"),
})
async def program(app):
    await ready(app)
    for how in SESSIONS:
        if how == "base":
            say(how, await ask(app, how, "/got", headers=TOKEN))
        else:
            say(how, await ask(app, how, headers=TOKEN))
    say("no authorization", await ask(app, "nothing"))
    # Outside of a request.
    async with app.Discovery.session() as session:
        say(type(session) is aiohttp.ClientSession)
        async with session.get("http://me.instance_id.asab/got") as response:
            say(await response.json())
run(program, Caller())
""",
        **ENVIRON,
        **on(zookeeper),
    )
    relayed = "{'Authorization': 'Bearer of-the-user'}"
    assert outcome.lines[:2] == [f"nothing {relayed}", f"the request {relayed}"]
    assert outcome.lines[3] == "own {'Authorization': 'Bearer own'}"
    assert outcome.lines[5:] == [f"base {relayed}", "no authorization {}", "True", "{}"]


def test_never_outside_of_the_cluster(zookeeper):
    """The original sends it to any host. One warning for each host, which names headers=."""
    outcome = ours(
        CALLER
        + """
SESSIONS.update({
    "nothing": lambda discovery, request: discovery.session(),
    "own": lambda discovery, request: discovery.session(headers={"Authorization": "Bearer own"}),
})
async def program(app):
    await ready(app)
    port = app.Web.Addresses[0][1]
    for host in ("127.0.0.1", "127.0.0.1", "localhost"):
        say(await ask(app, "nothing", f"http://{host}:{port}/got", headers=TOKEN))
    say(await ask(app, "own", f"http://127.0.0.1:{port}/got", headers=TOKEN))
    # Led out of the cluster by a redirect.
    say(await ask(app, "nothing", "http://me.instance_id.asab/away", headers=TOKEN))
    say(await ask(app, "nothing", f"http://127.0.0.1:{port}/got"))
run(program, Caller())
""",
        **ENVIRON,
        **on(zookeeper),
    )
    assert outcome.lines == ["{}"] * 3 + ["{'Authorization': 'Bearer own'}"] + ["{}"] * 2, outcome.log
    warnings = [line for line in outcome.log.splitlines() if "No authorization is sent to" in line]
    assert len(warnings) == 2
    assert "'127.0.0.1'" in warnings[0]
    assert "'localhost'" in warnings[1]
    assert all("headers={'Authorization'" in line for line in warnings)
    assert "of-the-user" not in outcome.log


def test_not_outside_either_if_it_was_inside_before(zookeeper):
    """A middleware that sends the same request again, to another host; errors don't show the token."""
    outcome = ours(
        CALLER
        + """
from yarl import URL
async def elsewhere(request, handler):
    (await handler(request)).close()
    request.url = URL(f"http://127.0.0.1:{request.url.query['port']}/got")
    return await handler(request)
SESSIONS["again"] = lambda discovery, request: discovery.session(middlewares=[elsewhere])
class Failing(Caller):
    async def call(self, request):
        if request.query["how"] != "fail":
            return await super().call(request)
        async with self.Discovery.session(raise_for_status=True) as session:
            try:
                await session.get(request.query["url"])
            except aiohttp.ClientResponseError as error:
                return aiohttp.web.json_response(repr(error))
async def program(app):
    await ready(app)
    port = app.Web.Addresses[0][1]
    say(await ask(app, "again", f"http://me.instance_id.asab/got?port={port}", headers=TOKEN))
    say("of-the-user" in await ask(app, "fail", "http://me.instance_id.asab/nothing", headers=TOKEN))
run(program, Failing())
""",
        **ENVIRON,
        **on(zookeeper),
    )
    assert outcome.lines == ["{}", "False"], outcome.log


def test_websockets(zookeeper):
    """As with any other request, only a service of the cluster gets the token."""
    outcome = ours(
        CALLER
        + """
class Sockets(Caller):
    def __init__(self):
        super().__init__()
        self.Web.WebApp.router.add_get("/ws", self.ws)
    async def ws(self, request):
        socket = aiohttp.web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(request.headers.get("authorization", "none"))
        await socket.close()
        return socket
    async def call(self, request):
        async with self.Discovery.session() as session, session.ws_connect(request.query["url"]) as socket:
            return aiohttp.web.json_response(await socket.receive_str())
async def program(app):
    await ready(app)
    for url in ("ws://me.instance_id.asab/ws", "http://me.instance_id.asab/ws",
                f"ws://127.0.0.1:{app.Web.Addresses[0][1]}/ws"):
        say(await ask(app, "", url, headers={"AUTHORIZATION": "Bearer of-the-user"}))
run(program, Sockets())
""",
        **ENVIRON,
        **on(zookeeper),
    )
    assert outcome.lines == ["Bearer of-the-user"] * 2 + ["none"], outcome.log


def test_a_verified_token_goes_first(zookeeper):
    """Authz.IdToken, of the newest original, before what the client sent."""
    outcome = ours(
        CALLER
        + """
class Authorization:
    IdToken = "verified"
class Unverified:
    IdToken = None
def session_of(authz):
    def make(discovery, request):
        asab.contextvars.Authz.set(authz)
        return discovery.session()
    return make
SESSIONS.update({"verified": session_of(Authorization()), "without": session_of(Unverified())})
async def program(app):
    await ready(app)
    for how in SESSIONS:
        say(await ask(app, how, headers=TOKEN))
run(program, Caller())
""",
        **ENVIRON,
        **on(zookeeper),
    )
    assert outcome.lines == [
        "{'Authorization': 'Bearer verified'}",
        "{'Authorization': 'Bearer of-the-user'}",
    ]


def test_read_when_the_session_is_made(zookeeper):
    """A session that outlives its request keeps its authorization, and takes no other's."""
    outcome = both(
        CALLER
        + """
async def keep(discovery, request):
    if not hasattr(keep, "session"):
        keep.session = discovery.session()
    return Kept()
class Kept:
    async def __aenter__(self): return self
    async def __aexit__(self, *_): pass
    def get(self, url): return keep.session.get(url)
SESSIONS["kept"] = keep
async def program(app):
    await ready(app)
    for token in ("first", "second"):
        say(await ask(app, "kept", headers={"Authorization": f"Bearer {token}"}))
    await keep.session.close()
run(program, Caller())
""",
        **ENVIRON,
        **on(zookeeper),
    )
    assert outcome.lines == ["{'Authorization': 'Bearer first'}"] * 2, outcome.log


@pytest.mark.parametrize(
    ("auth", "message"),
    [
        ("request", "this request has no Authorization header"),
        ("('user', 'pass')", "session(auth=tuple)"),
        ("'external'", "session(auth=str)"),
        ("True", "session(auth=bool)"),
    ],
)
def test_what_auth_cannot_be(zookeeper, auth, message):
    """ValueError, without the password; the original asserts that a request has the header."""
    outcome = ours(
        CALLER
        + f"""
async def fail(discovery, request):
    try:
        discovery.session(auth={auth})
    except ValueError as error:
        say(error)
    return discovery.session()
SESSIONS["wrong"] = fail
async def program(app):
    await ready(app)
    await ask(app, "wrong")
run(program, Caller())
""",
        **ENVIRON,
        **on(zookeeper),
    )
    assert message in outcome.lines[0]
    assert "pass" not in outcome.lines[0]


def test_what_goes_to_aiohttp(zookeeper):
    """All arguments of an aiohttp session; a middleware of the program runs outside of peerage's."""
    outcome = ours(
        CALLER
        + """
async def note(request, handler):
    say(request.url.host, "Authorization" in request.headers)
    return await handler(request)
SESSIONS["more"] = lambda discovery, request: discovery.session(
    timeout=aiohttp.ClientTimeout(total=9), raise_for_status=True, middlewares=[note], cookies={"a": "b"})
async def program(app):
    await ready(app)
    say(await ask(app, "more", headers=TOKEN))
    async with app.Discovery.session(timeout=aiohttp.ClientTimeout(total=9)) as session:
        say(session.timeout.total)
run(program, Caller())
""",
        **ENVIRON,
        **on(zookeeper),
    )
    assert outcome.lines == ["me.instance_id.asab False", "{'Authorization': 'Bearer of-the-user'}", "9"]


def test_a_service_with_tls_is_called_by_name(zookeeper, tmp_path):
    """By https, with a certificate of the logical name; locate() returns https, unlike the original."""
    authority, certificate = trustme.CA(), tmp_path / "both.pem"
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    authority.issue_cert("it.which.asab").private_key_and_cert_chain_pem.write_to_path(certificate)
    program = (
        SERVICE
        + f"""
import ssl
asab.Config.set("web", "listen", "0.0.0.0 0 ssl:it")
asab.Config.add_defaults({{"ssl:it": {{"cert": {str(certificate)!r}, "key": {str(certificate)!r}}}}})
trust = ssl.create_default_context(cafile={str(tmp_path / "ca.pem")!r})
async def program(app):
    await record_of(app)
    app.Api.update_discovery({{"which": ["it", "other"]}})
    await eventually(lambda: app.Discovery.locate(which="other"))
    (url,) = await app.Discovery.locate(which="it")
    say(url.replace(str(app.Web.Addresses[0][1]), "PORT"))
    async with app.Discovery.session() as session:
        async with session.get("https://it.which.asab/asab/v1/manifest", ssl=trust) as response:
            say(response.status)
        try:
            await session.get("https://other.which.asab/", ssl=trust)
        except aiohttp.ClientConnectorCertificateError:
            say("another name")
run(program, Service())
"""
    )
    environ = {**ENVIRON, **on(zookeeper)}
    called = ["404", "another name"]
    assert theirs(program, **environ).lines == ["http://127.0.0.1:PORT", *called]
    assert ours(program, **environ).lines == ["https://127.0.0.1:PORT", *called]


def test_from_the_first_step_to_the_last(zookeeper):
    """Usable in a service's initialize(), where the original hangs, and until each finalize() is over."""
    outcome = ours(
        SERVICE
        + """
class First(asab.Service):
    async def initialize(self, app):
        say("initialize", await app.Discovery.locate("unknown"))
    async def finalize(self, app):
        await asyncio.to_thread(lambda: None)
        say("finalize", len(await app.Discovery.locate("other")))
        async with app.Discovery.session() as session:
            try:
                await session.get("http://unknown.service_id.asab")
            except asab.api.discovery.NotDiscoveredError:
                say("finalize NotDiscoveredError")
app = Service()
First(app, "first")
async def program(app):
    app.Zk.advertise({"instance_id": "other", "host": "x", "web": [["0.0.0.0", 1]]}, "/run/Other.")
    await eventually(lambda: app.Discovery.locate("other"))
run(program, app)
""",
        SERVICE_ID="x",
        **on(zookeeper),
    )
    assert outcome.lines == ["initialize set()", "finalize 1", "finalize NotDiscoveredError"], outcome.log


def test_a_program_that_advertises_itself_is_called_by_name(zookeeper):
    """Its record is its own, and so are the names in it: nothing here knows them, nothing refuses them."""
    outcome = both(
        SERVICE
        + """
class ByHand(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.web.Module, asab.zookeeper.Module])
        self.Web = asab.web.WebContainer(self.get_service("asab.WebService"), "web")
        self.Web.WebApp.router.add_get("/", self.get)
        self.Zk = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"))
        self.Discovery = asab.api.discovery.DiscoveryService(self, self.Zk)
    async def get(self, request):
        return aiohttp.web.Response(text=request.headers["Host"])
async def program(app):
    await eventually(lambda: app.Web.Addresses and app.Zk.is_connected())
    record = {
        "host": "127.0.0.1", "appclass": "ByHand", "instance_id": "hand-1", "service_id": "hand",
        "web": app.Web.Addresses, "discovery": {"shard": ["a"]},
    }
    app.Zk.advertise(record, "/run/ByHand.")
    await eventually(lambda: app.Discovery.locate(service_id="hand"))
    for name in ("hand.service_id", "hand-1.instance_id", "a.shard"):
        async with app.Discovery.session() as session, session.get(f"http://{name}.asab/") as response:
            say(response.status, await response.text())
run(program, ByHand())
""",
        **on(zookeeper),
    )
    assert outcome.lines[0] == "200 hand.service_id.asab", outcome.log
