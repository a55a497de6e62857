"""Keys of instances: where they are found, for how long, and for which service a token is."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from tests.auth.instances import (
    ALLOW,
    READ,
    contents,
    identity,
    own,
    refused,
    sign,
    verifier,
)
from tests.auth.support import jwk, number, token

from peerage import ConfigurationError, KeysUnavailableError, TokenRefusedError, read_identity
from peerage.auth import Reason, Verifier
from peerage.auth.allowance import Allowance
from peerage.auth.instance_tokens import InstanceKeys, InstanceTokens
from peerage.directory import Directory
from peerage.membership import Membership
from peerage.registry import open_registry
from peerage.testing import eventually

# Keys in records


def slow_key():
    """An RSA key that is valid and takes a hundred times as long as others, because of its exponent."""
    numbers = rsa.generate_private_key(65537, 3072).public_key().public_numbers()
    return {"kty": "RSA", "n": number(numbers.n), "e": number((1 << 3070) + 1)}


@pytest.mark.parametrize(
    "key",
    [
        *("nonsense", None, 5, [], {}, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "EC", "crv": []}),
        jwk("RS256"),
        jwk("ES512"),
        slow_key(),
    ],
)
async def test_a_record_has_a_key_of_p256_or_none(services, key):
    """Any other could be made so that each bad token of an anonymous caller takes long to verify."""
    orders = await services.start("orders")
    record = {"instance_id": "shop-1", "host": "x", "peerage": {"auth_key": key}}
    orders.registry.advertise("Forged", json.dumps(record).encode())
    await services.see(orders, "shop")
    good = contents(InstanceTokens(lambda: identity("shop")).token("orders.service_id.asab", READ))
    verify = verifier(orders)
    for algorithm in ("ES256", "ES512", "RS256"):
        text = token(good, alg=algorithm, name="first", kid=None)
        await refused(verify, text, Reason.UNKNOWN_KEY)


async def test_a_key_is_gone_with_its_instance(services):
    """A token that was accepted before is refused as well."""
    orders, shop = await services.start("orders"), await services.start("shop")
    await services.see(orders, "shop")
    verify = verifier(orders)
    text = own(shop).token("orders.service_id.asab", READ)
    await verify.verify(text)
    await shop.aclose()
    await eventually(lambda: not orders.directory.find((("instance_id", "shop-1"),)))
    await refused(verify, text, Reason.UNKNOWN_KEY)


async def test_a_restarted_instance_has_another_key(services):
    orders, shop = await services.start("orders"), await services.start("shop")
    await services.see(orders, "shop")
    old = own(shop).token("orders.service_id.asab", READ)
    await shop.aclose()
    again = await services.start("shop")

    def published():
        found = orders.directory.find((("instance_id", "shop-1"),))
        return [each.record()["peerage"]["auth_key"] for each in found]

    await eventually(lambda: published() == [own(again).public.as_dict()])
    verify = verifier(orders)
    await verify.verify(own(again).token("orders.service_id.asab", READ))
    with pytest.raises(TokenRefusedError):
        await verify.verify(old)


async def test_before_the_registry_was_read_a_token_is_neither_accepted_nor_refused(tmp_path):
    registry = open_registry(f"memory:{tmp_path.name}")
    membership = Membership(registry, Directory(), ready_timeout=0)
    keys = InstanceKeys(membership, names=set, allowance=Allowance(ALLOW))
    text = InstanceTokens(lambda: identity("shop")).token("orders.service_id.asab", READ)
    with pytest.raises(KeysUnavailableError, match="wasn't read"):
        await Verifier([], internal=keys).verify(text)
    await membership.aclose()
    await registry.aclose()


# To which service, for how long


async def test_a_token_is_for_one_service(services):
    """The service that receives it can't use it elsewhere."""
    orders, users, shop = [await services.start(name) for name in ("orders", "users", "shop")]
    await services.see(orders, "shop")
    await services.see(users, "shop")
    text = own(shop).token("orders.service_id.asab", READ)
    await verifier(orders).verify(text)
    await refused(verifier(users), text, Reason.AUDIENCE)
    good = contents(text)
    for audience in (None, [], "http://node", ["http://users.service_id.asab"]):
        await refused(verifier(orders), sign(shop, good | {"aud": audience}), Reason.AUDIENCE)


async def test_a_token_for_a_name_that_was_given_up_is_refused(services):
    """A token that was accepted before is refused as well."""
    orders, shop = await services.start("orders"), await services.start("shop")
    registration = await orders.advertise(ids={"shard": [7]})
    await services.see(orders, "shop")
    verify = verifier(orders)
    text = own(shop).token("7.shard.asab", READ)
    await verify.verify(text)
    await registration.withdraw()
    await refused(verify, text, Reason.AUDIENCE)


async def test_a_token_is_valid_for_two_minutes_and_never_for_more_than_five(services):
    orders, shop = await services.start("orders"), await services.start("shop")
    await services.see(orders, "shop")
    good = contents(own(shop).token("orders.service_id.asab", READ))
    assert good["exp"] - good["iat"] == 120
    await refused(verifier(orders), sign(shop, good | {"exp": good["iat"] + 301}), Reason.CLAIMS)


def test_a_token_is_made_once_a_minute_for_each_audience():
    now = [1_800_000_000.0]
    tokens = InstanceTokens(lambda: identity("shop"), clock=lambda: now[0])
    first = tokens.token("orders.service_id.asab", READ)
    assert tokens.token("Orders.service-id.asab.", READ) == first
    assert tokens.token("users.service_id.asab", READ) != first
    assert tokens.token("orders.service_id.asab", {"*": []}) != first
    now[0] += 59
    assert tokens.token("orders.service_id.asab", READ) == first
    now[0] += 2
    assert contents(tokens.token("orders.service_id.asab", READ))["exp"] - now[0] >= 119
    for position in range(1100):
        tokens.token(f"o-{position}.service_id.asab", READ)
    assert len(tokens._tokens) <= 1024


def test_an_instance_token_needs_an_instance_id():
    tokens = InstanceTokens(lambda: read_identity({"SERVICE_ID": "shop"}))
    with pytest.raises(ConfigurationError, match="INSTANCE_ID"):
        tokens.token("orders.service_id.asab", READ)
    assert "_key" not in repr(tokens)
