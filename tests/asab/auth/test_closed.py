"""Every route that isn't marked as open is closed, in whatever way it is added."""

import pytest
from tests.asab.auth.small import SMALL, tokens
from tests.asab.both import ours


@pytest.fixture
def environ(tmp_path):
    return tokens(tmp_path)


def test_every_kind_of_handler(environ, tmp_path):
    """Functions, methods, partial ones, views, sub-applications, files, and what comes last."""
    (tmp_path / "page").mkdir()
    (tmp_path / "page/index.html").write_text("page")
    (tmp_path / "page/more.txt").write_text("more")
    outcome = ours(
        SMALL
        + """
import functools
class Handlers:
    async def method(self, request):
        return aiohttp.web.Response()
    @noauth
    async def open_method(self, request):
        return aiohttp.web.Response()
async def more(argument, request):
    return aiohttp.web.Response()
class View(aiohttp.web.View):
    async def get(self):
        return aiohttp.web.Response()
    @require_superuser
    async def put(self):
        return aiohttp.web.Response()
    @noauth
    async def post(self):
        return aiohttp.web.Response()
@noauth
class Open(aiohttp.web.View):
    async def get(self):
        return aiohttp.web.Response()
class Heir(Open):
    async def get(self):
        return aiohttp.web.Response()
class Callable:
    async def __call__(self, request):
        return aiohttp.web.Response()

def routes(webapp):
    router, handlers = webapp.router, Handlers()
    router.add_get("/function", answer)
    router.add_get("/method", handlers.method)
    router.add_get("/open-method", handlers.open_method)
    router.add_get("/partial", functools.partial(more, 1))
    router.add_get("/callable", Callable().__call__)
    router.add_view("/view", View)
    router.add_view("/open-view", Open)
    router.add_view("/heir", Heir)
    router.add_static("/static", os.environ["TEST_PAGE"])
    router.add_route("*", "/any/{rest:.*}", answer)
    sub, subsub = aiohttp.web.Application(), aiohttp.web.Application()
    sub.router.add_get("/function", answer)
    sub.router.add_get("/open", handlers.open_method)
    sub.router.add_view("/view", View)
    sub.router.add_static("/static", os.environ["TEST_PAGE"])
    subsub.router.add_get("/function", answer)
    sub.add_subapp("/deeper", subsub)
    webapp.add_subapp("/sub", sub)
    async def late(webapp):
        webapp.router.add_get("/late", answer)
    webapp.on_startup.append(late)

async def program(app, session):
    for path in (
        *("/function", "/method", "/open-method", "/partial", "/callable", "/view", "/open-view", "/heir"),
        *("/static/more.txt", "/any/thing", "/late", "/sub/function", "/sub/open", "/sub/view"),
        *("/sub/static/more.txt", "/sub/deeper/function"),
    ):
        await statuses(session, path, None, "stranger", "expired", "reader", "root")
    await statuses(session, "/view", None, "reader", "root", method="PUT")
    await statuses(session, "/view", None, method="POST")
    await statuses(session, "/view", None, method="DELETE")
    # Nothing is there, which is no secret.
    await statuses(session, "/nothing")
    await statuses(session, "/function", None, "reader", method="DELETE")
small(program, routes)
""",
        **environ,
        TEST_PAGE=str(tmp_path / "page"),
    )
    closed, opened = "401 401 401 200 200", "200 200 200 200 200"
    expected = {
        **dict.fromkeys(("/function", "/method", "/partial", "/callable", "/view", "/heir"), closed),
        **dict.fromkeys(("/static/more.txt", "/any/thing", "/late", "/sub/function", "/sub/view"), closed),
        **dict.fromkeys(("/sub/static/more.txt", "/sub/deeper/function"), closed),
        **dict.fromkeys(("/open-method", "/open-view", "/sub/open"), opened),
    }
    lines = outcome.lines
    assert dict(line.split(" ", 1) for line in lines[:16]) == expected, outcome.log
    assert lines[16:] == [
        *("/view 401 403 200", "/view 200", "/view 401", "/nothing 404 404 404", "/function 405 405")
    ]


def test_a_fallback_page_for_missing_routes_is_closed(environ):
    """A middleware of a sub-application that answers missing routes needs a token as well."""
    outcome = ours(
        SMALL
        + """
@aiohttp.web.middleware
async def page(request, handler):
    try:
        return await handler(request)
    except aiohttp.web.HTTPNotFound:
        return aiohttp.web.Response(text="the page")
def routes(webapp):
    sub = aiohttp.web.Application(middlewares=[page])
    webapp.add_subapp("/sub", sub)
async def program(app, session):
    await statuses(session, "/sub/anything", None, "stranger", "reader")
small(program, routes)
""",
        **environ,
    )
    assert outcome.lines == ["/sub/anything 404 404 200"], outcome.log


def test_marks_that_contradict_each_other(environ):
    """A handler that requires authorization isn't open."""
    outcome = ours(
        SMALL
        + """
def routes(webapp):
    webapp.router.add_get("/inside", require("a:read")(noauth(lambda request: answer(request))))
    async def handler(request):
        return aiohttp.web.Response()
    webapp.router.add_get("/outside", noauth(require("a:read")(handler)))
async def program(app, session):
    await statuses(session, "/inside")
    await statuses(session, "/outside")
    for wrong in ((), (answer,), (1,)):
        try:
            require(*wrong)
        except TypeError as error:
            say(error)
small(program, routes)
""",
        **environ,
    )
    assert outcome.lines == [
        *("/inside 401 200 200", "/outside 403 403 403"),
        *['Name what is required: @asab.web.auth.require("article:read").'] * 3,
    ], outcome.log


