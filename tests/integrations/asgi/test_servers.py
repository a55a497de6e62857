"""All middlewares of an ASGI application under real servers, which treat its messages differently."""

import os
import sys
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

import aiohttp
import pytest
from tests.auth.support import jwk, jwks, token

from peerage.calling.deadline import TIMEOUT_MS
from peerage.testing import begun, eventually
from peerage.testing.children import run
from peerage.testing.zookeeper.server import free_port

_ROOT = Path(__file__).parents[3]

READER = token()
BEARER = {"Authorization": f"Bearer {READER}"}
SHORT = BEARER | {TIMEOUT_MS: "1000"}
LONG = BEARER | {TIMEOUT_MS: "60000"}

COMMANDS = {
    "uvicorn": ("uvicorn", "--host=0.0.0.0", "--port={port}", "--root-path=/v1"),
    "hypercorn": ("hypercorn", "--bind=0.0.0.0:{port}"),
    "granian": ("granian", "--interface=asgi", "--host=0.0.0.0", "--port={port}"),
}


@asynccontextmanager
async def serving(server, keys):
    """Run the application under a server; yields the URL."""
    keys.write_bytes(jwks(jwk()))
    port = free_port()
    module, *options = (each.format(port=port) for each in COMMANDS[server])
    command = (sys.executable, "-m", module, *options, "tests.integrations.asgi.everything:app")
    async with run(*command, environ=os.environ | {"KEYS": str(keys)}, cwd=_ROOT) as child:
        try:
            await eventually(partial(_answers, f"http://127.0.0.1:{port}/who", child), "the server's answer")
            yield f"http://127.0.0.1:{port}"
        finally:
            child.terminate()
            await child.wait()


async def _answers(url, child):
    assert child.returncode is None, child.log
    with suppress(aiohttp.ClientConnectionError):
        async with aiohttp.ClientSession() as session, session.get(url) as response:
            return response.status == 401
    return False


@pytest.mark.parametrize(
    "server",
    [
        "uvicorn",
        pytest.param("hypercorn", marks=pytest.mark.long),
        pytest.param("granian", marks=pytest.mark.long),
    ],
)
async def test_the_middlewares_work_under_each_server(server, tmp_path):
    async with serving(server, tmp_path / "keys.json") as url, aiohttp.ClientSession(url) as session:
        await check_deadlines(session)
        await check_streams(session)
        await check_background_tasks(session)
        await check_refusals_of_misdirected_requests(session)
        await check_the_limit(session)
        await check_authorization(session)
        await check_websockets(session)


async def check_deadlines(session):
    """Also of a function that the framework runs in a thread, whose end isn't waited for."""
    for path in ("/hang", "/thread"):
        async with session.get(path, headers=SHORT | {TIMEOUT_MS: "200"}) as response:
            assert (response.status, response.headers[TIMEOUT_MS]) == (504, "0")


async def check_streams(session):
    """A response that has begun is broken off; events arrive while there is time."""
    with pytest.raises(aiohttp.ClientPayloadError):
        async with session.get("/broken", headers=SHORT) as response:
            await response.read()
    async with session.get("/events", headers=LONG) as response:
        assert response.headers["Peerage-Load"] == "0"
        assert await response.text() == "data: 0\n\ndata: 1\n\ndata: 2\n\n"


async def check_background_tasks(session):
    """They run after the response, so its deadline doesn't bind them."""
    async with session.post("/later", headers=LONG) as response:
        assert response.status == 200

    async def lasted():
        async with session.get("/lasted", headers=BEARER) as response:
            return await response.json()

    assert await eventually(lasted) == ["inf"]


async def check_refusals_of_misdirected_requests(session):
    """The server knows to which address a connection was made, whatever a proxy's headers say."""
    port = session._base_url.port
    proxied = {"X-Forwarded-For": "10.0.0.9", "X-Forwarded-Host": "a", "Forwarded": "for=10.0.0.9"}
    for address, host, status in (
        ("127.0.0.1", "billing.service_id.asab", 421),
        ("127.0.0.1", "orders.service_id.asab", 200),
        ("10.0.0.9", "billing.service_id.asab", 200),
    ):
        dialled = f"Billing.0000000007 {address}:{port}"
        headers = BEARER | proxied | {"Host": host, "Peerage-Dialled": dialled}
        async with session.get("/who", headers=headers) as response:
            assert response.status == status
            assert response.headers.get("Peerage-Misdirected") == (dialled if status == 421 else None)
    headers = BEARER | {"Host": "billing.service_id.asab", "Peerage-Dialled": f"Billing.7 127.0.0.1:{port}"}
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect("/socket", headers=headers)
    assert caught.value.status == 421
    assert caught.value.headers["Peerage-Misdirected"] == f"Billing.7 127.0.0.1:{port}"


async def check_the_limit(session):
    """It is one request at a time for this path."""
    holding = await begun(session.post("/hold", headers=BEARER))
    async with session.get("/holding", headers=BEARER) as response:
        assert response.status == 200
    async with session.post("/hold", headers=BEARER | {"Peerage-Dialled": "x 10.0.0.9:1"}) as response:
        assert (response.status, response.headers["Peerage-Overloaded"]) == (503, "x 10.0.0.9:1")
    async with session.post("/release", headers=BEARER):
        pass
    async with await holding as response:
        assert response.status == 200
    async with session.post("/hold", headers=BEARER) as response:
        assert response.status == 200


async def check_authorization(session):
    for path, headers, status in (
        ("/who", {}, 401),
        ("/who", BEARER, 200),
        ("/nowhere", {}, 401),
        ("/nowhere", BEARER, 404),
        ("/writes", BEARER, 403),
    ):
        async with session.get(path, headers=headers) as response:
            assert response.status == status
            if status in {401, 403}:
                assert response.headers["WWW-Authenticate"].startswith('Bearer realm="asab"')
                assert set(await response.json()) == {"result", "message"}


async def check_websockets(session):
    with pytest.raises(aiohttp.WSServerHandshakeError) as caught:
        await session.ws_connect("/socket")
    assert caught.value.status == 401
    for headers, protocols in ((SHORT, []), ({}, [f"access_token_{READER}"])):
        async with session.ws_connect("/socket", headers=headers, protocols=protocols) as websocket:
            assert await websocket.receive_json() == {"who": "u1", "deadline": False}
            await websocket.send_str("write")
            message = await websocket.receive()
            assert (message.type, message.data) == (aiohttp.WSMsgType.CLOSE, 1008)
