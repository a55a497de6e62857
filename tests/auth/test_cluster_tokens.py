"""The key that a cluster shares is made once, kept secret and followed; it signs and verifies tokens."""

import asyncio
import base64
import json
import os
import stat
import time
from pathlib import Path

import pytest
from tests.auth.support import claims, jwk, token
from tests.support import Clock

from peerage.auth import PrivateKey, Reason, Verifier
from peerage.auth.cluster_tokens import KEY_NAME, ClusterTokens
from peerage.auth.jose import read_token
from peerage.errors import KeysUnavailableError, RegistryDeniedError, TokenRefusedError
from peerage.records.identity import Identity
from peerage.registry import open_registry
from peerage.testing import eventually
from peerage.testing.waiting import PATIENCE

ME = Identity(host="node-1", service_id="orders", instance_id="orders-1")


class Cluster:
    """The secrets of a registry, and the services that use them."""

    def __init__(self, url):
        self.registry = open_registry(url)
        self.secrets = self.registry.secrets
        self.clock = [time.time()]
        self.monotonic = Clock()
        self.opened = []

    def authority(self, identity=ME, secrets=None, **kwargs):
        made = ClusterTokens(
            secrets or self.secrets,
            lambda: identity,
            clock=lambda: self.clock[0],
            monotonic=self.monotonic,
            **kwargs,
        )
        self.opened.append(made)
        return made

    def verifier(self, authority):
        return Verifier([], internal=authority, clock=lambda: self.clock[0])

    async def aclose(self):
        for one in self.opened:
            await one.aclose()
        await self.registry.aclose()


@pytest.fixture
async def cluster(tmp_path):
    folder = tmp_path / "registry"
    folder.mkdir(0o700)
    cluster = Cluster(f"embedded://{folder}")
    cluster.folder = folder
    yield cluster
    await cluster.aclose()


def contents(text):
    return json.loads(read_token(text).payload)


async def test_a_token_has_the_claims_of_asab(cluster):
    text = await cluster.authority().token()
    read = read_token(text)
    now = int(cluster.clock[0])
    assert read.algorithm == "ES256"
    assert len(read.kid) == 32
    assert contents(text) == {
        "iss": "http://orders-1.instance_id.asab",
        "azp": "http://orders-1.instance_id.asab",
        "aud": "http://node-1",
        "iat": now,
        "exp": now + 1800,
        "resources": {"*": ["authz:superuser"]},
    }


@pytest.mark.parametrize(
    ("identity", "issuer"),
    [
        (Identity(host="h", service_id="s"), "http://s.service_id.asab"),
        (Identity(host="h", node_id="n"), "http://h"),
    ],
)
async def test_the_issuer_without_an_instance_id(cluster, identity, issuer):
    assert contents(await cluster.authority(identity).token())["iss"] == issuer


async def test_all_services_accept_each_others_tokens(cluster):
    ours, theirs = cluster.authority(), cluster.authority(Identity(host="node-2", instance_id="users-1"))
    tokens = await asyncio.gather(*(each.token() for each in (ours, theirs) * 20))
    verifier = cluster.verifier(cluster.authority())
    principals = [await verifier.verify(each) for each in tokens]
    assert all(each.has_superuser_access() for each in principals)
    assert {each.issuer for each in principals} == {
        "http://orders-1.instance_id.asab",
        "http://users-1.instance_id.asab",
    }


async def test_a_token_of_another_key_is_refused(cluster):
    verifier = cluster.verifier(cluster.authority())
    for text in (token(), token(kid=None)):
        with pytest.raises(TokenRefusedError):
            await verifier.verify(text)


async def test_only_the_owner_can_read_the_file_of_the_key(cluster):
    await cluster.authority().token()
    files = [Path(folder, name) for folder, _, names in os.walk(cluster.folder) for name in names]
    secrets = [path for path in files if b'"d"' in path.read_bytes()]
    assert len(secrets) == 1
    assert stat.S_IMODE(secrets[0].stat().st_mode) == 0o600
    assert stat.S_IMODE(secrets[0].parent.stat().st_mode) == 0o700
    written = json.loads(secrets[0].read_bytes())
    assert {"kty", "crv", "x", "y", "d", "kid"} == set(written)
    assert (written["kty"], written["crv"]) == ("EC", "P-256")


async def test_a_token_is_renewed_well_before_it_expires(cluster):
    """In a session that is open for a day."""
    authority = cluster.authority()
    begin, texts = cluster.clock[0], set()
    while cluster.clock[0] < begin + 86400:
        text = await authority.token()
        texts.add(text)
        assert contents(text)["exp"] - cluster.clock[0] >= 599
        cluster.clock[0] += 61
    assert 60 <= len(texts) <= 86400 / 1200 + 2


async def test_no_token_from_the_future_is_sent_after_the_clock_was_set_back(cluster):
    authority = cluster.authority()
    await authority.token()
    cluster.clock[0] -= 3600
    assert contents(await authority.token())["iat"] == int(cluster.clock[0])


