"""Which requests of httpx carry an internal token."""

import ssl
from contextlib import AsyncExitStack

import pytest
import trustme
from aiohttp import web
from tests.client.httpxclients import LIBRARIES, discovery_of
from tests.client.test_suspect_tokens import Setting

from peerage.integrations import httpx, httpx2

ORDERS = "http://orders.service_id.asab/"

AUTH = {"httpx": httpx.InternalAuth, "httpx2": httpx2.InternalAuth}


@pytest.fixture(params=["httpx", "httpx2"])
def make_client(request):
    """Return a function that makes a client which authorizes its requests."""
    module, transport = LIBRARIES[request.param]

    def make(discovery, **kwargs):
        auth = AUTH[request.param](discovery)
        return module.AsyncClient(transport=transport(discovery, **kwargs), auth=auth, follow_redirects=True)

    return make


@pytest.fixture
async def tokens(fleet, make_client):
    """A client, and what each server that it called got."""
    seen = []

    async def answer(request):
        seen.append((request.host.partition(":")[0], request.headers.get("Authorization")))
        location = request.query.get("to")
        return web.Response(
            status=302 if location else 200, headers={"Location": location} if location else {}
        )

    discovery = discovery_of(fleet)

    async def header(host):
        return f"Bearer for-{host}"

    discovery.auth.header = lambda _resources: header
    await fleet.serve(answer)
    stock = await fleet.serve(answer, "stock")
    async with make_client(discovery) as client:
        yield client, seen, f"http://127.0.0.1:{stock.port}/"


async def test_requests_to_services_and_no_others_carry_it(tokens):
    client, seen, outside = tokens
    await client.get(ORDERS)
    await client.get(outside)
    await client.get(ORDERS, headers={"Authorization": "mine"})
    await client.get(ORDERS, auth=None)
    assert seen == [
        ("orders.service_id.asab", "Bearer for-orders.service_id.asab"),
        ("127.0.0.1", None),
        ("orders.service_id.asab", "mine"),
        ("orders.service_id.asab", None),
    ]


async def test_redirects_take_it_to_no_other_host(tokens):
    client, seen, outside = tokens
    for location in ("/there", "http://stock.service_id.asab/", outside, f"{outside}?to={ORDERS}"):
        await client.get(ORDERS, params={"to": location})
    await client.get(outside, params={"to": ORDERS})
    own = ("orders.service_id.asab", "Bearer for-orders.service_id.asab")
    assert seen == [
        *(own, own),
        *(own, ("stock.service_id.asab", None)),
        *(own, ("127.0.0.1", None)),
        *(own, ("127.0.0.1", None), ("orders.service_id.asab", None)),
        *(("127.0.0.1", None), ("orders.service_id.asab", None)),
    ]


async def test_a_suspect_gets_it_over_a_kept_connection_or_tls_only(make_client):
    authority, host = trustme.CA(), "orders.service-id.asab"
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(serving)
    trusting = ssl.create_default_context()
    authority.configure_trust(trusting)
    for tls, url in ((None, ORDERS), (serving, f"https://{host}/")):
        async with AsyncExitStack() as stack:
            setting = Setting(stack, tls)
            await setting.start()
            async with make_client(setting.caller, ssl=trusting) as client:
                await client.get(url)
                await setting.lose_the_record()
                await client.get(url, headers={"Connection": "close"})
                await client.get(url)
                await client.get(url, headers={"Authorization": "mine"})
            kept, last, new, own = setting.authorizations
            assert kept.startswith("Bearer ")
            assert last == kept
            assert new == (None if tls is None else kept)
            assert own == "mine"
