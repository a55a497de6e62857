"""AuthService: where it is installed, how it is configured, what is wrong with that."""

import pytest
import trustme
from tests.asab.auth.small import SMALL, tokens
from tests.asab.both import both, ours
from tests.auth.support import claims, jwk, jwks, token


@pytest.fixture
def environ(tmp_path):
    return tokens(tmp_path)


INSTALLED = (
    SMALL
    + """
def made():
    app = make({"listen": "127.0.0.1 0"})
    return app, asab.web.auth.AuthService(app)
def closed(app):
    app.container.WebApp.router.add_get("/x", answer)
async def program(app, session):
    await statuses(session, "/x")
"""
)


@pytest.mark.parametrize(
    "made",
    [
        "app, auth = made()",
        # Both together: the original raises.
        "app, auth = made(); auth.install(app.container)",
        "app, auth = made(); auth.install(app.container); auth.install(app.container)",
        # Before there is a container: with the original everything is open.
        """
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[])
        asab.web.auth.AuthService(self)
        self.add_module(asab.web.Module)
        service = self.get_service("asab.WebService")
        self.container = asab.web.WebContainer(service, "web", config={"listen": "127.0.0.1 0"})
app = App()
""",
        # As late as it can be.
        """
class App(asab.Application):
    def __init__(self):
        super().__init__(args=[])
        self.add_module(asab.web.Module)
        service = self.get_service("asab.WebService")
        self.container = asab.web.WebContainer(service, "web", config={"listen": "127.0.0.1 0"})
    async def initialize(self):
        await until_started(self.container)
        asab.web.auth.AuthService(self)
app = App()
""",
        # Another name.
        "app = make({'listen': '127.0.0.1 0'}); asab.web.auth.AuthService(app, 'my.AuthService')",
    ],
)
def test_one_container(environ, made):
    """It installs itself, in whatever order service and container are made."""
    outcome = ours(f"{INSTALLED}\n{made}\nclosed(app)\ngo(app, program)", **environ)
    assert outcome.lines == ["/x 401 200 200"], outcome.log


SEVERAL = (
    SMALL
    + """
app = asab.Application(args=[], modules=[asab.web.Module])
service = app.get_service("asab.WebService")
made = {"first": None, "auth": None, "second": None}
for name in os.environ["TEST_ORDER"].split():
    if name == "auth":
        auth = asab.web.auth.AuthService(app)
    else:
        made[name] = asab.web.WebContainer(service, name, config={"listen": "127.0.0.1 0"})
        made[name].WebApp.router.add_get("/x", answer)
        made[name].WebApp.router.add_get("/read", require("a:read")(answer))
if "TEST_INSTALL" in os.environ:
    auth.install(made["first"])
async def main():
    async with aiohttp.ClientSession() as session:
        for path in ("/x", "/read"):
            for name in ("first", "second"):
                await until_started(made[name])
                await statuses(session, f"http://127.0.0.1:{made[name].Addresses[0][1]}{path}")
    app.stop()
app.main = main
sys.exit(app.run())
"""
)


@pytest.mark.parametrize("order", ["first second auth", "first auth second", "auth first second"])
def test_several_containers_without_install_are_an_error(environ, order):
    """The application doesn't start, because one of them would be open to everyone by mistake."""
    outcome = ours(SEVERAL, **environ, TEST_ORDER=order)
    assert outcome.seen == (1, []), outcome.log
    assert "There are several web containers, [first], [second]" in outcome.log
    assert "install(web_container)" in outcome.log


@pytest.mark.parametrize("order", ["first second auth", "first auth second", "auth first second"])
def test_install_names_the_containers_that_are_protected(environ, order):
    """The others are open; their routes that require authorization answer 403, and an error names them."""
    outcome = ours(SEVERAL, **environ, TEST_ORDER=order, TEST_INSTALL="1")
    assert [line.partition(" ")[2] for line in outcome.lines] == [
        *("401 200 200", "200 200 200", "401 200 200", "403 403 403")
    ], outcome.log
    (error,) = (line for line in outcome.log.splitlines() if " ERROR " in line)
    assert "[second]: GET /read, HEAD /read require authorization" in error


