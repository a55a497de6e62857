"""Dependencies of FastAPI: the caller, the rights that an operation needs, and the Discovery."""

from typing import Annotated

import aiohttp
import pytest
from fastapi import APIRouter, Depends, FastAPI, Request, WebSocket
from fastapi.middleware.cors import CORSMiddleware
from fastapi.responses import StreamingResponse
from tests.auth.support import READER, ROOT, STRANGER
from tests.integrations.asgi.serving import serving

from peerage import ConfigurationError, Discovery
from peerage.auth import Principal
from peerage.errors import AccessDeniedError
from peerage.integrations.asgi import authorize
from peerage.integrations.asgi import caller as asgi_caller
from peerage.integrations.fastapi import authorized, caller, discovery, noauth, require, require_superuser

BEARER = {"Authorization": f"Bearer {READER}"}


router = APIRouter(prefix="/sub")


@router.get("/who")
def who(who: Annotated[Principal, Depends(caller)]):
    return who.subject


@router.get("/health")
@noauth
def healthy():
    return "alive"


@router.get("/reads", dependencies=[Depends(require("a:read"))])
async def reads():
    return "read"


@router.get("/writes")
def writes(who: Annotated[Principal, Depends(require("a:write", "a:read"))]):
    return who.subject


@router.get("/rules", dependencies=[Depends(require_superuser)])
async def rules():
    return "ruled"


@router.get("/asks")
def asks(who: Annotated[Principal, Depends(caller)]):
    who.require_resource_access("a:write")


@router.get("/curious")
@noauth
def curious(who: Annotated[Principal, Depends(caller)]):
    return who.subject


@router.get("/streams")
async def streams():
    async def stream():
        yield b"begun"
        raise AccessDeniedError("no")

    return StreamingResponse(stream())


@router.websocket("/socket")
async def socket(socket: WebSocket, who: Annotated[Principal, Depends(caller)]):
    await socket.accept("chat" if "chat" in socket.scope["subprotocols"] else None)
    await socket.send_json({"who": who.subject, "saw": socket.scope["subprotocols"]})
    async for message in socket.iter_text():
        who.require_resource_access(message)
        await socket.send_text(message)


@noauth
async def health():
    return "alive"


def by_dependency(verifier):
    app = FastAPI(dependencies=[Depends(authorized(verifier))])
    app.get("/health")(health)
    app.include_router(router)
    return app


def by_middleware(verifier):
    app = FastAPI()
    app.get("/health")(health)
    app.include_router(router)
    app.add_middleware(authorize, verifier=verifier, open_paths=["/health", "/sub/health", "/sub/curious"])
    return app


@pytest.fixture(params=[by_dependency, by_middleware])
async def session(request, verifier):
    async with serving(request.param(verifier)) as url, aiohttp.ClientSession(url) as session:
        yield session


async def test_an_operation_that_isnt_marked_is_closed(session):
    paths = {"/who": 200, "/reads": 200, "/writes": 403, "/rules": 403, "/asks": 403}
    for path, status in paths.items():
        for headers in ({}, {"Authorization": f"Bearer {STRANGER}"}, {"Authorization": READER}):
            async with session.get(f"/sub{path}", headers=headers) as response:
                assert response.status == 401, path
                assert response.headers["WWW-Authenticate"] == 'Bearer realm="asab", error="invalid_token"'
                assert "NOT-AUTHORIZED" in await response.text()
        async with session.get(f"/sub{path}", headers=BEARER) as response:
            assert response.status == status, path
            if status == 403:
                assert "insufficient_scope" in response.headers["WWW-Authenticate"]
                assert "ACCESS-DENIED" in await response.text()
        async with session.get(f"/sub{path}", headers={"Authorization": f"Bearer {ROOT}"}) as response:
            assert response.status == 200, path


async def test_a_marked_operation_is_open(session, served):
    """With any token and without, and no key is fetched; it doesn't know its caller."""
    served.error = OSError("refused")
    for path in ("/health", "/sub/health"):
        for headers in ({}, BEARER):
            async with session.get(path, headers=headers) as response:
                assert (response.status, await response.json()) == (200, "alive")
    async with session.get("/sub/curious", headers=BEARER) as response:
        assert response.status >= 403
    assert not served.fetches


@pytest.mark.parametrize(("protected", "status"), [(by_dependency, 200), (by_middleware, 401)])
async def test_a_dependency_protects_operations_and_the_middleware_everything(verifier, protected, status):
    async with serving(protected(verifier)) as url, aiohttp.ClientSession(url) as session:
        for path in ("/docs", "/openapi.json"):
            async with session.get(path) as response:
                assert response.status == status


