"""Internal tokens and keys of the original and ours are the same, in both directions."""

import asyncio
import json
from contextlib import asynccontextmanager
from pathlib import Path

import aiohttp.web
import pytest
from tests.auth.support import Served
from tests.backends.zookeeper.support import bare_client
from tests.interop.original import original

from peerage import Discovery
from peerage.auth import FetchedKeys, PrivateKey, Verifier
from peerage.auth.cluster_tokens import KEY_NAME
from peerage.auth.jose import read_token
from peerage.records.identity import Identity
from peerage.testing import eventually
from peerage.web import authorize, caller

PROGRAM = Path(__file__).with_name("auth_peer.py")
ME = Identity(host="127.0.0.1", service_id="our-service", instance_id="our-1")


@pytest.fixture
async def admin(zookeeper):
    """A bare client; there is no key when a test begins and when it ends."""
    async with bare_client(zookeeper.address) as client:

        async def remove():
            if await asyncio.to_thread(client.exists, KEY_NAME):
                await asyncio.to_thread(client.delete, KEY_NAME)

        await remove()
        yield client
        await remove()


@asynccontextmanager
async def ours(url):
    """Our service behind our middleware."""

    async def who(_):
        return aiohttp.web.json_response({"iss": caller().issuer, "superuser": caller().superuser})

    async with Discovery(url, identity=ME) as discovery:
        app = aiohttp.web.Application(middlewares=[authorize(discovery.auth.verifier())])
        app.router.add_get("/caller", who)
        runner = aiohttp.web.AppRunner(app)
        await runner.setup()
        try:
            await aiohttp.web.TCPSite(runner, "0.0.0.0", 0).start()
            await discovery.advertise(port=runner.addresses[0][1])
            yield discovery
        finally:
            await runner.cleanup()


@asynccontextmanager
async def both(zookeeper, path, url):
    environ = {"SERVICE_ID": "their-service", "INSTANCE_ID": "their-1"}
    async with ours(url) as discovery, original(zookeeper.address, path, program=PROGRAM, **environ) as peer:
        await eventually(lambda: peer.tell("locate", {"instance_id": "our-1"}))
        await eventually(lambda: discovery.locate(instance_id="their-1"))
        await eventually(lambda: peer.tell("ready"))
        yield discovery, peer


async def call_each_other(discovery, peer):
    async with (
        discovery.session(auth="internal") as session,
        session.get("http://their-1.instance_id.asab/caller") as response,
    ):
        assert (response.status, await response.json()) == (
            200,
            {"iss": "http://our-1.instance_id.asab", "superuser": True},
        )
    status, text = await peer.tell("call", "http://our-service.service_id.asab/caller")
    assert (status, json.loads(text)) == (200, {"iss": "http://their-1.instance_id.asab", "superuser": True})


@pytest.mark.parametrize("first", ["ours", "theirs", "older than kids"])
async def test_we_call_each_other(zookeeper, path, url, admin, first):
    """Whichever side made the key."""
    if first == "ours":
        async with Discovery(url, identity=ME) as discovery:
            await discovery.auth.cluster_tokens().token()
    elif first == "older than kids":
        key = json.loads(PrivateKey.generate().write())
        del key["kid"]
        await asyncio.to_thread(admin.create, KEY_NAME, json.dumps(key).encode(), makepath=True)
    else:
        async with original(zookeeper.address, path, program=PROGRAM) as peer:
            await eventually(lambda: peer.tell("ready"))
    written, _ = await asyncio.to_thread(admin.get, KEY_NAME)
    async with both(zookeeper, path, url) as (discovery, peer):
        await call_each_other(discovery, peer)
        async with discovery.session() as session:
            async with session.get("http://our-1.instance_id.asab/caller") as response:
                assert response.status == 401
            async with session.get("http://their-1.instance_id.asab/caller") as response:
                assert response.status == 401
    assert (await asyncio.to_thread(admin.get, KEY_NAME))[0] == written


async def test_another_key_is_taken_over_by_both(zookeeper, path, url, admin):
    """By us at once; the original looks every five minutes, and its tokens are accepted until then."""
    async with both(zookeeper, path, url) as (discovery, peer):
        await call_each_other(discovery, peer)
        new = PrivateKey.generate()
        await asyncio.to_thread(admin.set, KEY_NAME, new.write())
        internal = discovery.auth.cluster_tokens()
        await eventually(lambda: internal.keys[0] == new.public)
        status, _ = await peer.tell("call", "http://our-service.service_id.asab/caller")
        assert status == 200
        await peer.tell("update")
        await call_each_other(discovery, peer)


KINDS = {
    "ES256": {"kty": "EC", "crv": "P-256"},
    "ES384": {"kty": "EC", "crv": "P-384"},
    "ES512": {"kty": "EC", "crv": "P-521"},
    "RS256": {"kty": "RSA", "size": 2048},
    "PS512": {"kty": "RSA", "size": 2048},
}


async def test_keys_and_tokens_of_jwcrypto(zookeeper, path, admin):
    """Each side accepts the tokens of the other, with and without a kid."""
    async with original(zookeeper.address, path, program=PROGRAM) as peer:
        for alg, kind in KINDS.items():
            for kid in ("some", None):
                made = await peer.tell("make", {"alg": alg, "kind": kind, "kid": kid})
                assert read_token(made["token"]).kid == kid
                document = json.dumps({"keys": [made["key"]]}).encode()
                verifier = Verifier([FetchedKeys("jwcrypto", Served(document))])
                assert (await verifier.verify(made["token"])).superuser
                await verifier.aclose()
        for kid in ("some", None):
            made = await peer.tell("make", {"alg": "ES256", "kind": KINDS["ES256"], "kid": kid})
            for key in (PrivateKey.read(json.dumps(made["key"]).encode()), PrivateKey.generate()):
                argument = {
                    "key": json.loads(key.write()),
                    "token": key.sign({"sub": "ours", "exp": 1 << 33}),
                }
                assert await peer.tell("accepts", argument) == [{"sub": "ours", "exp": 1 << 33}] * 2
