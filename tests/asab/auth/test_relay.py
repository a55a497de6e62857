"""Tokens are relayed to services found by name, and to no other host."""

from contextlib import asynccontextmanager
from functools import partial

import pytest
from aiohttp import web
from tests.asab.auth.programs import CALLER, READER, ROOT, asked, named, seacat
from tests.auth.support import claims, token

from peerage import Discovery
from peerage.records.identity import Identity
from peerage.testing import eventually


class Outside:
    """A server outside of the cluster, which keeps all requests."""

    def __init__(self):
        self.seen = []

    async def take(self, request):
        self.seen.append(dict(request.headers))
        if request.headers.get("Upgrade"):
            answer = web.WebSocketResponse()
            await answer.prepare(request)
            await answer.send_str("outside")
            await answer.close()
            return answer
        return web.json_response("outside")


@pytest.fixture
async def outside():
    found = Outside()
    app = web.Application()
    app.router.add_route("*", "/{path:.*}", found.take)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    found.url = f"127.0.0.1:{runner.addresses[0][1]}"
    yield found
    await runner.cleanup()


@asynccontextmanager
async def two(environ, config):
    """The authorization server and two callers, which find each other."""
    async with (
        seacat(environ) as auth,
        asked(CALLER, named(environ, "one-1"), config=config) as one,
        asked(CALLER, named(environ, "two-1"), config=config) as other,
    ):
        for each, peer in ((one, "two"), (other, "one")):
            url = f"http://{peer}.service_id.asab/open"
            await eventually(
                partial(each.get, "/free", url=url), wanted=lambda found: found[1] == [200, "open"]
            )
        yield auth, one, other


TWO = "http://two.service_id.asab"


async def test_a_users_token_goes_on(embedded, config):
    """As it was verified, however it came."""
    async with two(embedded, config) as (_, one, _):
        assert await one.get("/call", READER, url=f"{TWO}/read") == (200, [200, "read"])
        assert await one.get("/call", READER, url=f"{TWO}/write") == (200, [403, None])
        assert await one.get("/call", ROOT, url=f"{TWO}/write") == (200, [200, "written"])
        found = ["http://auth", f"Bearer {READER}"]
        assert await one.get("/call", READER, url=f"{TWO}/got") == (200, [200, found])
        odd = {"Authorization": f"bEARER   {READER}"}
        upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
        protocol = {"Sec-WebSocket-Protocol": f"chat, access_token_{READER}"}
        for headers in (odd, {**upgrade, **protocol}):
            assert await one.get("/call", headers=headers, url=f"{TWO}/got") == (200, [200, found])


async def test_an_unverified_token_is_relayed_on_request_only(embedded, config):
    """The token of a request to a noauth handler is relayed with auth="request" only."""
    async with two(embedded, config) as (_, one, _):
        for sent in (READER, token(name="stranger"), "nonsense"):
            assert await one.get("/free", sent, url=f"{TWO}/read") == (200, [401, None])
        assert await one.get("/free", READER, url=f"{TWO}/read", auth="request") == (200, [200, "read"])
    assert one.running.log.count("it wasn't verified, as in a handler that is marked noauth") == 1
    assert "session(auth=request)" in one.running.log


async def test_internal(embedded, config):
    """auth="internal" calls as this service; the called service doesn't relay its token."""
    async with two(embedded, config) as (_, one, other):
        status, (inner, found) = await one.get("/free", url=f"{TWO}/got", auth="internal")
        assert (status, inner, found[0]) == (200, 200, "http://one-1.instance_id.asab")
        assert await one.get("/free", url=f"{TWO}/root", auth="internal") == (200, [200, "ruled"])
        internal = found[1].removeprefix("Bearer ")
        assert await other.get("/call", internal, url="http://one.service_id.asab/read") == (200, [401, None])
        url = "http://one.service_id.asab/root"
        assert await other.get("/call", internal, url=url, auth="request") == (200, [200, "ruled"])
        assert await other.get("/call", READER, url=url, auth="internal") == (200, [200, "ruled"])
    assert other.running.log.count("it is the internal token of another service") == 1
    assert other.running.log.count("it calls with the rights of a superuser") == 1
    assert internal not in one.running.log + other.running.log


