"""Calls through httpx, which make the decisions of any other call."""

import asyncio
import gc
import json

import pytest
from aiohttp import web
from tests.client.httpxclients import discovery_of
from tests.client.test_failover import drop
from tests.client.test_outstanding import big, endless, hanging

from peerage import CallOptions, call_options, trace_calls
from peerage.testing import eventually

ORDERS = "http://orders.service_id.asab/"


async def test_a_service_is_called_by_name(fleet, httpx_client):
    served = await fleet.serve()
    response = await httpx_client.get(f"{ORDERS}v1/%2Forders?of=%41&of=me")
    assert response.json() == {
        "node": served.name,
        "host": "orders.service_id.asab",
        "path": "/v1/%2Forders?of=%41&of=me",
    }
    assert response.http_version == "HTTP/1.1"
    assert response.reason_phrase == "OK"
    assert response.url == f"{ORDERS}v1/%2Forders?of=%41&of=me"
    assert not fleet.outstanding


async def test_requests_are_spread_over_the_instances(fleet, httpx_client):
    served = [await fleet.serve() for _ in range(3)]
    await asyncio.gather(*(httpx_client.get(ORDERS) for _ in range(90)))
    assert all(each.hits > 10 for each in served)


async def test_a_refused_connection_goes_elsewhere_with_a_body_in_memory(fleet, httpx_client):
    async def echo(request):
        return web.Response(body=await request.read())

    for _ in range(4):
        fleet.refuse()
    await fleet.serve(echo)
    assert (await httpx_client.post(ORDERS, json={"a": 1})).json() == {"a": 1}


async def test_a_stream_whose_sending_has_not_begun_goes_elsewhere(fleet, httpx_client):
    async def echo(request):
        return web.Response(body=await request.read())

    async def parts():
        yield b"one"
        yield b"two"

    for _ in range(4):
        fleet.refuse()
    await fleet.serve(echo)
    assert (await httpx_client.put(ORDERS, content=parts())).content == b"onetwo"


async def test_a_stream_is_sent_once(fleet, httpx_client, library):
    async def parts():
        yield b"one"

    dropping = [await fleet.serve_raw(drop) for _ in range(3)]
    with pytest.raises(library.httpx.HTTPError, match="Server disconnected"):
        await httpx_client.put(ORDERS, content=parts())
    assert sum(each.hits for each in dropping) == 1


async def test_a_safe_request_is_retried(fleet, httpx_client):
    await fleet.serve_raw(drop)
    good = await fleet.serve()
    for _ in range(10):
        assert (await httpx_client.get(ORDERS)).json()["node"] == good.name


async def test_options_apply_to_a_block_and_to_a_client(fleet, library):
    async def unavailable(_request):
        return web.Response(status=503)

    failing = await fleet.serve(unavailable), await fleet.serve(unavailable)
    transport = library.transport(discovery_of(fleet), calls=CallOptions(retry=False))
    async with library.httpx.AsyncClient(transport=transport) as client:
        assert (await client.get(ORDERS)).status_code == 503
        assert sum(each.hits for each in failing) == 1
        with call_options(retry=True), trace_calls() as traces:
            await client.get(ORDERS)
        assert [attempt.outcome for attempt in traces[0].attempts] == ["unavailable", "unavailable"]


async def test_hosts_outside_of_asab_are_called_by_the_wrapped_transport(fleet, library):
    def answer(request):
        return library.httpx.Response(200, text=request.url.host)

    transport = library.transport(discovery_of(fleet), wrapped=library.httpx.MockTransport(answer))
    async with library.httpx.AsyncClient(transport=transport) as client:
        assert (await client.get("http://example.org/")).text == "example.org"


async def test_hosts_outside_of_asab_are_called_without_a_wrapped_transport(fleet, httpx_client):
    served = await fleet.serve()
    response = await httpx_client.get(f"http://127.0.0.1:{served.port}/")
    assert response.json()["host"] == f"127.0.0.1:{served.port}"


async def test_the_transport_can_be_mounted(fleet, library):
    served = await fleet.serve()
    mounts = {"all://*.asab": library.transport(discovery_of(fleet))}
    async with library.httpx.AsyncClient(mounts=mounts) as client:
        assert (await client.get(ORDERS)).json()["node"] == served.name
        response = await client.get(f"http://127.0.0.1:{served.port}/")
        assert response.json()["host"] == f"127.0.0.1:{served.port}"


