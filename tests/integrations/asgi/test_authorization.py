"""An ASGI application behind the middleware: every path is closed unless it is named as open."""

import aiohttp
import litestar
import pytest
from fastapi import FastAPI
from multidict import CIMultiDict
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, StreamingResponse
from starlette.routing import Route
from tests.auth.support import READER, ROOT, STRANGER
from tests.integrations.asgi.serving import serving
from yarl import URL

from peerage.errors import AccessDeniedError
from peerage.integrations.asgi import authorize, caller, noauth, require, require_superuser
from peerage.serving.authorization import is_open


def bearer(text, scheme="Bearer"):
    return {"Authorization": f"{scheme} {text}"}


async def plain() -> str:
    return caller().subject


def in_thread() -> str:
    return caller().subject


@require("a:read")
async def reads() -> str:
    return "read"


@require("a:write", "a:read")
def writes() -> str:
    return "written"


@require_superuser
async def rules() -> str:
    return "ruled"


async def asks() -> None:
    caller().require_resource_access("a:write")


async def health() -> str:
    return "alive"


HANDLERS = {
    "/plain": plain,
    "/thread": in_thread,
    "/reads": reads,
    "/writes": writes,
    "/rules": rules,
    "/asks": asks,
    "/health": health,
}


def fastapi_inside(verifier):
    """The middleware is installed in the application, so it is inside of what answers 500."""
    app = FastAPI()
    for path, handler in HANDLERS.items():
        app.get(path)(handler)
    app.add_middleware(authorize, verifier=verifier, open_paths=["/health"])
    return app


def fastapi_outside(verifier):
    """The middleware is around the application, which answers exceptions with 500 by itself."""
    app = FastAPI()
    for path, handler in HANDLERS.items():
        app.get(path)(handler)
    return authorize(app, verifier, open_paths=["/health"])


def starlette(verifier):
    def route(path, handler):
        if handler is in_thread or handler is writes:

            def answer(_request):
                return PlainTextResponse(handler())
        else:

            async def answer(_request):
                return PlainTextResponse(await handler())

        return Route(path, answer)

    routes = [route(path, handler) for path, handler in HANDLERS.items()]
    return authorize(Starlette(routes=routes), verifier, open_paths=["/health"])


def litestar_inside(verifier):
    """Litestar chooses the handler before its middlewares run, so one may be marked as open."""
    handlers = [
        litestar.get(path, sync_to_thread=True if handler in {in_thread, writes} else None)(
            noauth(handler) if handler is health else handler
        )
        for path, handler in HANDLERS.items()
    ]
    middleware = litestar.middleware.DefineMiddleware(authorize, verifier=verifier)
    return litestar.Litestar(handlers, middleware=[middleware], openapi_config=None, logging_config=None)


@pytest.fixture(params=[fastapi_inside, fastapi_outside, starlette, litestar_inside])
async def session(request, verifier):
    async with (
        serving(request.param(verifier)) as url,
        aiohttp.ClientSession(url) as session,
    ):
        yield session


CLOSED = [
    ("/plain", 200),
    ("/thread", 200),
    ("/reads", 200),
    ("/writes", 403),
    ("/rules", 403),
    ("/asks", 403),
]


async def test_a_path_that_isnt_open_is_closed(session):
    for path, status in CLOSED:
        for headers in (
            {},
            bearer(STRANGER),
            bearer("x"),
            bearer(READER, "Basic"),
            {"Authorization": READER},
        ):
            async with session.get(path, headers=headers) as response:
                assert response.status == 401
                assert response.headers["WWW-Authenticate"] == 'Bearer realm="asab", error="invalid_token"'
                assert (await response.json())["result"] == "NOT-AUTHORIZED"
        async with session.get(path, headers=bearer(READER)) as response:
            assert response.status == status, path
            if status == 403:
                challenge = 'Bearer realm="asab", error="insufficient_scope"'
                assert response.headers["WWW-Authenticate"] == challenge
                assert (await response.json())["result"] == "ACCESS-DENIED"
    async with session.get("/health") as response:
        assert (response.status, "alive" in await response.text()) == (200, True)


