import asyncio
from collections import Counter

import aiohttp
import pytest
from aiohttp import web
from yarl import URL

from peerage.errors import NotDiscoveredError, NotReadyError, RegistryClosedError

ORDERS = "http://orders.service_id.asab"


async def get_json(session, url, **kwargs):
    async with session.get(url, **kwargs) as response:
        return await response.json()


async def test_it_is_a_plain_aiohttp_session(fleet):
    async with fleet.session() as session:
        assert type(session) is aiohttp.ClientSession


async def test_what_is_logical_stays_logical(fleet):
    served = await fleet.serve()
    async with fleet.session() as session, session.get(f"{ORDERS}/v1/a%20b?x=%3F&y=%20#part") as response:
        answer = await response.json()
        assert answer == {
            "node": served.name,
            "host": "orders.service_id.asab",
            "path": "/v1/a%20b?x=?&y=%20",
        }
        assert response.url == URL(f"{ORDERS}/v1/a%20b?x=?&y=%20")
        assert response.real_url.fragment == "part"


@pytest.mark.parametrize(
    "host",
    [
        "orders.service_id.asab",
        "ORDERS.Service_ID.ASAB",
        "orders.service-id.asab",
        "orders.service_id.asab.",
        "orders.service_id.asab:1",
        "orders-1.instance_id.asab",
    ],
)
async def test_spellings_of_a_name(fleet, host):
    served = await fleet.serve()
    async with fleet.session() as session:
        assert (await get_json(session, f"http://{host}/"))["node"] == served.name


@pytest.mark.parametrize("advertised", ["b\u00fccher", "bu\u0308cher"])
@pytest.mark.parametrize("asked", ["b\u00fccher", "B\u00dcCHER", "bu\u0308cher", "xn--bcher-kva"])
@pytest.mark.parametrize("key", ["service_id", "service-id"])
async def test_a_name_beyond_ascii_in_all_its_spellings(fleet, advertised, asked, key):
    served = await fleet.serve(service=advertised)
    async with fleet.session() as session:
        answer = await get_json(session, f"http://{asked}.{key}.asab/")
    assert answer["node"] == served.name
    assert answer["host"] == f"xn--bcher-kva.{key}.asab"


async def test_requests_are_spread_over_one_session(fleet):
    nodes = [(await fleet.serve()).name for _ in range(3)]
    async with fleet.session() as session:
        hits = Counter([(await get_json(session, ORDERS))["node"] for _ in range(300)])
    assert set(hits) == set(nodes)
    assert max(hits.values()) / min(hits.values()) < 1.3


async def test_other_hosts_are_left_alone(fleet):
    served = await fleet.serve()
    async with fleet.session() as session:
        answer = await get_json(session, f"http://127.0.0.1:{served.port}/x")
        assert answer["host"] == f"127.0.0.1:{served.port}"
        answer = await get_json(session, f"http://localhost:{served.port}/x")
        assert answer["host"] == f"localhost:{served.port}"
    assert fleet.lookups == []


async def test_base_url_and_headers(fleet):
    served = await fleet.serve()
    async with fleet.session(f"{ORDERS}/v1/", headers={"X-Mine": "1"}) as session:
        assert (await get_json(session, "items"))["path"] == "/v1/items"
    assert served.seen[0].headers["X-Mine"] == "1"


async def test_the_first_request_waits_for_the_first_snapshot(fleet):
    fleet.membership.ready = False

    async def snapshot_arrives():
        await fleet.serve()
        fleet.membership.ready = True

    fleet.membership.on_ready = snapshot_arrives
    async with fleet.session() as session:
        assert (await get_json(session, ORDERS))["host"] == "orders.service_id.asab"


async def test_no_snapshot_in_time_reaches_the_caller_as_it_is(fleet):
    fleet.membership.ready = False

    async def nothing_arrives():
        raise NotReadyError("no snapshot")

    fleet.membership.on_ready = nothing_arrives
    async with fleet.session() as session:
        with pytest.raises(NotReadyError, match="no snapshot"):
            await session.get(ORDERS)
        with pytest.raises(NotDiscoveredError, match="no snapshot"):
            await session.get(ORDERS, middlewares=())