@pytest.mark.parametrize("protected", [by_dependency, by_middleware])
async def test_a_browser_may_ask_first(verifier, protected):
    """Its preflight request has no token: CORSMiddleware, which is added later, answers it."""
    app = protected(verifier)
    app.add_middleware(CORSMiddleware, allow_origins=["http://shop"], allow_headers=["Authorization"])
    asking = {
        "Origin": "http://shop",
        "Access-Control-Request-Method": "GET",
        "Access-Control-Request-Headers": "authorization",
    }
    async with serving(app) as url, aiohttp.ClientSession(url) as session:
        async with session.options("/sub/who", headers=asking) as response:
            assert response.status == 200
        async with session.get("/sub/who", headers={"Origin": "http://shop"}) as response:
            assert response.status == 401
            assert response.headers["Access-Control-Allow-Origin"] == "http://shop"


async def test_the_middleware_puts_the_caller_into_the_state_of_the_request(verifier):
    app = FastAPI()

    @app.get("/")
    async def same(request: Request):
        return request.state.principal is asgi_caller()

    async with (
        serving(authorize(app, verifier)) as url,
        aiohttp.ClientSession() as session,
        session.get(url, headers=BEARER) as response,
    ):
        assert await response.json() is True


async def test_denials_are_counted(session, verifier):
    async with session.get("/sub/asks", headers=BEARER) as response:
        assert response.status == 403
    assert verifier.refusals.counts["denied"] == 1


async def test_without_keys_it_is_503(session, served):
    served.error = OSError("refused")
    async with session.get("/sub/who", headers=BEARER) as response:
        assert response.status == 503
        assert 1 <= int(response.headers["Retry-After"]) <= 3


async def test_a_denial_after_the_answer_began_breaks_the_connection(session):
    with pytest.raises(aiohttp.ClientPayloadError):
        async with session.get("/sub/streams", headers=BEARER) as response:
            await response.read()


async def test_a_websocket_has_its_token_in_a_header_or_as_protocol(session):
    for protocols, headers in (([], BEARER), ([f"access_token_{READER}", "chat"], {})):
        async with session.ws_connect("/sub/socket", protocols=protocols, headers=headers) as socket:
            seen = await socket.receive_json()
            assert seen == {"who": "u1", "saw": [each for each in protocols if each == "chat"]}
            await socket.send_str("a:read")
            assert await socket.receive_str() == "a:read"
            await socket.send_str("a:write")
            message = await socket.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)


async def test_a_websocket_without_a_valid_token_isnt_opened(session):
    for protocols in ([], [f"access_token_{STRANGER}"]):
        with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
            await session.ws_connect("/sub/socket", protocols=protocols)
        assert caught.value.status == 401


async def test_without_authorization_what_requires_rights_is_closed(caplog):
    app = FastAPI()
    app.include_router(router)
    async with serving(app) as url, aiohttp.ClientSession(url) as session:
        for path, status in {"/reads": 403, "/writes": 403, "/rules": 403, "/who": 500}.items():
            async with session.get(f"/sub{path}", headers=BEARER) as response:
                assert response.status == status
    logged = [each.getMessage() for each in caplog.records if each.name.startswith("peerage")]
    assert logged[0].startswith("require('a:read') requires rights, but the caller isn't known")


def test_openapi_says_which_operations_need_a_token(verifier):
    document = by_middleware(verifier).openapi()
    assert document["components"]["securitySchemes"]["Bearer"]["scheme"] == "bearer"
    secured = {path for path, item in document["paths"].items() if item["get"].get("security")}
    assert secured == {"/sub/who", "/sub/reads", "/sub/writes", "/sub/rules", "/sub/asks", "/sub/curious"}


async def test_the_discovery_is_that_of_the_application():
    app = FastAPI()

    @app.get("/")
    async def show(found: Annotated[Discovery, Depends(discovery)]):
        return found.registry.url

    async with Discovery("memory:fastapi") as opened:

        async def discovered(scope, receive, send):
            scope.setdefault("state", {})["discovery"] = opened
            await app(scope, receive, send)

        async with serving(discovered) as url, aiohttp.ClientSession() as session, session.get(url) as answer:
            assert await answer.json() == "memory:fastapi"


async def test_without_a_discovery_the_error_says_what_to_do():
    connection = type("Connection", (), {"state": object()})
    with pytest.raises(ConfigurationError, match=r"discovered\(app, service_id"):
        await discovery(connection)