async def test_the_caller_is_known_to_handlers_also_in_threads(session):
    for path in ("/plain", "/thread"):
        async with session.get(path, headers=bearer(READER)) as response:
            assert "u1" in await response.text()


async def test_a_superuser_may_call_everything(session):
    for path, _ in CLOSED:
        async with session.get(path, headers=bearer(ROOT)) as response:
            assert response.status == 200, path


async def test_denials_are_counted_and_logged_once(session, verifier, caplog):
    """Nothing but the refusal is logged, and its reason isn't returned."""
    for _ in range(5):
        async with session.get("/rules", headers=bearer(READER)) as response:
            assert "u1" not in await response.text()
    (message,) = caplog.messages
    assert "(denied)" in message
    assert "'u1'" in message
    assert READER not in message
    assert verifier.refusals.counts["denied"] == 5


async def test_without_keys_it_is_503(session, served):
    served.error = OSError("refused")
    async with session.get("/plain", headers=bearer(READER)) as response:
        assert response.status == 503
        assert 1 <= int(response.headers["Retry-After"]) <= 3
        assert (await response.json())["result"] == "ERROR"


@pytest.mark.parametrize(
    "values",
    [
        [f"Bearer {READER}", f"Bearer {ROOT}"],
        [f"Bearer {READER}", "Basic eDp5"],
        ["", f"Bearer {READER}"],
    ],
)
async def test_several_authorization_headers_are_refused(verifier, values, caplog):
    """A proxy may verify one of them, and this service the other."""
    headers = CIMultiDict([("Authorization", value) for value in values])
    async with (
        serving(fastapi_inside(verifier)) as url,
        aiohttp.ClientSession() as session,
        session.get(f"{url}/plain", headers=headers) as response,
    ):
        assert response.status == 401
    assert READER not in caplog.text


async def test_an_open_path_is_open_with_any_token_and_no_key_is_fetched(verifier, served):
    served.error = OSError("refused")
    async with serving(fastapi_inside(verifier)) as url, aiohttp.ClientSession(url) as session:
        for headers in ({}, bearer(STRANGER), bearer(READER)):
            async with session.get("/health", headers=headers) as response:
                assert response.status == 200
        for path in ("/health/", "/Health", "/health/more", "/health%2F"):
            async with session.get(URL(path, encoded=True), allow_redirects=False) as response:
                assert response.status == 401
    assert not served.fetches


async def test_a_denial_after_the_answer_began_breaks_the_connection(verifier):
    """A second answer doesn't follow the first."""

    async def stream():
        yield b"begun"
        raise AccessDeniedError("no")

    async def handler(_request):
        return StreamingResponse(stream())

    app = authorize(Starlette(routes=[Route("/", handler)]), verifier)
    async with serving(app) as url, aiohttp.ClientSession() as session:
        with pytest.raises(aiohttp.ClientPayloadError):
            async with session.get(url, headers=bearer(READER)) as response:
                await response.read()


async def test_without_the_middleware_handlers_that_require_rights_are_refused(caplog):
    app = FastAPI()
    app.get("/reads")(reads)
    async with serving(app) as url, aiohttp.ClientSession(url) as session:
        for _ in range(3):
            async with session.get("/reads", headers=bearer(ROOT)) as response:
                assert response.status == 500
    assert [each.getMessage()[:20] for each in caplog.records if each.name.startswith("peerage")] == [
        "reads requires right"
    ]


def test_a_handler_that_requires_rights_isnt_open():
    """In whichever order it is decorated."""
    assert not is_open(require("a:read")(noauth(plain)), "GET")
    assert is_open(noauth(plain), "GET")
    with pytest.raises(ValueError, match="at least one"):
        require()
