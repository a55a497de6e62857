"""Instance tokens: whom a token speaks for, to which service, for how long, and what it may claim."""

import json
import time
from types import SimpleNamespace

import aiohttp
import pytest
from tests.auth.instances import (
    ALLOW,
    ORDERS,
    READ,
    SHOP,
    app,
    contents,
    identity,
    own,
    refused,
    sign,
    verifier,
)

from peerage import ConfigurationError, Discovery, TokenRefusedError
from peerage.auth import SUPERUSER, PrivateKey, Reason, Verifier
from peerage.auth.allowance import Allowance
from peerage.auth.instance_tokens import InstanceKeys, InstanceTokens
from peerage.auth.jose import read_token
from peerage.directory import Directory
from peerage.registry import Record


async def test_a_service_is_called_with_the_rights_that_the_caller_chose(services):
    orders = await services.start("orders", app, ids={"shard": [7]})
    shop = await services.start("shop")
    await services.see(orders, "shop")
    await services.see(shop, "orders")
    async with shop.session(auth="internal", resources=READ) as session:
        for host in ("orders.service_id.asab", "ORDERS-1.instance-id.asab", "7.shard.asab"):
            async with session.get(f"http://{host}/") as response:
                assert response.status == 200
                assert await response.json() == {"iss": SHOP, "superuser": False}
        async with session.post(f"{ORDERS}/") as response:
            assert response.status == 403
    async with shop.session() as session, session.get(f"{ORDERS}/") as response:
        assert response.status == 401


async def test_the_record_has_the_public_key_and_not_the_private_one(services):
    shop = await services.start("shop")
    record = (await services.see(shop, "shop")).directory.find((("instance_id", "shop-1"),))[0].record()
    assert record["peerage"]["auth_key"] == own(shop).public.as_dict()
    assert "d" not in record["peerage"]["auth_key"]


async def test_with_cluster_tokens_a_record_has_no_key(tmp_path):
    async with Discovery(f"memory:{tmp_path.name}", identity=identity("shop")) as shop:
        await shop.advertise()
        await shop.ready()
        (instance,) = shop.directory.find()
        assert "auth_key" not in instance.record()["peerage"]


# What a compromised service may claim


@pytest.mark.parametrize(
    ("resources", "excess"),
    [
        ({"*": [SUPERUSER]}, SUPERUSER),
        ({"*": ["orders:read", SUPERUSER]}, SUPERUSER),
        ({"acme": [SUPERUSER]}, SUPERUSER),
        ({"*": ["users:read"]}, "users:read"),
        ({"acme": ["users:read"]}, "users:read"),
    ],
)
async def test_an_instance_cannot_claim_more_than_the_verifier_allows(services, resources, excess):
    """Although its own key has signed the token."""
    orders = await services.start("orders", app)
    evil = await services.start("evil")
    await services.see(orders, "evil")
    await services.see(evil, "orders")
    text = own(evil).token("orders.service_id.asab", resources)
    message = await refused(verifier(orders), text, Reason.EXCESSIVE)
    assert "evil-1" in message
    assert excess in message
    async with evil.session(auth="internal", resources=resources) as session:
        for path in ("/", "/admin"):
            async with session.get(f"{ORDERS}{path}") as response:
                assert response.status == 401


async def test_a_listed_instance_may_be_a_superuser(services):
    orders = await services.start("orders", app)
    admin = await services.start("admin")
    await services.see(orders, "admin")
    await services.see(admin, "orders")
    async with (
        admin.session(auth="internal", resources={"*": [SUPERUSER]}) as session,
        session.get(f"{ORDERS}/admin") as response,
    ):
        assert response.status == 200


