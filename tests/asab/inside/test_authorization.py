"""The authorization that is sent inside the real framework."""

import asyncio
import base64
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import partial

import pytest
from tests.asab.both import Kind
from tests.asab.inside.programs import ORIGINAL, OURS, guest, named
from tests.asab.inside.reader import Reader
from tests.asab.zookeeper.programs import on
from tests.auth.support import token

from peerage.auth import PrivateKey
from peerage.testing.waiting import eventually
from peerage.testing.zookeeper import ZooKeeperServer

KEY = "/asab/auth/internal_auth_private.key"

TOKEN = {"Authorization": "Bearer of-the-user"}


@asynccontextmanager
async def cluster_with_a_key(inside: Kind, zookeeper: ZooKeeperServer) -> AsyncIterator[dict[str, str]]:
    """A key that one service has made; another test has services that make one at the same time."""
    environ = on(zookeeper)
    async with (
        guest(inside, named(environ, "first-1", TEST_AUTH="1")),
        Reader(zookeeper.address, "") as reader,
    ):
        await eventually(lambda: asyncio.to_thread(reader.client.exists, KEY))
        yield environ


@pytest.mark.parametrize("auth", ["none", "request"])
async def test_of_the_request_being_handled(inside, zookeeper, auth):
    """Handed on in a handler, found in the framework's own context; to the cluster only."""
    environ = on(zookeeper)
    async with (
        guest(inside, named(environ, "original-1", ORIGINAL)),
        guest(inside, named(environ, "my-1")) as one,
    ):
        await one.found(instance_id="original-1")
        url = "http://original-1.instance_id.asab/got"
        assert await one.calls(url, TOKEN, auth) == (200, TOKEN)
        # Not kept for another's.
        other = {"Authorization": "Bearer of-another"}
        assert await one.calls(url, other, auth) == (200, other)
        if auth == "none":
            assert await one.calls(url) == (200, {})
        outside = f"http://127.0.0.1:{one.session._base_url.port}/got"
        assert await one.calls(outside, TOKEN, auth) == (200, {})


async def test_of_a_request_to_another_container(inside, zookeeper):
    """Which knows nothing of us: the framework itself keeps its requests."""
    program = """
app = Guest()
second = asab.web.WebContainer(app.get_service("asab.WebService"), "second", config={"listen": "0.0.0.0 0"})
second.WebApp.router.add_get("/call", app.call)
async def main():
    while app.Web.Addresses is None or second.Addresses is None:
        await asyncio.sleep(0.005)
    say(app.Web.Addresses[0][1])
    say(second.Addresses[0][1])
app.main = main
app.run()
"""
    async with guest(inside, named(on(zookeeper), "my-1"), program) as one:
        await one.found(instance_id="my-1")
        url = f"http://127.0.0.1:{await one.running.line()}/call"
        params = {"url": "http://my-1.instance_id.asab/got"}
        async with one.session.get(url, params=params, headers=TOKEN) as response:
            assert json.loads((await response.json())[1]) == TOKEN


async def test_an_unverified_token_isnt_relayed(inside, zookeeper, tmp_path):
    """With an AuthService neither an open handler nor the fetching of keys relays it."""
    (tmp_path / "keys.json").write_text('{"keys": []}')
    program = f"""
asab.Config.add_defaults({{"auth": {{"public_keys_file": {str(tmp_path / "keys.json")!r}}}}})
Guest().run()
"""
    environ = on(zookeeper)
    async with (
        guest(inside, named(environ, "original-1", ORIGINAL)),
        guest(inside, named(environ, "my-1", TEST_AUTH="1"), program) as one,
    ):
        await one.found(instance_id="original-1")
        url = "http://original-1.instance_id.asab/got"
        assert await one.calls(url, TOKEN) == (200, {})
        assert await one.calls(url, TOKEN, "request") == (200, TOKEN)
        assert "isn't relayed" in one.running.log


@pytest.mark.parametrize(("caller", "called"), [(OURS, ORIGINAL), (ORIGINAL, OURS), (OURS, OURS)])
async def test_internal(inside, zookeeper, caller, called):
    """The cluster's key, in both directions: sent, and accepted where AuthService is."""
    async with (
        cluster_with_a_key(inside, zookeeper) as environ,
        guest(inside, named(environ, "caller-1", caller)) as one,
        guest(inside, named(environ, "called-1", called, TEST_AUTH="1")) as other,
    ):
        await one.found(instance_id="called-1")
        assert await other.status("/got") == 401
        url = "http://called-1.instance_id.asab/got"
        assert (await one.calls(url))[0] == 401
        # Keys are read after the services have begun to serve.
        answer = await eventually(
            lambda: one.calls(url, auth="internal"), wanted=lambda answer: answer[0] == 200
        )
        assert answer[1]["Authorization"].startswith("Bearer ey")
        # Settings are for superusers, which internal callers are.
        status, config = await one.calls("http://called-1.instance_id.asab/asab/v1/config", auth="internal")
        assert status == (404 if called == ORIGINAL else 200), config
        # A superuser's token least of all leaves the cluster.
        outside = f"http://127.0.0.1:{other.session._base_url.port}/got"
        assert (await one.calls(outside, auth="internal"))[0] == (200 if caller == ORIGINAL else 401)
        if caller == OURS:
            # Which is read as it comes.
            await eventually(lambda: "No authorization is sent to '127.0.0.1'" in one.running.log)