def test_requirements_without_a_service(environ):
    """One error names the routes, and all callers get 403; the original answers 500."""
    outcome = ours(
        SMALL
        + """
class View(aiohttp.web.View):
    async def get(self):
        return aiohttp.web.Response()
    @require_superuser
    async def put(self):
        return aiohttp.web.Response()
app = make({"listen": "127.0.0.1 0"})
router = app.container.WebApp.router
router.add_get("/open", answer)
router.add_get("/read", require("a:read")(answer), allow_head=False)
router.add_view("/view", View)
sub = aiohttp.web.Application()
sub.router.add_post("/root/{name}", require_superuser(answer))
app.container.WebApp.add_subapp("/sub", sub)
async def program(app, session):
    await statuses(session, "/open")
    await statuses(session, "/read")
    await statuses(session, "/view", method="PUT")
    async with session.get("/read") as response:
        await show(response, "WWW-Authenticate")
go(app, program)
""",
        **environ,
    )
    assert outcome.lines[:3] == ["/open 200 200 200", "/read 403 403 403", "/view 403 403 403"], outcome.log
    assert outcome.lines[3].startswith('403 application/json Bearer realm="asab", error="insufficient_scope"')
    (error,) = (line for line in outcome.log.splitlines() if " ERROR " in line)
    assert "GET /read, POST /sub/root/{name}, PUT /view require authorization" in error


@pytest.mark.parametrize("enabled", ["no", "False", "off", "0"])
def test_it_cant_be_switched_off(environ, tmp_path, enabled):
    """A ValueError, as in the original, that names mock."""
    config = tmp_path / "off.conf"
    config.write_text(f"[auth]\nenabled={enabled}\n")
    program = (
        SMALL
        + """
try:
    small(None)
except ValueError as error:
    say("mock" in str(error))
"""
    )
    assert both(program, **environ, ASAB_CONFIG=str(config)).lines == ["True"]


def test_no_auth(environ):
    """The option is the same."""
    outcome = both(
        SMALL
        + """
app = make({"listen": "127.0.0.1 0"}, args=["--no-auth"])
try:
    asab.web.auth.AuthService(app)
except ValueError as error:
    say("mock" in str(error))
""",
        **environ,
    )
    assert outcome.lines == ["True"], outcome.log


@pytest.mark.parametrize(
    ("section", "message"),
    [
        ("enabled=perhaps", "write production or mock"),
        ("enabled=development\nintrospection_url=http://127.0.0.1:1/", "keeps the real asab"),
        ("public_keys_url=ftp://here/keys", "http://seacat-auth.service_id.asab/.well-known/jwks.json"),
        ("public_keys_url=nonsense", "http://seacat-auth.service_id.asab/.well-known/jwks.json"),
        ("public_keys_url=https://127.0.0.1/\npublic_keys_ca=/nowhere.pem", "nowhere.pem"),
        (
            "public_keys_url=http://seacat-auth.service_id.asab/.well-known/jwks.json",
            "there is no asab.DiscoveryService",
        ),
    ],
)
def test_what_cant_work(environ, tmp_path, section, message):
    """The application doesn't start, and the error names the correct value."""
    config = tmp_path / "wrong.conf"
    config.write_text(f"[auth]\npublic_keys_file=\n{section}\n")
    outcome = ours(SMALL + "sys.exit(small(None))", **environ, ASAB_CONFIG=str(config))
    assert outcome.code == 1, outcome.log
    assert message in outcome.log


@pytest.mark.parametrize("enabled", ["production", "yes", "TRUE", '"production"', ""])
def test_production(environ, tmp_path, enabled):
    """Tokens are asked for."""
    config = tmp_path / "on.conf"
    config.write_text(f"[auth]\nenabled={enabled}\n")
    outcome = ours(
        f"{INSTALLED}\nsmall(program, lambda webapp: webapp.router.add_get('/x', answer))",
        **environ,
        ASAB_CONFIG=str(config),
    )
    assert outcome.lines == ["/x 401 200 200"], outcome.log


def test_without_keys_each_request_is_refused(environ, tmp_path):
    """The log has a warning that names the option."""
    config = tmp_path / "none.conf"
    config.write_text("[auth]\npublic_keys_file=\n")
    outcome = ours(
        f"{INSTALLED}\nsmall(program, lambda webapp: webapp.router.add_get('/x', answer))",
        **environ,
        ASAB_CONFIG=str(config),
    )
    assert outcome.lines == ["/x 401 401 401"]
    assert "set public_keys_url in [auth]" in outcome.log