@pytest.mark.parametrize(
    ("allow", "resources", "allowed"),
    [
        ({"shop-*": {"*": ["orders:*"]}}, {"*": ["orders:read"]}, True),
        ({"Shop-1": {"*": ["orders:*"]}}, {"*": ["orders:read"]}, True),
        ({"shop-2": {"*": ["orders:*"]}}, {"*": ["orders:read"]}, False),
        ({"shop": {"*": ["orders:*"]}}, {"*": ["orders:read"]}, False),
        ({"shop-*": {"*": ["orders:*"]}}, {"acme": ["orders:read"]}, True),
        ({"shop-*": {"acme": ["orders:*"]}}, {"acme": ["orders:read"]}, True),
        ({"shop-*": {"acme": ["orders:*"]}}, {"acme": []}, True),
        ({"shop-*": {"acme": ["orders:*"]}}, {"other": []}, False),
        ({"shop-*": {"acme": ["orders:*"]}}, {"other": ["orders:read"]}, False),
        ({"shop-*": {"acme": ["orders:*"]}}, {"*": ["orders:read"]}, False),
        ({"shop-*": {"*": ["orders:read"]}}, {"*": ["orders:read", "orders:write"]}, False),
        ({"shop-*": {"*": ["orders:read"]}, "*": {"*": ["orders:write"]}}, {"*": ["orders:write"]}, True),
        ({"shop-*": {"*": ["*"]}}, {"*": ["anything"]}, True),
        ({"shop-*": {"*": ["*"]}}, {"*": [SUPERUSER]}, False),
        ({"shop-*": {"*": ["authz:*", "authz:superuse[r]"]}}, {"*": [SUPERUSER]}, False),
        ({"shop-*": {"*": [SUPERUSER]}}, {"*": [SUPERUSER]}, True),
        ({"shop-*": {"*": ["orders:*"]}}, {}, True),
        ({}, {}, True),
        ({}, {"*": ["orders:read"]}, False),
    ],
)
def test_the_rules_of_an_allowance(allow, resources, allowed):
    if allowed:
        Allowance(allow).check("shop-1", resources)
        return
    with pytest.raises(TokenRefusedError) as caught:
        Allowance(allow).check("shop-1", resources)
    assert caught.value.reason == Reason.EXCESSIVE


@pytest.mark.parametrize(
    "allow", [{"shop-1": ["orders:*"]}, {"shop-1": {"*": "orders:*"}}, {"shop-1": {"*": [5]}}, ["shop-1"]]
)
def test_an_allowance_of_another_shape_is_an_error(allow):
    with pytest.raises(ConfigurationError, match="gateway"):
        Allowance(allow)


# Which instance a token speaks for


async def test_an_instance_cannot_speak_for_another(services):
    orders, shop, thief = [await services.start(name) for name in ("orders", "shop", "thief")]
    await services.see(orders, "shop", "thief")
    verify = verifier(orders)
    now = int(time.time())
    good = contents(own(thief).token("orders.service_id.asab", READ))
    assert (await verify.verify(sign(thief, good))).issuer == "http://thief-1.instance_id.asab"
    for issuer in (SHOP, "http://orders-1.instance_id.asab", "http://unknown-1.instance_id.asab"):
        with pytest.raises(TokenRefusedError):
            await verify.verify(sign(thief, good | {"iss": issuer, "sub": issuer, "azp": issuer, "iat": now}))
    # With the name of the other key in the header.
    key = own(shop).public
    forged = PrivateKey.read(
        json.dumps({**json.loads(own(thief)._key.write()), "kid": key.kid}).encode()
    ).sign(good | {"iss": SHOP})
    assert read_token(forged).kid == key.kid
    await refused(verify, forged, Reason.SIGNATURE)


@pytest.mark.parametrize("claim", ["sub", "azp"])
@pytest.mark.parametrize("value", ["http://admin-1.instance_id.asab", "", None, ...])
async def test_subject_and_authorized_party_are_the_issuer(services, claim, value):
    """Handlers may go by any of the three."""
    orders, shop = await services.start("orders"), await services.start("shop")
    await services.see(orders, "shop")
    good = contents(own(shop).token("orders.service_id.asab", READ))
    assert good["sub"] == good["azp"] == good["iss"]
    forged = {name: each for name, each in (good | {claim: value}).items() if each is not ...}
    await refused(verifier(orders), sign(shop, forged), Reason.ISSUER)


@pytest.mark.parametrize(
    "issuer",
    [
        "http://shop.service_id.asab",
        "https://shop-1.instance_id.asab",
        "http://SHOP-1.instance_id.asab",
        "http://shop-1.instance-id.asab",
        "http://shop-1.instance_id.asab/",
        "shop-1.instance_id.asab",
        "http://asab",
        "http://x.asab",
        "",
        None,
        5,
    ],
)
async def test_an_issuer_is_an_instance_spelled_in_one_way(services, issuer):
    orders, shop = await services.start("orders"), await services.start("shop")
    await services.see(orders, "shop")
    good = contents(own(shop).token("orders.service_id.asab", READ))
    await refused(verifier(orders), sign(shop, good | {"iss": issuer}), Reason.UNKNOWN_KEY)


