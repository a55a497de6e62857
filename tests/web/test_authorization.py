"""An aiohttp server behind the middleware: every path is closed unless its handler is marked as open."""

import asyncio
import functools
import json
import subprocess
import sys
from contextlib import asynccontextmanager

import aiohttp
import pytest
from aiohttp import web
from multidict import CIMultiDict
from tests.auth.support import READER, ROOT, STRANGER, Served, claims, jwk, jwks, token
from tests.web.authorized import (
    Heir,
    Methods,
    Open,
    Replacing,
    View,
    contradicts,
    contradicts_otherwise,
    curious,
    echo,
    fallback,
    free_argument,
    health,
    plain,
    plain_text,
    reads,
    rules,
    with_argument,
    writes,
)

from peerage.auth import FetchedKeys, Verifier
from peerage.errors import AccessDeniedError
from peerage.web import authorize, noauth, require


@pytest.fixture
def served():
    return Served(jwks(jwk()))


@asynccontextmanager
async def serving(app):
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        async with aiohttp.ClientSession(f"http://127.0.0.1:{runner.addresses[0][1]}") as session:
            yield session
    finally:
        await runner.cleanup()


@pytest.fixture
async def session(served, tmp_path):
    (tmp_path / "file.txt").write_text("static")
    verifier = Verifier([FetchedKeys("the test", served)])
    app = web.Application(middlewares=[authorize(verifier), web.middleware(fallback)])
    inner, innermost = web.Application(), web.Application()
    innermost.router.add_get("/plain", plain)
    innermost.router.add_view("/view", View)
    innermost.router.add_get("/health", health)
    inner.add_subapp("/more/", innermost)
    methods = Methods()
    app.router.add_get("/plain", plain)
    app.router.add_post("/plain", plain)
    app.router.add_get("/health", health)
    app.router.add_get("/curious", curious)
    app.router.add_get("/reads", reads)
    app.router.add_get("/writes", writes)
    app.router.add_get("/rules", rules)
    app.router.add_get("/contradicts", contradicts)
    app.router.add_get("/contradicts-otherwise", contradicts_otherwise)
    app.router.add_view("/view", View)
    app.router.add_view("/open", Open)
    app.router.add_view("/heir", Heir)
    app.router.add_view("/replacing", Replacing)
    app.router.add_get("/free", methods.free)
    app.router.add_get("/noauth-bound", noauth(Methods().bound))
    app.router.add_get("/partial", functools.partial(with_argument, 1))
    app.router.add_get("/free-partial", functools.partial(free_argument, 1))
    app.router.add_get("/marked-partial", noauth(functools.partial(with_argument, 1)))
    app.router.add_get("/socket", echo)
    app.router.add_static("/files/", tmp_path)
    app.add_subapp("/sub/", inner)

    async def late(app):
        """Added when the application starts, after everything else."""
        app.router.add_get("/late", plain)

    # aiohttp freezes the router before it starts up; ASAB's applications add routes there all the same.
    app.on_startup.append(late)
    app.router.freeze = lambda: None
    async with serving(app) as session:
        yield session
    await verifier.aclose()


def bearer(text, scheme="Bearer"):
    return {"Authorization": f"{scheme} {text}"}


CLOSED = [
    ("GET", "/plain", 200),
    ("HEAD", "/plain", 200),
    ("POST", "/plain", 200),
    ("DELETE", "/plain", 405),
    ("GET", "/reads", 200),
    ("GET", "/writes", 403),
    ("GET", "/rules", 403),
    ("GET", "/view", 200),
    ("PUT", "/view", 403),
    ("PATCH", "/view", 405),
    ("GET", "/heir", 200),
    ("OPTIONS", "/replacing", 200),
    ("GET", "/contradicts-otherwise", 200),
    ("GET", "/partial", 200),
    ("GET", "/files/file.txt", 200),
    ("GET", "/files/none.txt", 404),
    ("GET", "/nowhere", 200),
    ("GET", "/late", 200),
    ("GET", "/sub/more/plain", 200),
    ("GET", "/sub/more/view", 200),
    ("GET", "/sub/nowhere", 200),
    ("GET", "/socket", 400),
]