async def test_redirects_and_cookies_are_left_to_httpx(fleet, httpx_client):
    async def redirect(request):
        if request.path == "/":
            response = web.Response(status=302, headers={"Location": "http://stock.service_id.asab/there"})
            response.set_cookie("a", "b")
            return response
        return web.Response(text=json.dumps(dict(request.cookies)))

    await fleet.serve(redirect)
    await fleet.serve(redirect, "stock")
    response = await httpx_client.get(ORDERS)
    assert response.status_code == 302
    assert dict(httpx_client.cookies) == {"a": "b"}
    # aiohttp would have sent the cookie as well, if it kept any.
    httpx_client.cookies.clear()
    response = await httpx_client.get(ORDERS, follow_redirects=True)
    assert [each.status_code for each in response.history] == [302]
    assert response.url == "http://stock.service_id.asab/there"
    assert response.json() == {}


async def test_answers_are_decoded_by_httpx(fleet, httpx_client):
    async def compress(_request):
        response = web.Response(text="x" * 10_000)
        response.enable_compression(web.ContentCoding.gzip)
        return response

    await fleet.serve(compress)
    response = await httpx_client.get(ORDERS)
    assert response.headers["Content-Encoding"] == "gzip"
    assert response.text == "x" * 10_000
    assert response.num_bytes_downloaded < 1000


async def test_a_large_body_is_sent_and_received(fleet, httpx_client):
    async def echo(request):
        return web.Response(body=await request.read())

    await fleet.serve(echo)
    body = bytes(range(256)) * 3_000
    assert (await httpx_client.post(ORDERS, content=body)).content == body


# The end of a request


async def test_counted_to_the_end_of_the_stream(fleet, httpx_client):
    served = await fleet.serve(big)
    async with httpx_client.stream("GET", ORDERS) as response:
        assert fleet.outstanding == {served.name: 1}
        chunks = response.aiter_bytes()
        await anext(chunks)
        assert fleet.outstanding == {served.name: 1}
        async for _ in chunks:
            pass
        assert not fleet.outstanding


async def test_a_response_closed_early_is_done(fleet, httpx_client):
    await fleet.serve(endless)
    async with httpx_client.stream("GET", ORDERS):
        assert fleet.outstanding
    assert not fleet.outstanding
    async with httpx_client.stream("GET", ORDERS) as response:
        await anext(response.aiter_bytes())
    assert not fleet.outstanding


async def test_a_response_that_is_never_closed_is_done(fleet, httpx_client):
    await fleet.serve(endless)

    async def call():
        response = await httpx_client.send(httpx_client.build_request("GET", ORDERS), stream=True)
        assert fleet.outstanding
        del response
        gc.collect()

    with pytest.warns(ResourceWarning, match="GET of orders.service_id.asab was never closed"):
        await call()
    await eventually(lambda: not fleet.outstanding)


@pytest.mark.parametrize("stage", ["before headers", "in the body", "sending"])
async def test_a_cancelled_request_is_done(fleet, httpx_client, stage):
    arrived, hang, body = hanging(stage)
    served = await fleet.serve(hang)
    call = httpx_client.post(ORDERS, content=body)
    task = asyncio.create_task(call)
    await arrived.wait()
    assert fleet.outstanding == {served.name: 1}
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
    assert not fleet.outstanding


@pytest.mark.parametrize(("method", "status"), [("GET", 204), ("GET", 304), ("HEAD", 200), ("GET", 200)])
async def test_a_response_without_a_body_is_done(fleet, httpx_client, method, status):
    async def empty(_request):
        return web.Response(status=status)

    await fleet.serve(empty)
    async with httpx_client.stream(method, ORDERS) as response:
        assert not fleet.outstanding
        assert response.status_code == status
        assert await response.aread() == b""


async def test_a_connection_is_used_again(fleet, httpx_client):
    ports = set()

    async def note(request):
        ports.add(request.transport.get_extra_info("peername")[1])
        return web.Response(body=b"x" * 100_000)

    await fleet.serve(note)
    for _ in range(5):
        await httpx_client.get(ORDERS)
    assert len(ports) == 1
