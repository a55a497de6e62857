"""Who gets a token that a session sends by itself: services found by name, and nobody else."""

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from peerage.client import Authorize

ORDERS = "http://orders.service_id.asab/"


class Tokens:
    """Headers, a new one each time."""

    def __init__(self):
        self.asked = []
        self.none = False

    async def __call__(self, host):
        self.asked.append(host)
        return None if self.none else f"Bearer secret-{len(self.asked)}"


@pytest.fixture
def tokens():
    return Tokens()


@pytest.fixture
def session(fleet, tokens):
    authorize = Authorize(tokens)
    return lambda **kwargs: fleet.session(authorize=authorize, **kwargs)


def seen(served):
    return [request.headers.get("Authorization") for request in served.seen]


async def test_each_request_has_a_token_of_its_own(fleet, tokens, session):
    served = await fleet.serve()
    async with session() as one:
        for _ in range(3):
            async with one.get(ORDERS) as response:
                assert "Authorization" not in response.request_info.headers
    assert seen(served) == ["Bearer secret-1", "Bearer secret-2", "Bearer secret-3"]
    assert tokens.asked == ["orders.service_id.asab"] * 3


@pytest.mark.parametrize(
    "host", ["ORDERS.Service_ID.ASAB", "orders.service-id.asab", "orders.service_id.asab."]
)
async def test_all_spellings_of_a_name(fleet, session, host):
    served = await fleet.serve()
    async with session() as one, one.get(f"http://{host}/"):
        pass
    assert seen(served) == ["Bearer secret-1"]


async def test_other_hosts_get_none_and_the_log_says_so_once(fleet, session, caplog):
    served = await fleet.serve()
    other = f"http://127.0.0.1:{served.port}/"
    for _ in range(2):
        async with session() as one:
            for url in (other, other, f"http://localhost:{served.port}/"):
                async with one.get(url):
                    pass
    assert set(seen(served)) == {None}
    assert [record.message.count("No authorization is sent") for record in caplog.records] == [1, 1]
    assert "headers=" in caplog.text


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "orders.service_id.asab@localhost"])
async def test_where_a_redirect_leads_outside_there_is_none(fleet, session, status, name):
    outside = await fleet.serve(service="outside")

    async def redirect(_):
        return web.Response(status=status, headers={"Location": f"http://{name}:{outside.port}/"})

    served = await fleet.serve(redirect)
    async with session() as one, one.get(ORDERS) as response:
        assert response.status == 200
    assert seen(served) == ["Bearer secret-1"]
    # What aiohttp makes of a user in the URL is no token.
    assert not any("Bearer" in (value or "") for value in seen(outside))
    assert len(seen(outside)) == 1


async def test_a_redirect_to_another_service_is_authorized_for_that(fleet, tokens, session):
    other = await fleet.serve(service="other")

    async def redirect(_):
        return web.Response(status=307, headers={"Location": "http://other.service_id.asab/"})

    await fleet.serve(redirect)
    async with session() as one, one.get(ORDERS):
        pass
    assert seen(other) == ["Bearer secret-2"]
    assert tokens.asked[1] == "other.service_id.asab"


async def test_what_the_caller_says_wins(fleet, tokens, session):
    served = await fleet.serve()
    async with session(headers={"authorization": "Bearer mine"}) as one:
        async with one.get(ORDERS) as response:
            assert response.request_info.headers["Authorization"] == "Bearer mine"
        async with one.get(f"http://127.0.0.1:{served.port}/"):
            pass
    async with session() as one, one.get(ORDERS, headers={"Authorization": "Basic eDp5"}):
        pass
    async with session() as one, one.get(URL(ORDERS).with_user("x").with_password("y")):
        pass
    assert seen(served) == ["Bearer mine", "Bearer mine", "Basic eDp5", "Basic eDp5"]
    assert not tokens.asked


async def test_what_is_sent_again_by_a_middleware_is_authorized_anew(fleet, session):
    async def answer(_):
        return web.Response(status=503 if served.hits == 1 else 200)

    async def retry(request, handler):
        response = await handler(request)
        if response.status == 503:
            response.release()
            response = await handler(request)
        return response

    served = await fleet.serve(answer)
    async with session(middlewares=(retry,)) as one, one.get(ORDERS) as response:
        assert response.status == 200
    assert seen(served) == ["Bearer secret-1", "Bearer secret-2"]


async def test_another_instance_gets_it_when_one_refuses(fleet, tokens, session):
    served = await fleet.serve()
    for _ in range(3):
        fleet.refuse()
    async with session() as one:
        for _ in range(8):
            async with one.get(ORDERS):
                pass
    assert None not in seen(served)
    assert len(tokens.asked) == 8


async def test_an_error_shows_no_token(fleet, session):
    async def fail(_):
        return web.Response(status=500)

    await fleet.serve(fail)
    async with session(raise_for_status=True) as one:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await one.get(ORDERS)
    assert "secret" not in repr(caught.value)
    assert "secret" not in str(caught.value)


async def test_a_websocket_has_one_too(fleet, session):
    async def answer(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(request.headers["Authorization"])
        await socket.close()
        return socket

    await fleet.serve(answer)
    async with session() as one, one.ws_connect(ORDERS) as socket:
        assert await socket.receive_str() == "Bearer secret-1"


async def test_none_to_send_is_none_sent(fleet, tokens, session):
    served = await fleet.serve()
    tokens.none = True
    async with session() as one, one.get(ORDERS):
        pass
    assert seen(served) == [None]