def test_websockets(environ):
    """By the header or by a protocol, which the handler doesn't see; closed before the handshake."""
    outcome = ours(
        SMALL
        + """
async def socket(request):
    socket = aiohttp.web.WebSocketResponse(protocols=("chat",))
    await socket.prepare(request)
    who = asab.contextvars.Authz.get().CredentialsId
    await socket.send_json([who, socket.ws_protocol, request.headers.get("Sec-WebSocket-Protocol")])
    await socket.close()
    return socket
async def tell(session, headers=None, protocols=()):
    try:
        async with session.ws_connect("/socket", headers=headers, protocols=protocols) as socket:
            say(await socket.receive_json())
    except aiohttp.WSServerHandshakeError as error:
        say(error.status)
async def program(app, session):
    token = "access_token_" + TOKENS["reader"]
    await tell(session)
    await tell(session, bearer("stranger"))
    await tell(session, bearer("reader"))
    await tell(session, bearer("reader"), ("chat",))
    await tell(session, protocols=("chat", token))
    await tell(session, protocols=(token,))
    await tell(session, protocols=("chat", "access_token_" + TOKENS["stranger"]))
    # Not a way around the header.
    await tell(session, bearer("stranger"), ("chat", token))
small(program, lambda webapp: webapp.router.add_get("/socket", socket))
""",
        **environ,
    )
    assert outcome.lines == [
        *("401", "401", "['u1', None, None]", "['u1', 'chat', 'chat']", "['u1', 'chat', 'chat']"),
        *("['u1', None, None]", "401", "401"),
    ], outcome.log
    for secret in environ["TEST_TOKENS"].split('"'):
        assert len(secret) < 50 or secret not in outcome.log


def test_a_websocket_that_outlives_its_token(environ):
    """Asked again, Authz refuses, and the connection ends without an answer in the middle of it."""
    outcome = ours(
        SMALL
        + """
async def socket(request):
    socket = aiohttp.web.WebSocketResponse()
    await socket.prepare(request)
    authz = asab.contextvars.Authz.get()
    say(authz.has_resource_access("a:read"))
    vars(authz._principal)["_clock"] = lambda: time.time() + 1e6
    try:
        authz.require_resource_access("a:read")
    except asab.exceptions.NotAuthenticatedError:
        say("expired")
        raise
async def program(app, session):
    async with session.ws_connect("/socket", headers=bearer("reader")) as socket:
        say((await socket.receive()).type.name)
small(program, lambda webapp: webapp.router.add_get("/socket", socket))
""",
        **environ,
    )
    assert outcome.lines == ["True", "expired", "CLOSED"], outcome.log


def test_the_programs_own_middlewares(environ):
    """They run before authorization, as in the original, and see its refusals as exceptions."""
    outcome = ours(
        SMALL
        + """
load("web.rest")
@aiohttp.web.middleware
async def own(request, handler):
    if request.method == "OPTIONS":
        return aiohttp.web.Response(status=204)
    if "cookie" in request.query:
        headers = {**request.headers, **bearer(request.query["cookie"])}
        request = request.clone(headers=headers)
    try:
        return await handler(request)
    except asab.exceptions.AccessDeniedError:
        say("own")
        raise
async def program(app, session):
    await statuses(session, "/read", None, "reader", "root")
    await statuses(session, "/read", None, method="OPTIONS")
    await statuses(session, "/read?cookie=reader", None)
    await statuses(session, "/write", "reader")
    async with session.get("/read") as response:
        found = await response.json()
        say(sorted(found), found["result"], response.headers["WWW-Authenticate"])
def routes(webapp):
    webapp.router.add_route("*", "/read", require("a:read")(answer))
    webapp.router.add_get("/write", require("a:write")(answer))
    webapp.middlewares.append(own)
    webapp.middlewares.append(asab.web.rest.JsonExceptionMiddleware)
small(program, routes)
""",
        **environ,
    )
    assert outcome.lines == [
        *("/read 401 200 200", "/read 204", "/read?cookie=reader 200", "own", "/write 403"),
        "['message', 'result', 'uuid'] NOT-AUTHORIZED Bearer realm=\"asab\", error=\"invalid_token\"",
    ], outcome.log


def test_a_websocket_isnt_waited_for_at_the_end(environ):
    """One whose token came as a protocol neither: it has begun, so it is no request under way."""
    outcome = ours(
        SMALL
        + """
async def socket(request):
    socket = aiohttp.web.WebSocketResponse()
    await socket.prepare(request)
    say(len(app.container._graceful._waited_for))
    await socket.receive()
    return socket
app = make({"listen": "127.0.0.1 0"})
asab.web.auth.AuthService(app)
app.container.WebApp.router.add_get("/socket", socket)
async def program(app, session):
    async with session.ws_connect("/socket", protocols=("access_token_" + TOKENS["reader"],)) as socket:
        await socket.send_str("end")
        await socket.receive()
go(app, program)
""",
        **environ,
    )
    assert outcome.lines == ["0"], outcome.log