async def test_a_new_key_is_adopted_and_the_previous_one_accepted_for_a_while(cluster):
    sender, receiver = cluster.authority(), cluster.authority()
    verifier = cluster.verifier(receiver)
    old = await sender.token()
    await verifier.verify(old)
    new = PrivateKey.generate()
    await cluster.secrets.replace(KEY_NAME, new.write())
    await eventually(lambda: new.public in receiver.keys and new.public in sender.keys)
    text = await sender.token()
    assert read_token(text).kid == new.public.kid
    assert (await verifier.verify(text)).superuser
    cluster.monotonic.now += 1800 + 60
    assert (await verifier.verify(old)).superuser
    cluster.monotonic.now += 301
    with pytest.raises(TokenRefusedError) as caught:
        await verifier.verify(old)
    assert caught.value.reason == Reason.UNKNOWN_KEY
    assert (await verifier.verify(text)).superuser


async def test_a_change_of_the_accepted_keys_ends_a_wait(cluster):
    """Both a new key and the end of a previous one."""
    receiver = cluster.authority(retry=0.01)
    known = await receiver.wait_changed(())
    new = PrivateKey.generate()
    waiting = asyncio.create_task(receiver.wait_changed(known))
    await cluster.secrets.replace(KEY_NAME, new.write())
    async with asyncio.timeout(PATIENCE):
        assert await waiting == (new.public, *known)
    # Shortly before the end of the previous key; each reading of the clock brings it nearer.
    cluster.monotonic.now += 1800 + 360 - 0.1
    cluster.monotonic.cost = 0.01
    assert receiver.keys == (new.public, *known)
    async with asyncio.timeout(PATIENCE):
        assert await receiver.wait_changed((new.public, *known)) == (new.public,)


@pytest.mark.parametrize("kid", [..., None, ""])
async def test_a_token_of_a_key_without_a_kid_has_none(cluster, kid):
    """As in clusters whose key was made before ASAB wrote a kid."""
    await cluster.secrets.obtain(KEY_NAME, lambda: json.dumps(jwk(private=True, kid=kid)).encode())
    text = await cluster.authority().token()
    assert '"kid":null' in text_of_header(text)
    verifier = cluster.verifier(cluster.authority())
    assert (await verifier.verify(text)).superuser
    assert (await verifier.verify(token(claims(), kid=...))).subject == "u1"


def text_of_header(text):
    return base64.urlsafe_b64decode(text.partition(".")[0] + "==").decode().replace(" ", "")


@pytest.mark.parametrize(
    "value",
    [
        b"nonsense",
        b"{}",
        json.dumps(jwk()).encode(),
        json.dumps(jwk("ES384", private=True)).encode(),
        json.dumps(jwk(private=True, kid=5)).encode(),
        json.dumps(jwk(private=True, d=5)).encode(),
        json.dumps(jwk(private=True, d="AAAA")).encode(),
    ],
)
async def test_an_unusable_key_is_logged_and_replaces_no_other(cluster, value, caplog):
    """The previous key stays in use, and the log shows nothing of either."""
    authority = cluster.authority()
    await cluster.secrets.replace(KEY_NAME, value)
    for _ in range(3):
        with pytest.raises(KeysUnavailableError, match="private EC P-256"):
            await authority.token()
    with pytest.raises(KeysUnavailableError):
        await cluster.verifier(authority).verify(token())
    good = PrivateKey.generate()
    await cluster.secrets.replace(KEY_NAME, good.write())
    await eventually(lambda: authority.keys)
    await cluster.secrets.replace(KEY_NAME, value)
    await eventually(lambda: caplog.text.count("can't be used") == 2)
    assert read_token(await authority.token()).kid == good.public.kid
    secret = jwk("ES256", private=True)["d"]
    assert secret not in caplog.text
    assert json.loads(good.write())["d"] not in caplog.text + repr(good)


class Refusing:
    """The secrets of a registry that denies access, or doesn't answer."""

    def __init__(self, *, silent):
        self.silent = silent
        self.asked = 0

    async def obtain(self, _name, _make):
        self.asked += 1
        if self.silent:
            await asyncio.Event().wait()
        raise RegistryDeniedError("no access")

    def follow(self, _name):
        raise AssertionError


async def test_a_registry_that_denies_access_is_asked_once_and_logged_once(cluster, caplog):
    secrets = Refusing(silent=False)
    authority = cluster.authority(secrets=secrets)
    for _ in range(20):
        with pytest.raises(KeysUnavailableError, match="no access"):
            await authority.token()
    assert secrets.asked == 1
    assert len(caplog.records) == 1


async def test_repeated_denials_are_logged_once(cluster, caplog):
    secrets = Refusing(silent=False)
    cluster.authority(secrets=secrets, retry=0.001).refresh()
    await eventually(lambda: secrets.asked > 10)
    assert len(caplog.records) == 1


async def test_only_the_first_caller_waits_for_a_registry_that_doesnt_answer(cluster):
    authority = cluster.authority(secrets=Refusing(silent=True), wait=0.05)
    for _ in range(20):
        with pytest.raises(KeysUnavailableError, match="doesn't answer"):
            await authority.token()
    await authority.aclose()
    await authority.aclose()
    with pytest.raises(KeysUnavailableError):
        await authority.token()
