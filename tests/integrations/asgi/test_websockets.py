"""WebSockets of an ASGI application: authorized by header or protocol, and free of deadlines and limits."""

import aiohttp
import pytest
from fastapi import FastAPI, WebSocket
from tests.auth.support import Served, jwk, jwks, token
from tests.integrations.asgi.serving import serving

from peerage.auth import FetchedKeys, Verifier
from peerage.calling.deadline import TIMEOUT_MS, current_deadline
from peerage.calling.retried import RETRY, is_nested
from peerage.integrations.asgi import Gradient2, authorize, caller, limit_concurrency, propagate, report_load

READER = token()
STRANGER = token(name="stranger", kid="first")
BEARER = {"Authorization": f"Bearer {READER}"}

app = FastAPI()


@app.websocket("/socket")
async def socket(socket: WebSocket):
    chosen = "chat" if "chat" in socket.scope["subprotocols"] else None
    await socket.accept(chosen)
    await socket.send_json(
        {
            "who": caller().subject,
            "saw": socket.scope["subprotocols"],
            "header": socket.headers.get("Sec-WebSocket-Protocol", ""),
            "deadline": current_deadline.get() is not None,
            "nested": is_nested(),
        }
    )
    async for message in socket.iter_text():
        if message == "misbehave":
            caller().require_resource_access("a:write")
        await socket.send_text(message)


@app.websocket("/rules")
async def rules(socket: WebSocket):
    caller().require_superuser_access()


@pytest.fixture
async def session():
    verifier = Verifier([FetchedKeys("the test", Served(jwks(jwk())))])
    limited = limit_concurrency(report_load(authorize(app, verifier)), Gradient2(least=1, initial=1))
    async with serving(propagate(limited)) as url, aiohttp.ClientSession(url) as session:
        yield session
    await verifier.aclose()


async def test_a_websocket_has_its_token_in_a_header_or_as_protocol(session, caplog):
    """The handler sees the other protocols only, and no token is logged."""
    for protocols, headers, chosen in (
        ([], BEARER, None),
        (["chat"], BEARER, "chat"),
        ([f"access_token_{READER}", "chat"], {}, "chat"),
        (["chat", f"access_token_{READER}"], {}, "chat"),
        ([f"access_token_{READER}"], {}, None),
    ):
        others = [name for name in protocols if not name.startswith("access_token_")]
        async with session.ws_connect("/socket", protocols=protocols, headers=headers) as socket:
            assert socket.protocol == chosen
            seen = await socket.receive_json()
            assert (seen["who"], seen["saw"]) == ("u1", others)
            assert READER not in seen["header"]
            await socket.send_str("hello")
            assert await socket.receive_str() == "hello"
    assert READER not in caplog.text


@pytest.mark.parametrize(
    "protocols",
    [
        *([], ["chat"], ["access_token_"], [f"access_token_{STRANGER}"], [READER]),
        [f"access_token_{READER}", f"access_token_{READER}"],
    ],
)
async def test_a_websocket_without_a_valid_token_isnt_opened(session, protocols):
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect("/socket", protocols=protocols)
    assert caught.value.status == 401


async def test_a_protocol_counts_for_websockets_only(session):
    async with session.get("/", headers={"Sec-WebSocket-Protocol": f"access_token_{READER}"}) as response:
        assert response.status == 401


async def test_a_denial_before_the_handshake_is_done_is_403(session):
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect("/rules", headers=BEARER)
    assert caught.value.status == 403


async def test_a_denial_closes_a_websocket(session):
    async with session.ws_connect("/socket", headers=BEARER) as socket:
        await socket.receive_json()
        await socket.send_str("misbehave")
        message = await socket.receive()
        assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)


async def test_a_websocket_isnt_bound_by_the_deadline_of_its_handshake(session):
    headers = BEARER | {TIMEOUT_MS: "60000", RETRY: "1"}
    async with session.ws_connect("/socket", headers=headers) as socket:
        seen = await socket.receive_json()
        assert (seen["deadline"], seen["nested"]) == (False, False)


async def test_websockets_arent_counted(session):
    """The limit of this application is one request."""
    async with (
        session.ws_connect("/socket", headers=BEARER) as first,
        session.ws_connect("/socket", headers=BEARER) as second,
        session.get("/", headers=BEARER) as response,
    ):
        assert (response.status, response.headers["Peerage-Load"]) == (404, "0")
        for each in (first, second):
            await each.receive_json()