async def test_never_outside_of_the_cluster(embedded, config, outside):
    """Absolute URLs, redirects and WebSockets; of users and of services; nor with a fetch of keys."""
    sent = [token(claims(sub=f"u{number}")) for number in range(2)]
    async with two(embedded, config) as (auth, one, other):
        for path, scheme in (("/call", "http"), ("/socket", "ws")):
            for direct in (f"{scheme}://{outside.url}/x", f"{scheme}://{outside.url}/x.service_id.asab"):
                for auth_is in ("none", "request", "internal"):
                    await one.get(path, sent[0], url=direct, auth=auth_is)
        for auth_is in ("none", "request", "internal"):
            led = f"{TWO}/away?to=http://{outside.url}/led"
            assert await one.get("/call", sent[0], url=led, auth=auth_is) == (200, [200, "outside"])
        assert len(outside.seen) == 15
        for headers in outside.seen:
            assert "Authorization" not in headers
            assert not any(sent[0] in value or "access_token_" in value for value in headers.values())
        # One that has the keys fetched, within the handling of a request that has a token.
        assert await other.get("/read", token(name="stranger")) is not None
        fetches = await auth.fetches()
        assert len(fetches) >= 2
        assert set(fetches) == {None}
    assert one.running.log.count("No authorization is sent to '127.0.0.1'") <= 2
    for each in (auth, one, other):
        assert not any(known in each.running.log for known in (*sent, READER))


async def test_keys_that_lead_elsewhere(embedded, config, tmp_path, outside):
    """A redirect of the keys' URL is followed without any token."""
    elsewhere = tmp_path / "elsewhere.conf"
    elsewhere.write_text(
        f"[auth]\npublic_keys_url=http://two.service_id.asab/away?to=http://{outside.url}/keys\n"
    )
    async with (
        two(embedded, config),
        asked(CALLER, named(embedded, "three-1"), config=elsewhere) as three,
    ):
        await eventually(
            partial(three.status, "/read", READER), wanted=lambda status: status == 503 and outside.seen
        )
    assert "Authorization" not in outside.seen[0]


async def test_nor_a_service_that_took_over_a_port(embedded, config):
    """The service on that port refuses the request, and none of its handlers sees it."""
    taken = (
        CALLER.replace("Caller().run()", "")
        + """
SEEN = []
@aiohttp.web.middleware
async def see(request, handler):
    SEEN.append(request.headers.get("Authorization"))
    return await handler(request)
class Taken(Caller):
    def __init__(self):
        super().__init__()
        self.Web.WebApp.middlewares.append(see)
        self.Web.WebApp.router.add_get("/seen", self.seen)
    @asab.web.auth.noauth
    async def seen(self, request):
        return aiohttp.web.json_response(SEEN)
Taken().run()
"""
    )
    gone = Identity(host="127.0.0.1", service_id="gone", instance_id="gone-1")
    async with (
        two(embedded, config) as (_, one, _),
        asked(taken, named(embedded, "taker-1"), config=config) as taker,
        Discovery(f"embedded://{embedded['PEERAGE_DIR']}", identity=gone) as stale,
    ):
        port = taker.session._base_url.port
        await stale.advertise(web=[("0.0.0.0", port)])
        url = "http://gone.service_id.asab/got"
        ask = partial(one.get, "/call", READER, url=url)
        _, found = await eventually(ask, wanted=lambda found: found[1] != [0, "NotDiscoveredError"])
        assert found == [0, "UnreachableError"], one.running.log
        assert await taker.get("/seen") == (200, [None])