async def test_a_removed_and_a_draining_instance_get_no_new_request(fleet):
    leaving, draining, staying = [await fleet.serve() for _ in range(3)]
    async with fleet.session() as session:
        for _ in range(30):
            await get_json(session, ORDERS)
        fleet.directory.remove(leaving.name)
        fleet.advertise(draining.port, node=draining.name, state="draining")
        before = leaving.hits, draining.hits
        assert all(before)
        assert {(await get_json(session, ORDERS))["node"] for _ in range(30)} == {staying.name}
        assert (leaving.hits, draining.hits) == before


async def test_a_request_under_way_at_a_removed_instance_finishes(fleet):
    arrived, go_on = asyncio.Event(), asyncio.Event()

    async def slow(request):
        arrived.set()
        await go_on.wait()
        return web.Response(text="done")

    served = await fleet.serve(slow)
    async with fleet.session() as session, asyncio.TaskGroup() as group:

        async def call():
            async with session.get(ORDERS) as response:
                return await response.text()

        task = group.create_task(call())
        await arrived.wait()
        fleet.directory.remove(served.name)
        go_on.set()
    assert task.result() == "done"


async def test_cookies_belong_to_the_logical_name(fleet):
    async def cookie(request):
        response = web.Response(text=request.cookies.get("who", "anonymous"))
        response.set_cookie("who", "me")
        return response

    for _ in range(2):
        await fleet.serve(cookie)
    async with fleet.session() as session:
        texts = []
        for _ in range(6):
            async with session.get(ORDERS) as response:
                texts.append(await response.text())
        assert texts == ["anonymous", *["me"] * 5]
        assert session.cookie_jar.filter_cookies(URL(ORDERS))["who"].value == "me"


async def test_redirects_within_outside_and_back(fleet):
    outside = await fleet.serve(service="outside")

    async def go(request):
        match request.path:
            case "/start":
                raise web.HTTPFound("/relative")
            case "/relative":
                raise web.HTTPFound("http://stock.service_id.asab/other")
            case "/back":
                return web.json_response({"host": request.host})
        raise AssertionError(request.path)

    async def other(request):
        raise web.HTTPFound(f"http://127.0.0.1:{outside.port}/out")

    async def out(request):
        raise web.HTTPFound(f"{ORDERS}/back")

    await fleet.serve(go)
    await fleet.serve(other, service="stock")
    third = await fleet.serve(out, service="third")
    async with fleet.session() as session:
        async with session.get(f"{ORDERS}/start") as response:
            assert (await response.json())["host"] == f"127.0.0.1:{outside.port}"
            assert [str(one.url) for one in response.history] == [
                f"{ORDERS}/start",
                f"{ORDERS}/relative",
                "http://stock.service_id.asab/other",
            ]
        async with session.get(f"http://127.0.0.1:{third.port}/") as response:
            assert str(response.url) == f"{ORDERS}/back"
            assert (await response.json())["host"] == "orders.service_id.asab"


async def test_raise_for_status_of_session_and_request(fleet):
    async def refuse(request):
        raise web.HTTPNotFound

    await fleet.serve(refuse)
    async with fleet.session(raise_for_status=True) as session:
        with pytest.raises(aiohttp.ClientResponseError) as raised:
            await session.get(f"{ORDERS}/x")
        assert raised.value.status == 404
        assert raised.value.request_info.real_url == URL(f"{ORDERS}/x")
    async with fleet.session() as session:
        with pytest.raises(aiohttp.ClientResponseError):
            await session.get(ORDERS, raise_for_status=True)
        async with session.get(ORDERS) as response:
            assert response.status == 404


async def test_streaming_up_and_down(fleet):
    async def echo(request):
        response = web.StreamResponse()
        await response.prepare(request)
        async for chunk in request.content.iter_any():
            await response.write(chunk)
        return response

    async def chunks():
        for number in range(50):
            yield str(number).encode() * 1000

    await fleet.serve(echo)
    expected = b"".join([chunk async for chunk in chunks()])
    async with fleet.session() as session, session.post(ORDERS, data=chunks()) as response:
        assert b"".join([chunk async for chunk in response.content.iter_chunked(700)]) == expected


async def test_tracing_sees_the_logical_url(fleet):
    seen = []
    tracing = aiohttp.TraceConfig()

    async def note(session, context, params):
        seen.append((type(params).__name__, str(getattr(params, "url", ""))))

    for signal in (tracing.on_request_start, tracing.on_connection_create_end, tracing.on_request_end):
        signal.append(note)
    await fleet.serve()
    async with fleet.session(trace_configs=[tracing]) as session:
        await get_json(session, f"{ORDERS}/t")
    assert seen == [
        ("TraceRequestStartParams", f"{ORDERS}/t"),
        ("TraceConnectionCreateEndParams", ""),
        ("TraceRequestEndParams", f"{ORDERS}/t"),
    ]