@pytest.mark.parametrize("ephemeral", [True, False])
async def test_a_record_that_no_process_owns_speaks_for_no_instance(ephemeral):
    """As a node that was left by hand."""
    tokens, directory = InstanceTokens(lambda: identity("shop")), Directory()
    record = {"instance_id": "shop-1", "host": "x", "peerage": {"auth_key": tokens.public.as_dict()}}
    directory.put(Record("App.1", json.dumps(record).encode(), 1, ephemeral))
    verify = Verifier([], internal=keys_in(directory))
    text = tokens.token("orders.service_id.asab", READ)
    if ephemeral:
        await verify.verify(text)
    else:
        await refused(verify, text, Reason.UNKNOWN_KEY)


def keys_in(directory):
    """The keys in *directory*, as the service ``orders`` has them."""
    return InstanceKeys(
        SimpleNamespace(directory=directory, ready=True),
        names=lambda: {("service_id", "orders")},
        allowance=Allowance(ALLOW),
    )


@pytest.mark.parametrize(
    "ids",
    [
        {"discovery": {"instance_id": ["thief-1", "shop-1"]}},
        {"discovery": {"instance-id": ["shop-1"], "instance_id": ["thief-1"]}},
    ],
)
async def test_a_record_with_several_instance_ids_speaks_for_none_of_them(services, ids):
    orders = await services.start("orders")
    thief = InstanceTokens(lambda: identity("shop"))
    record = {"host": "x", "peerage": {"auth_key": thief.public.as_dict()}, **ids}
    orders.registry.advertise("Thief", json.dumps(record).encode())
    await services.see(orders, "shop", "thief")
    text = thief.token("orders.service_id.asab", READ)
    await refused(verifier(orders), text, Reason.UNKNOWN_KEY)


async def test_records_of_dead_processes_dont_hide_the_live_one():
    tokens, directory = InstanceTokens(lambda: identity("shop")), Directory()
    for position in range(20):
        issuer = tokens if position == 19 else InstanceTokens(lambda: identity("shop"))
        record = {
            "instance_id": "shop-1",
            "host": f"node-{position}",
            "web": [["0.0.0.0", 80]],
            "peerage": {"auth_key": issuer.public.as_dict()},
        }
        directory.put(Record(f"App.{position}", json.dumps(record).encode(), position, ephemeral=True))
    verify = Verifier([], internal=keys_in(directory))
    await verify.verify(tokens.token("orders.service_id.asab", READ))


# What can't be


async def test_options_that_cant_work_are_an_error_at_once(services, tmp_path):
    shop = await services.start("shop")
    for resources in (None, {"*": "orders:read"}):
        with pytest.raises(ConfigurationError, match="resources"):
            shop.session(auth="internal", resources=resources)
    with pytest.raises(ConfigurationError, match="allow="):
        shop.auth.verifier()
    async with Discovery(f"memory:{tmp_path.name}", identity=identity("shop")) as other:
        with pytest.raises(ConfigurationError, match="authorization='instance'"):
            other.session(auth="internal", resources=READ)
        with pytest.raises(ConfigurationError, match="authorization='instance'"):
            other.auth.verifier(allow=ALLOW)
    async with Discovery(f"memory:{tmp_path.name}", identity=identity("x"), authorization="x") as unknown:
        with pytest.raises(ConfigurationError, match="'cluster' or 'instance'"):
            await unknown.advertise()


async def test_cluster_tokens_are_refused_here(services):
    orders, shop = await services.start("orders"), await services.start("shop")
    await services.see(orders, "shop")
    text = await shop.auth.cluster_tokens().token()
    assert contents(text)["resources"] == {"*": [SUPERUSER]}
    with pytest.raises(TokenRefusedError):
        await verifier(orders).verify(text)


async def test_a_token_goes_to_services_only(services, caplog):
    """Another host gets none, and is no error of authorization."""
    shop = await services.start("shop")
    async with shop.session(auth="internal", resources=READ) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get("http://127.0.0.1:1/")
    assert "No authorization is sent" in caplog.text
