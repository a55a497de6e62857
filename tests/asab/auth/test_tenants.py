"""On behalf of which tenant: by the path, by the query, and only for those who have rights there."""

import pytest
from tests.asab.auth.small import SMALL, tokens
from tests.asab.auth.test_authz import MOCK, mock
from tests.asab.both import both, ours

__all__ = ["mock"]

TENANTS = """
load("web.tenant")
asab.Config.add_defaults({"tenants": {"ids": "acme, other\\n  empty # ; more"}})
def tenants(program, routes):
    app = make({"listen": "127.0.0.1 0"})
    app.tenants = asab.web.tenant.TenantService(app)
    app.auth = asab.web.auth.AuthService(app)
    routes(app.container.WebApp)
    return go(app, program)
async def show_tenant(request):
    say(repr(asab.contextvars.Tenant.get("unset")))
    return aiohttp.web.Response()
"""


def test_by_path_and_query(mock):
    """As in the original; nothing of a tenant that nobody knows."""
    outcome = both(
        MOCK
        + TENANTS
        + """
def routes(webapp):
    allow = asab.web.tenant.allow_no_tenant
    async def argument(request, *, tenant):
        say("argument", tenant)
        return aiohttp.web.Response()
    async def maybe(request, tenant):
        say("maybe", tenant)
        return aiohttp.web.Response()
    @allow
    async def optional(request):
        return await show_tenant(request)
    webapp.router.add_get("/x", show_tenant)
    webapp.router.add_get("/{tenant}/x", show_tenant)
    webapp.router.add_get("/optional", optional)
    webapp.router.add_get("/argument", argument)
    webapp.router.add_get("/maybe", allow(maybe))
    webapp.router.add_get("/read", require("a:read")(show_tenant))
async def program(app, session):
    for path in ("/x", "/x?tenant=acme", "/x?tenant=unknown", "/acme/x", "/unknown/x", "/acme/x?tenant=acme",
                 "/x?tenant=*", "/optional", "/optional?tenant=acme", "/optional?tenant=unknown",
                 "/argument?tenant=acme", "/argument", "/maybe", "/maybe?tenant=acme",
                 "/read?tenant=acme", "/read?tenant=other", "/x?tenant=other", "/x?tenant=empty", "/nothing"):
        await statuses(session, path, None)
    say(sorted(await app.tenants.get_tenants() - {"#", ";", "more"}), app.tenants.is_ready())
    say([await app.tenants.is_tenant_known(name) for name in ("acme", "unknown", None)])
tenants(program, routes)
""",
        **mock(resources={"*": ["a:read"], "acme": ["a:read"], "empty": []}),
    )
    found = [line for line in outcome.lines if line.startswith("/")]
    assert [line.rpartition(" ")[2] for line in found] == [
        *("404", "200", "404", "200", "404", "400", "404", "200", "200", "404"),
        *("200", "404", "200", "200", "200", "403", "403", "200", "404"),
    ], outcome.log


@pytest.fixture
def environ(tmp_path):
    return tokens(tmp_path)


def test_rights_of_a_tenant(environ):
    """Its own list counts and no other; a superuser is one everywhere; nobody without a token."""
    outcome = ours(
        SMALL
        + TENANTS
        + """
class View(aiohttp.web.View):
    async def get(self):
        say(repr(asab.contextvars.Tenant.get("unset")))
        return aiohttp.web.Response()
def routes(webapp):
    webapp.router.add_get("/{tenant}/read", require("a:read")(show_tenant))
    webapp.router.add_get("/{tenant}/x", noauth(asab.web.tenant.allow_no_tenant(show_tenant)))
    webapp.router.add_view("/view", View)
async def program(app, session):
    for path in ("/acme/read", "/empty/read", "/other/read", "/view", "/view?tenant=other"):
        await statuses(session, path, None, "reader", "tenant", "root")
    await statuses(session, "/acme/x", None)
    await statuses(session, "/view?tenant=acme&tenant=other", "tenant")
tenants(program, routes)
""",
        **environ,
    )
    assert [line for line in outcome.lines if line.startswith("/")] == [
        *("/acme/read 401 403 200 200", "/empty/read 401 403 403 200", "/other/read 401 403 403 200"),
        *("/view 401 200 200 200", "/view?tenant=other 401 403 403 200", "/acme/x 200"),
        "/view?tenant=acme&tenant=other 400",
    ], outcome.log


def test_tenants_of_a_server(environ):
    """Asked again because of one that is unknown, but for a flood; what is known stays if it is gone."""
    outcome = ours(
        SMALL
        + TENANTS
        + """
import socket
load("web.tenant.service")
LISTED, ASKED, SOCKET = ["listed"], [], socket.create_server(("127.0.0.1", 0))
asab.Config["tenants"]["tenant_url"] = f"http://127.0.0.1:{SOCKET.getsockname()[1]}/"
async def listed(request):
    ASKED.append(request.headers.get("Authorization"))
    return aiohttp.web.json_response(LISTED)
async def serve():
    webapp = aiohttp.web.Application()
    webapp.router.add_get("/", listed)
    runner = aiohttp.web.AppRunner(webapp)
    await runner.setup()
    await aiohttp.web.SockSite(runner, SOCKET).start()
    return runner
async def program(app, session):
    runner = await serve()
    module = importlib.import_module("peerage.asab.web.tenant.service")
    app.PubSub.subscribe("Tenants.change!", lambda message: say(message))
    module._COOL_DOWN = 0
    await statuses(session, "/x?tenant=listed", "root")
    LISTED.append("new")
    await statuses(session, "/x?tenant=new", "root")
    module._COOL_DOWN = 3600
    asked = len(ASKED)
    for _ in range(20):
        assert await status(session, "/x?tenant=nobody", "root") == 404
    say(len(ASKED) - asked, set(ASKED), app.tenants.is_ready())
    await runner.cleanup()
    module._COOL_DOWN = 0
    await statuses(session, "/x?tenant=nobody", "root")
    await statuses(session, "/x?tenant=new", "root")
    await statuses(session, "/x?tenant=acme", "root")
    say(app.tenants.is_ready())
tenants(program, lambda webapp: webapp.router.add_get("/x", show_tenant))
""",
        **environ,
    )
    lines = [line for line in outcome.lines if not line.startswith("'")]
    assert "/x?tenant=listed 200" in lines
    assert lines.count("Tenants.change!") >= 1
    assert lines[-5:] == [
        *("0 {None} True", "/x?tenant=nobody 404", "/x?tenant=new 200", "/x?tenant=acme 200", "False")
    ], outcome.log


def test_a_server_of_tenants_that_never_answers_is_said(environ):
    """Once, however often it is asked; credentials in its URL are in no line, nor in the name of a task."""
    outcome = ours(
        SMALL
        + TENANTS
        + """
import socket
SOCKET = socket.socket()
SOCKET.bind(("127.0.0.1", 0))  # nobody listens there
asab.Config["tenants"]["tenant_url"] = f"http://me:confidential@127.0.0.1:{SOCKET.getsockname()[1]}/"
async def program(app, session):
    say("confidential" in app.tenants._asking.get_name())
    for _ in range(3):
        await app.tenants.update_tenants()
    say(app.tenants.is_ready())
tenants(program, lambda webapp: webapp.router.add_get("/x", show_tenant))
""",
        **environ,
    )
    assert outcome.lines[-2:] == ["False", "False"], outcome.log
    assert outcome.log.count("aren't known: ") == 1, outcome.log
    assert "confidential" not in outcome.log
