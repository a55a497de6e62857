"""Which requests a session authorizes: those to services found by name, as far as the caller meant it."""

import asyncio
import ssl

import aiohttp
import pytest
import trustme
from aiohttp import web
from yarl import URL

from peerage import CallOptions, DeadlineExceededError, call_options
from peerage.client import Authorize

ORDERS = "http://orders.service_id.asab/"
BILLING = "http://billing.service_id.asab/"


class Tokens:
    """Gives headers, each with another token."""

    def __init__(self):
        self.hosts = []
        self.none = False

    async def __call__(self, host):
        self.hosts.append(host)
        return None if self.none else f"Bearer secret-{len(self.hosts)}"


@pytest.fixture
def tokens():
    return Tokens()


@pytest.fixture
def session(fleet, tokens):
    return lambda **kwargs: fleet.session(authorize=Authorize(tokens), **kwargs)


@pytest.fixture
def same_name(fleet, tokens):
    """A session whose tokens are for the name that was called."""
    return lambda **kwargs: fleet.session(authorize=Authorize(tokens, same_name=True), **kwargs)


def seen(served):
    """The authorization that came with each request."""
    return [request.headers.get("Authorization") for request in served.seen]


def redirect_to(location, status=307):
    async def redirect(_):
        return web.Response(status=status, headers={"Location": location})

    return redirect


async def test_each_request_has_its_own_token(fleet, tokens, session):
    served = await fleet.serve()
    async with session() as one:
        for _ in range(3):
            async with one.get(ORDERS) as response:
                assert "Authorization" not in response.request_info.headers
    assert seen(served) == ["Bearer secret-1", "Bearer secret-2", "Bearer secret-3"]
    assert tokens.hosts == ["orders.service_id.asab"] * 3


@pytest.mark.parametrize(
    "host", ["ORDERS.Service_ID.ASAB", "orders.service-id.asab", "orders.service_id.asab."]
)
async def test_every_spelling_of_a_name_is_authorized(fleet, session, host):
    served = await fleet.serve()
    async with session() as one, one.get(f"http://{host}/"):
        pass
    assert seen(served) == ["Bearer secret-1"]


async def test_other_hosts_get_no_token_and_the_log_says_so_once(fleet, tokens, caplog):
    served = await fleet.serve()
    other = f"http://127.0.0.1:{served.port}/"
    authorize = Authorize(tokens)
    for _ in range(2):
        async with fleet.session(authorize=authorize) as one:
            for url in (other, other, f"http://localhost:{served.port}/"):
                async with one.get(url):
                    pass
    assert set(seen(served)) == {None}
    assert [record.message.count("No authorization is sent") for record in caplog.records] == [1, 1]
    assert "headers=" in caplog.text


async def test_a_header_of_the_caller_is_sent_instead(fleet, tokens, session):
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
    assert not tokens.hosts


async def test_a_request_that_a_middleware_repeats_has_another_token(fleet, session):
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


async def test_another_instance_gets_the_token_when_one_refuses_the_connection(fleet, tokens, session):
    served = await fleet.serve()
    for _ in range(3):
        fleet.refuse()
    async with session() as one:
        for _ in range(8):
            async with one.get(ORDERS):
                pass
    assert None not in seen(served)
    assert len(tokens.hosts) == 8


async def test_the_deadline_of_a_call_limits_the_wait_for_its_token(fleet):
    """The key may be in a registry that is out of reach."""

    async def wait(_):
        await asyncio.Event().wait()

    async with fleet.session(authorize=Authorize(wait), options=CallOptions(deadline=0.05)) as session:
        expected = r"0\.05 s has passed: the authorization for orders\.service_id\.asab was being waited for"
        with pytest.raises(DeadlineExceededError, match=expected):
            await session.get(ORDERS)
        with call_options(deadline=0.06), pytest.raises(DeadlineExceededError, match=r"0\.06 s"):
            await session.get(ORDERS)


async def test_an_error_shows_no_token(fleet, session):
    async def fail(_):
        return web.Response(status=500)

    await fleet.serve(fail)
    async with session(raise_for_status=True) as one:
        with pytest.raises(aiohttp.ClientResponseError) as caught:
            await one.get(ORDERS)
    assert "secret" not in repr(caught.value)
    assert "secret" not in str(caught.value)


async def test_the_middleware_keeps_no_token_in_its_frame(fleet, session):
    """Tools that report errors show the local variables of each frame of a traceback."""
    fleet.refuse()
    async with session() as one:
        with pytest.raises(aiohttp.ClientError) as caught:
            await one.get(ORDERS)
    frames = [each.frame for each in caught.traceback if each.frame.code.path.name == "authorize.py"]
    assert frames
    for frame in frames:
        assert not [name for name, value in frame.f_locals.items() if "secret-1" in str(value)]