def test_the_program_of_a_test(environ):
    """A web application that another runner serves is closed as well."""
    outcome = ours(
        SMALL
        + """
load("web.container")
from aiohttp.test_utils import TestClient, TestServer
app = make({"listen": ""})
asab.web.auth.AuthService(app)
app.container.WebApp.router.add_get("/x", answer)
async def main():
    async with TestClient(TestServer(app.container.WebApp)) as client:
        for who in (None, "reader"):
            async with client.get("/x", headers=bearer(who)) as response:
                say(response.status)
app.Loop.run_until_complete(main())
app.Loop.close()
""",
        **environ,
    )
    assert outcome.lines == ["401", "200"], outcome.log


def test_several_sources_of_keys(environ, tmp_path):
    """URLs and files, one of them https with a private authority; each is used for its own keys."""
    authority = trustme.CA()
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(tmp_path / "cert.pem")
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    outcome = ours(
        SMALL
        + """
import socket, ssl
CERT, CA = os.environ["TEST_CERT"], os.environ["TEST_CA"]
SOCKETS = [socket.create_server(("127.0.0.1", 0)) for _ in range(2)]
PORTS = [each.getsockname()[1] for each in SOCKETS]
asab.Config["auth"]["public_keys_url"] = f"https://localhost:{PORTS[0]}/\\n  http://localhost:{PORTS[1]}/"
asab.Config["auth"]["public_keys_ca"] = CA
def keys(name):
    async def answer(request):
        return aiohttp.web.json_response(json.loads(TOKENS[name]))
    return answer
async def serve(name, socket, tls):
    webapp = aiohttp.web.Application()
    webapp.router.add_get("/", keys(name))
    runner = aiohttp.web.AppRunner(webapp)
    await runner.setup()
    await aiohttp.web.SockSite(runner, socket, ssl_context=tls).start()
    return runner
async def program(app, session):
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(CERT)
    runners = [await serve("keys2", SOCKETS[0], tls), await serve("keys3", SOCKETS[1], None)]
    await statuses(session, "/read", "reader", "second", "third", "stranger")
    for runner in runners:
        await runner.cleanup()
small(program, lambda webapp: webapp.router.add_get("/read", require("a:read")(answer)))
""",
        **tokens(
            tmp_path,
            second=token(name="second"),
            third=token(name="third"),
            keys2=jwks(jwk(name="second")).decode(),
            keys3=jwks(jwk(name="third")).decode(),
        ),
        TEST_CERT=str(tmp_path / "cert.pem"),
        TEST_CA=str(tmp_path / "ca.pem"),
    )
    assert outcome.lines == ["/read 200 200 200 401"], outcome.log


@pytest.mark.parametrize(
    ("options", "accepted"),
    [
        ({}, {"reader", "other issuer", "other audience"}),
        ({"issuers": "http://auth"}, {"reader", "other audience"}),
        ({"issuers": '"http://auth" http://other'}, {"reader", "other issuer", "other audience"}),
        ({"audiences": "orders users"}, {"reader", "other issuer"}),
        ({"issuers": "http://auth", "audiences": "orders"}, {"reader"}),
        ({"issuers": "", "audiences": ""}, {"reader", "other issuer", "other audience"}),
    ],
)
def test_issuers_and_audiences(tmp_path, options, accepted):
    """Without these options, tokens of any issuer and for any audience are accepted."""
    environ = tokens(
        tmp_path,
        **{
            "reader": token(claims(aud=["orders", "x"])),
            "other issuer": token(claims(iss="http://other", aud="orders")),
            "other audience": token(claims(aud="billing")),
        },
    )
    outcome = ours(
        SMALL
        + f"""
asab.Config.add_defaults({{"auth": {options!r}}})
def routes(webapp):
    webapp.router.add_get("/read", answer)
async def program(app, session):
    for who in ("reader", "other issuer", "other audience"):
        if await status(session, "/read", who) == 200:
            say(who)
small(program, routes)
""",
        **environ,
    )
    assert {*outcome.lines} == accepted, outcome.log