@pytest.mark.parametrize(("method", "path", "status"), CLOSED)
async def test_a_handler_that_isnt_marked_is_closed(session, method, path, status):
    for headers in ({}, bearer(STRANGER), bearer("x"), bearer(READER, "Basic"), {"Authorization": READER}):
        async with session.request(method, path, headers=headers) as response:
            assert response.status == 401
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="asab", error="invalid_token"'
            if method != "HEAD":
                assert (await response.json())["result"] == "NOT-AUTHORIZED"
    async with session.request(method, path, headers=bearer(READER)) as response:
        assert response.status == status
        if status == 403:
            assert response.headers["WWW-Authenticate"] == 'Bearer realm="asab", error="insufficient_scope"'
            assert (await response.json())["result"] == "ACCESS-DENIED"


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/health"),
        ("GET", "/open"),
        ("OPTIONS", "/view"),
        ("GET", "/free"),
        ("GET", "/noauth-bound"),
        ("GET", "/free-partial"),
        ("GET", "/marked-partial"),
        ("GET", "/sub/more/health"),
    ],
)
async def test_a_marked_handler_is_open(session, served, method, path):
    """With any token and without, and no key is fetched."""
    served.error = OSError("refused")
    for headers in ({}, bearer(STRANGER), bearer(READER)):
        async with session.request(method, path, headers=headers) as response:
            assert response.status == 200
    assert not served.fetches


async def test_a_handler_is_open_only_where_it_was_marked(served):
    """The same function, partial object, method or view at another route stays closed."""
    methods = Methods()
    partial = functools.partial(with_argument, 1)
    app = web.Application(middlewares=[authorize(Verifier([FetchedKeys("the test", served)]))])
    app.router.add_get("/open/function", noauth(plain_text))
    app.router.add_get("/closed/function", plain_text)
    app.router.add_get("/open/partial", noauth(partial))
    app.router.add_get("/closed/partial", partial)
    app.router.add_get("/open/method", noauth(methods.bound))
    app.router.add_get("/closed/method", methods.bound)
    app.router.add_get("/closed/other-method", Methods().bound)
    app.router.add_view("/open/view", noauth(View))
    app.router.add_view("/closed/view", View)
    async with serving(app) as session:
        for resource in app.router.resources():
            async with session.get(resource.canonical) as response:
                assert response.status == (200 if "open" in resource.canonical else 401), resource


async def test_an_open_handler_doesnt_know_its_caller(session):
    """One that is open and requires rights can't be called at all."""
    async with session.get("/curious", headers=bearer(READER)) as response:
        assert response.status == 500
    async with session.get("/contradicts", headers=bearer(ROOT)) as response:
        assert response.status == 403


async def test_a_handler_knows_its_caller(session):
    for scheme in ("Bearer", "bearer", "BEARER", "Bearer "):
        async with session.get("/plain", headers=bearer(READER, scheme)) as response:
            assert await response.json() == {"who": "u1", "same": True}


async def test_a_superuser_may_call_everything(session):
    for path in ("/reads", "/writes", "/rules"):
        async with session.get(path, headers=bearer(ROOT)) as response:
            assert response.status == 200


async def test_the_reason_for_a_refusal_is_logged_and_not_returned(session, caplog):
    expired = token(claims(iat=1, exp=2))
    async with session.get("/plain", headers=bearer(expired)) as response:
        body = await response.text()
    assert "expired" not in body
    assert "expired" in caplog.text
    assert expired not in caplog.text


async def test_denials_are_counted_and_logged_once(session, caplog):
    for _ in range(5):
        async with session.get("/rules", headers=bearer(READER)) as response:
            assert "u1" not in await response.text()
    (message,) = caplog.messages
    assert "(denied)" in message
    assert "'u1'" in message
    assert READER not in message


async def test_without_keys_it_is_503(session, served):
    served.error = OSError("refused")
    async with session.get("/plain", headers=bearer(READER)) as response:
        assert response.status == 503
        assert 1 <= int(response.headers["Retry-After"]) <= 3
        assert (await response.json())["result"] == "ERROR"
    async with session.get("/plain") as response:
        assert response.status == 401


async def test_a_websocket_has_its_token_in_a_header_or_as_protocol(session, caplog):
    """The handler sees the other protocols only, and no token is logged."""
    for protocols, headers, chosen in (
        ([], bearer(READER), None),
        (["chat"], bearer(READER), "chat"),
        ([f"access_token_{READER}", "chat"], {}, "chat"),
        (["chat", f"access_token_{READER}"], {}, "chat"),
        ([f"access_token_{READER}"], {}, None),
        ([f"access_token_{READER}", "other"], {}, None),
    ):
        others = ",".join(name for name in protocols if not name.startswith("access_token_")) or None
        async with session.ws_connect("/socket", protocols=protocols, headers=headers) as socket:
            assert socket.protocol == chosen
            assert await socket.receive_json() == {"who": "u1", "saw": others}
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
    assert READER not in caplog.text