#: A service of the original that looks for another key on request, not every five minutes.
WARNED = """
async def look(request):
    request.app["app"].PubSub.publish("Application.tick/300!")
    return aiohttp.web.json_response(None)
app = Guest()
app.Web.WebApp.router.add_get("/look", asab.web.auth.noauth(look))
app.run()
"""


def token_of(answer):
    return answer[1]["Authorization"].removeprefix("Bearer ")


def kid_of(answer):
    """By which key the request that was answered is signed."""
    return json.loads(base64.urlsafe_b64decode(token_of(answer).partition(".")[0] + "=="))["kid"]


@pytest.mark.parametrize(("caller", "called"), [(OURS, ORIGINAL), (ORIGINAL, OURS), (OURS, OURS)])
async def test_another_key(inside, zookeeper, caller, called):
    """Ours hear of it; what is signed with the one before is accepted still, and not by the original."""
    async with (
        cluster_with_a_key(inside, zookeeper) as environ,
        Reader(zookeeper.address, "") as reader,
        guest(inside, named(environ, "caller-1", caller), WARNED) as one,
        guest(inside, named(environ, "called-1", called, TEST_AUTH="1"), WARNED) as other,
    ):
        here, there = (f"http://{name}-1.instance_id.asab/got" for name in ("caller", "called"))
        for service in (one, other):
            await service.found(instance_id="caller-1")
            await service.found(instance_id="called-1")
        # It has the first key; the token of the caller it sees later only, because it remembers tokens.
        await eventually(lambda: other.calls(there, auth="internal"), wanted=lambda answer: answer[0] == 200)
        old = await eventually(
            lambda: one.calls(here, auth="internal"), wanted=lambda answer: answer[0] == 200
        )

        key = PrivateKey.generate()
        await asyncio.to_thread(reader.client.set, KEY, key.write())
        await eventually(
            lambda: (other if called == OURS else one).calls(here, auth="internal"),
            wanted=lambda answer: answer[0] == 200 and kid_of(answer) == key.public.kid,
        )
        if caller == ORIGINAL:
            # It signs with the old one until it looks.
            answer = await one.calls(there, auth="internal")
            assert (answer[0], kid_of(answer)) == (200, kid_of(old))
        for service, api in ((one, caller), (other, called)):
            if api == ORIGINAL:
                await service.get("/look")
        await eventually(
            lambda: one.calls(there, auth="internal"),
            wanted=lambda answer: answer[0] == 200 and kid_of(answer) == key.public.kid,
        )
        bearer = {"Authorization": f"Bearer {token_of(old)}"}
        assert await other.status("/got", bearer) == (200 if called == OURS else 401)


async def test_internal_below_a_chroot(inside, zookeeper):
    """The key is there as well, where the original has it."""
    environ = on(zookeeper)
    chroot = environ["TEST_PATH"]
    async with Reader(zookeeper.address, "") as reader:
        await asyncio.to_thread(reader.client.ensure_path, chroot)
        environ["TEST_SERVERS"] += chroot
        async with guest(inside, named(environ, "my-1", TEST_AUTH="1")) as one:
            await eventually(lambda: asyncio.to_thread(reader.client.exists, chroot + KEY))
            async with guest(inside, named(environ, "original-1", ORIGINAL, TEST_AUTH="1")):
                await one.found(instance_id="original-1")
                url = "http://original-1.instance_id.asab/got"
                await eventually(
                    lambda: one.calls(url, auth="internal"), wanted=lambda answer: answer[0] == 200
                )


async def test_internal_in_an_authorized_context(inside, zookeeper, tmp_path):
    """One warning, not one for each session; the original has one for each."""
    claims = tmp_path / "claims.json"
    claims.write_text(
        json.dumps({"sub": "me", "iss": "me", "iat": 1, "exp": 9e9, "resources": {"*": ["authz:superuser"]}})
    )
    program = """
async def thrice(request):
    me = request.app["app"]
    async with me.Discovery.session(auth="internal") as session:
        for _ in range(3):
            async with session.get("http://my-1.instance_id.asab/got") as response:
                last = await response.json()
    return aiohttp.web.json_response(last)
asab.Config.add_defaults({"auth": {"enabled": "mock", "mock_claims_path": os.environ["TEST_CLAIMS"]}})
app = Guest()
app.Web.WebApp.router.add_get("/thrice", thrice)
app.run()
"""
    environ = named(on(zookeeper), "my-1", TEST_AUTH="1", TEST_CLAIMS=str(claims))
    async with guest(inside, environ, program) as one:
        await one.found(instance_id="my-1")
        await eventually(lambda: one.status("/thrice"), wanted=lambda status: status == 200)
        for _ in range(2):
            assert (await one.get("/thrice"))["Authorization"].startswith("Bearer ey")
        one.running.terminate()
        await one.running.end()
        assert one.running.log.count("session(auth='internal') while a request of") == 1