async def test_a_websocket_has_a_token(fleet, session):
    async def answer(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str(request.headers["Authorization"])
        await socket.close()
        return socket

    await fleet.serve(answer)
    async with session() as one, one.ws_connect(ORDERS) as socket:
        assert await socket.receive_str() == "Bearer secret-1"


async def test_without_a_header_the_request_goes_without(fleet, tokens, session):
    served = await fleet.serve()
    tokens.none = True
    async with session() as one, one.get(ORDERS):
        pass
    assert seen(served) == [None]


# Redirects


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
@pytest.mark.parametrize("name", ["127.0.0.1", "localhost", "orders.service_id.asab@localhost"])
async def test_a_redirect_to_another_host_goes_without_a_token(fleet, session, status, name):
    outside = await fleet.serve(service="outside")
    served = await fleet.serve(redirect_to(f"http://{name}:{outside.port}/", status))
    async with session() as one, one.get(ORDERS) as response:
        assert response.status == 200
    assert seen(served) == ["Bearer secret-1"]
    # A user in the URL becomes basic authorization in aiohttp, which isn't a token.
    assert not any("Bearer" in (value or "") for value in seen(outside))
    assert len(seen(outside)) == 1


async def test_a_redirect_by_another_host_goes_without_a_token(fleet, session, caplog):
    """A host outside of the cluster can't make its caller act within."""
    billing = await fleet.serve(service="billing")
    outside = await fleet.serve(redirect_to(BILLING), service="outside")
    async with session() as one, one.post(f"http://127.0.0.1:{outside.port}/", data=b"pay"):
        pass
    assert seen(billing) == [None]
    assert "outside of .asab has redirected" in caplog.text


async def test_a_redirect_to_another_name_has_a_token_for_that_name(fleet, tokens, session):
    billing = await fleet.serve(service="billing")
    await fleet.serve(redirect_to(BILLING))
    async with session() as one, one.get(ORDERS):
        pass
    assert seen(billing) == ["Bearer secret-2"]
    assert tokens.hosts[1] == "billing.service_id.asab"


async def test_a_redirect_to_another_name_goes_without_a_token_if_tokens_are_for_the_name(fleet, same_name):
    billing = await fleet.serve(redirect_to(ORDERS), service="billing")

    async def answer(_):
        return web.Response() if served.hits > 1 else await redirect_to(BILLING)(_)

    served = await fleet.serve(answer)
    async with same_name() as one:
        async with one.get(ORDERS) as response:
            assert response.status == 200
        assert seen(billing) == [None]
        # Back at the name that was called, the token is one for that name again.
        assert seen(served) == ["Bearer secret-1", "Bearer secret-2"]
        # The next call has its own beginning.
        async with one.get(BILLING, allow_redirects=False):
            pass
    assert seen(billing) == [None, "Bearer secret-3"]


async def test_a_redirect_doesnt_replace_the_authorization_of_the_caller(fleet, tokens, session):
    """A user's token must not become the token of the service, which may do more."""
    billing = await fleet.serve(service="billing")
    served = await fleet.serve(redirect_to(BILLING))
    async with session() as one, one.get(ORDERS, headers={"Authorization": "Bearer mine"}):
        pass
    assert seen(served) == ["Bearer mine"]
    assert seen(billing) == [None]
    assert not tokens.hosts


@pytest.fixture
def tls():
    """A server's context for the hyphenated names of both services, and a client's that trusts it."""
    authority = trustme.CA()
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("orders.service-id.asab", "billing.service-id.asab").configure_cert(server)
    client = ssl.create_default_context()
    authority.configure_trust(client)
    return server, client


@pytest.mark.parametrize("name", ["orders", "billing"])
async def test_a_redirect_from_https_to_http_goes_without_a_token(fleet, session, tls, name):
    """Anyone on the network could read it."""
    server, client = tls
    plain = await fleet.serve(service=name, scheme="http")
    secure = await fleet.serve(
        redirect_to(f"http://{name}.service-id.asab/"), service="secure", ssl=server, scheme="https"
    )
    fleet.advertise(secure.port, "orders" if name == "billing" else "billing", scheme="https")
    first = "orders" if name == "billing" else "billing"
    async with session() as one, one.get(f"https://{first}.service-id.asab/", ssl=client) as response:
        assert response.status == 200
    assert seen(secure) == ["Bearer secret-1"]
    assert seen(plain) == [None]


async def test_a_redirect_from_http_to_https_has_a_token(fleet, session, tls):
    server, client = tls
    secure = await fleet.serve(service="billing", ssl=server, scheme="https")
    await fleet.serve(redirect_to("https://billing.service-id.asab/"))
    async with session() as one, one.get(ORDERS, ssl=client) as response:
        assert response.status == 200
    assert seen(secure) == ["Bearer secret-2"]


async def test_a_call_within_a_call_doesnt_change_what_a_redirect_is(fleet, same_name):
    """A middleware may call another service, for example for a session id."""
    billing = await fleet.serve(service="billing")
    other = await fleet.serve(service="other")
    served = await fleet.serve(redirect_to(BILLING))
    entered = []

    async def call_another(request, handler):
        if not entered:
            entered.append(True)
            async with one.get("http://other.service_id.asab/"):
                pass
            with pytest.raises(aiohttp.ClientError):
                await one.get("http://127.0.0.1:1/")
        return await handler(request)

    async with same_name(middlewares=(call_another,)) as one, one.get(ORDERS):
        pass
    assert seen(other) == ["Bearer secret-1"]
    assert seen(served) == ["Bearer secret-2"]
    assert seen(billing) == [None]


async def test_the_traces_of_the_caller_are_kept(fleet, session):
    served = await fleet.serve()
    begun = []

    async def note(*_):
        begun.append(1)

    trace = aiohttp.TraceConfig()
    trace.on_request_start.append(note)
    async with session(trace_configs=[trace]) as one, one.get(ORDERS):
        pass
    assert begun == [1]
    assert seen(served) == ["Bearer secret-1"]