async def test_a_web_socket_is_opened_by_name(fleet):
    async def echo(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        async for message in socket:
            await socket.send_str(f"{request.host} {message.data}")
        return socket

    await fleet.serve(echo)
    async with fleet.session() as session:
        for scheme in ("ws", "http"):
            async with session.ws_connect(f"{scheme}://orders.service_id.asab/chat") as socket:
                await socket.send_str("hello")
                assert await socket.receive_str() == "orders.service_id.asab hello"


async def test_a_proxy_in_the_environment_gets_no_logical_name(fleet, monkeypatch):
    async def proxy(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nproxy")
        await writer.drain()

    served = await fleet.serve()
    in_between = await fleet.serve_raw(proxy, service="proxy")
    monkeypatch.setenv("http_proxy", f"http://127.0.0.1:{in_between.port}")
    async with fleet.session(trust_env=True) as session:
        assert (await get_json(session, ORDERS))["node"] == served.name
        async with session.get(f"http://127.0.0.2:{served.port}/") as response:
            assert await response.text() == "proxy"
    assert in_between.hits == 1


async def test_middlewares_of_the_session_run_outside_authorize_and_ours(fleet):
    served = await fleet.serve()
    order = []

    async def users(request, handler):
        order.append(("user", request.url.host))
        return await handler(request)

    async def authorize(request, handler):
        order.append(("authorize", request.url.host))
        request.headers["Authorization"] = f"Bearer {len(order)}"
        return await handler(request)

    async with fleet.session(middlewares=[users], authorize=authorize) as session:
        await get_json(session, ORDERS)
    assert order == [("user", "orders.service_id.asab"), ("authorize", "orders.service_id.asab")]
    assert served.seen[0].headers["Authorization"] == "Bearer 2"


async def test_a_middleware_that_repeats_is_balanced_and_authorized_anew(fleet):
    for _ in range(3):
        await fleet.serve()
    tokens = []

    async def thrice(request, handler):
        for _ in range(2):
            response = await handler(request)
            nodes.append((await response.json())["node"])
        return await handler(request)

    async def authorize(request, handler):
        tokens.append(request.url.host)
        return await handler(request)

    nodes = []
    async with fleet.session(middlewares=[thrice], authorize=authorize) as session:
        nodes += [(await get_json(session, ORDERS))["node"] for _ in range(10)]
    assert len(set(nodes)) == 3
    assert max(Counter(nodes).values()) < 15
    assert tokens == ["orders.service_id.asab"] * 30


async def test_sessions_do_not_share_cookies_or_headers(fleet):
    served = await fleet.serve()
    async with fleet.session(headers={"X-One": "1"}, cookies={"a": "b"}) as one, fleet.session() as other:
        await get_json(one, ORDERS)
        await get_json(other, ORDERS)
    first, second = served.seen
    assert first.headers["X-One"] == "1"
    assert first.cookies == {"a": "b"}
    assert "X-One" not in second.headers
    assert not second.cookies


async def test_a_closed_client_refuses_sessions_and_requests(fleet):
    await fleet.serve()
    session = fleet.session()
    await get_json(session, ORDERS)
    await fleet.client.aclose()
    await fleet.client.aclose()
    with pytest.raises(RuntimeError, match="closed"):
        await session.get(ORDERS)
    with pytest.raises(RegistryClosedError):
        fleet.session()
    await session.close()


async def test_the_body_of_a_request_may_call_others_under_the_usual_rules(fleet):
    """Looking up hosts of instances is impatient; the name of an outsider isn't one of them."""
    outside = await fleet.serve(service="outside")
    await fleet.serve()
    async with fleet.session() as session:

        async def body():
            async with session.get(f"http://localhost:{outside.port}/") as response:
                yield await response.read()

        async with session.post(ORDERS, data=body()) as response:
            assert response.status == 200
    assert outside.hits == 1
    assert fleet.lookups == []


def test_making_a_client_needs_no_event_loop():
    from peerage.client import Client
    from peerage.directory import Directory
    from peerage.membership import Membership
    from peerage.registry import open_registry

    client = Client(Membership(open_registry("memory:"), Directory()))
    with pytest.raises(RuntimeError, match="no running event loop"):
        client.session()