@pytest.mark.parametrize(
    "protocols", [[], ["chat"], ["access_token_"], [f"access_token_{STRANGER}"], [READER]]
)
async def test_a_websocket_without_a_valid_token_isnt_opened(session, protocols):
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect("/socket", protocols=protocols)
    assert caught.value.status == 401


async def test_a_header_comes_before_a_protocol_which_counts_for_websockets_only(session):
    protocol = {"Sec-WebSocket-Protocol": f"access_token_{READER}"}
    async with session.get("/plain", headers=protocol) as response:
        assert response.status == 401
    async with session.get("/plain", headers=protocol | bearer(READER)) as response:
        assert response.status == 200
    with pytest.raises(aiohttp.WSServerHandshakeError):
        await session.ws_connect("/socket", protocols=[f"access_token_{READER}"], headers=bearer(STRANGER))


@pytest.mark.parametrize(
    "values",
    [
        [f"Bearer {READER}", f"Bearer {ROOT}"],
        [f"Bearer {ROOT}", f"Bearer {READER}"],
        [f"Bearer {READER}", f"Bearer {READER}"],
        [f"Bearer {READER}", "Basic eDp5"],
        ["Basic eDp5", f"Bearer {READER}"],
        [f"Bearer {READER}", ""],
        ["", f"Bearer {READER}"],
    ],
)
async def test_several_authorization_headers_are_refused(session, values, caplog):
    """A proxy may verify one of them, and this service the other."""
    headers = CIMultiDict([("Authorization", value) for value in values])
    async with session.get("/plain", headers=headers) as response:
        assert response.status == 401
    assert READER not in caplog.text


async def test_several_tokens_as_protocols_of_a_websocket_are_refused(session):
    protocols = [f"access_token_{READER}", f"access_token_{ROOT}"]
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect("/socket", protocols=protocols)
    assert caught.value.status == 401


async def test_a_denial_after_the_answer_began_breaks_the_connection(served):
    """A second answer doesn't follow the first."""

    async def stream(request):
        response = web.StreamResponse()
        await response.prepare(request)
        await response.write(b"begun")
        raise AccessDeniedError("no")

    app = web.Application(middlewares=[authorize(Verifier([FetchedKeys("the test", served)]))])
    app.router.add_get("/stream", stream)
    async with serving(app) as session:
        url = session._base_url
        reader, writer = await asyncio.open_connection(url.host, url.port)
        writer.write(f"GET /stream HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {READER}\r\n\r\n".encode())
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    assert b"begun" in answer
    assert answer.count(b"HTTP/1.1") == 1


async def test_a_denial_closes_a_websocket(session):
    async with session.ws_connect("/socket", headers=bearer(READER)) as socket:
        await socket.receive_json()
        await socket.send_str("misbehave")
        message = await socket.receive()
        assert message.type in (aiohttp.WSMsgType.CLOSE, aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR)


async def test_without_the_middleware_handlers_that_require_rights_answer_403(caplog):
    app = web.Application()

    @require("a:read")
    async def reads_here(_):
        return web.Response()

    app.router.add_get("/reads", reads_here)
    async with serving(app) as session:
        for _ in range(3):
            async with session.get("/reads", headers=bearer(ROOT)) as response:
                assert response.status == 403
                assert json.loads(await response.text())["result"] == "ACCESS-DENIED"
    assert [record.levelname for record in caplog.records] == ["ERROR"]
    assert "reads_here" in caplog.text


def test_a_required_resource_must_be_named():
    with pytest.raises(ValueError, match="at least one"):
        require()


def run_program(text):
    """Run a program in a new process and return its output."""
    return subprocess.run([sys.executable, "-c", text], check=True, capture_output=True, text=True).stdout


def test_only_authorization_needs_the_package_that_verifies():
    program = (
        "import sys; sys.modules['joserfc'] = None\n"
        "import peerage\n"
        "from peerage.web import GracefulStop, refuse_misdirected\n"
        "try: from peerage.web import authorize\n"
        "except peerage.MissingExtraError as error: print(error)"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert "pip install 'peerage[auth]'" in output


def test_the_public_names_dont_depend_on_the_order_of_imports():
    """A module with the name of a function would take its place."""
    program = (
        "import peerage.web.authorization, peerage.web.misdirected, peerage.web.stopping, peerage.web\n"
        "print(*(callable(getattr(peerage.web, name)) for name in peerage.web.__all__ if name.islower()))"
    )
    output = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    ).stdout
    assert {*output.split()} == {"True"}