@pytest.mark.parametrize("auth", [{}, {"TEST_AUTH": "1"}])
async def test_internal_without_its_package(inside, zookeeper, auth):
    """Other calls work."""
    program = """
sys.modules["joserfc"] = None
Guest().run()
"""
    async with guest(inside, named(on(zookeeper), "my-1", **auth), program) as one:
        await one.found(instance_id="my-1")
        assert await one.calls("http://my-1.instance_id.asab/who") == (200, {"who": "my-1"})
        assert await one.status("/got") == (401 if auth else 200)
        status, text = await one.calls("http://my-1.instance_id.asab/who", auth="internal")
        assert status == 0
        assert "MissingExtraError" in text
        assert "pip install 'peerage[auth]'" in text
        assert one.running.log.count("will refuse the internal tokens of other services") == len(auth)


async def test_internal_without_the_package_of_the_original(inside, zookeeper):
    """It is needed by AuthService only."""
    program = """
sys.modules["jwcrypto"] = None
Guest().run()
"""
    async with (
        guest(inside, named(environ := on(zookeeper), "my-1"), program) as one,
        guest(inside, named(environ, "called-1", TEST_AUTH="1")),
    ):
        await one.found(instance_id="called-1")
        url = "http://called-1.instance_id.asab/got"
        await eventually(lambda: one.calls(url, auth="internal"), wanted=lambda answer: answer[0] == 200)
        assert "internal tokens" not in one.running.log


async def test_keys_of_an_authorization_server_by_its_name(inside, zookeeper):
    """What of the framework uses discovery: its provider of public keys, by a URL in .asab."""
    environ = on(zookeeper)
    server = """
import jwcrypto.jwk
key = jwcrypto.jwk.JWK.generate(kty="EC", crv="P-256", kid="k")
async def jwks(request):
    return aiohttp.web.json_response({"keys": [key.export_public(as_dict=True)]})
async def token(request):
    import jwcrypto.jwt
    claims = {"iss": "x", "sub": "me", "iat": int(time.time()), "exp": int(time.time()) + 60}
    made = jwcrypto.jwt.JWT(header={"alg": "ES256", "kid": "k"}, claims=claims)
    made.make_signed_token(key)
    return aiohttp.web.json_response(made.serialize())
app = Guest()
app.Web.WebApp.router.add_get("/jwks", jwks)
app.Web.WebApp.router.add_get("/token", token)
app.run()
"""
    client = """
asab.Config.add_defaults({"auth": {"public_keys_url": "http://auth-1.instance_id.asab/jwks"}})
Guest().run()
"""
    async with (
        guest(inside, named(environ, "auth-1", ORIGINAL), server) as authority,
        guest(inside, named(environ, "my-1", TEST_AUTH="1"), client) as one,
    ):
        await one.found(instance_id="auth-1")
        bearer = {"Authorization": f"Bearer {await authority.get('/token')}"}
        await eventually(lambda: one.status("/got", bearer), wanted=lambda status: status == 200)
        assert await one.status("/got", {"Authorization": "Bearer x"}) == 401


@pytest.mark.parametrize("api", [ORIGINAL, OURS])
async def test_a_dead_authorization_server_is_no_error_of_the_service(inside, zookeeper, api):
    """The parts of asab catch the error of a refused connection, so an unverifiable token gets 401."""
    environ = on(zookeeper)
    client = """
asab.Config.add_defaults({"auth": {"public_keys_url": "http://dead.service_id.asab/jwks"}})
Guest().run()
"""
    with socket.socket() as bound:
        # Bound and not listening: nothing else takes the port, and connections are refused.
        bound.bind(("127.0.0.1", 0))
        dead = {"host": "127.0.0.1", "instance_id": "dead-1", "service_id": "dead"}
        record = json.dumps({**dead, "web": [["0.0.0.0", bound.getsockname()[1]]]}).encode()
        async with (
            Reader(zookeeper.address, environ["TEST_PATH"]) as reader,
            guest(inside, named(environ, "my-1", api, TEST_AUTH="1"), client) as one,
        ):
            path = f"{environ['TEST_PATH']}/run/Dead."
            create = partial(reader.client.create, path, record, ephemeral=True, sequence=True)
            await asyncio.to_thread(create, makepath=True)
            await one.found(instance_id="dead-1")
            assert await one.status("/got", {"Authorization": f"Bearer {token()}"}) == 401
