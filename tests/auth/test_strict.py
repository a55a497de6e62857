"""A key for each instance: who speaks for whom, to whom, for how long."""

import json
import time
from contextlib import AsyncExitStack

import aiohttp
import pytest
from aiohttp import web

from peerage import (
    ConfigurationError,
    Discovery,
    KeysUnavailableError,
    NotReadyError,
    TokenRefusedError,
    read_identity,
)
from peerage.auth import SUPERUSER, PrivateKey, Reason, Verifier
from peerage.auth.jose import read_token
from peerage.auth.strict import InstanceAuthority, InstanceKeys
from peerage.auth.web import authorize, caller, require
from peerage.directory import Directory
from peerage.registry import Record
from peerage.testing import eventually

READ = {"*": ["orders:read"]}
ORDERS = "http://orders.service_id.asab"


def identity(name, **more):
    return read_identity({"SERVICE_ID": name, "INSTANCE_ID": f"{name}-1", **more})


def contents(text):
    return json.loads(read_token(text).payload)


class Services:
    """Services on one registry, all in strict mode."""

    def __init__(self, url, stack):
        self.url = url
        self.stack = stack

    async def start(self, name, app=None, **kwargs):
        """A service that is advertised, and serves *app* if there is one."""
        discovery = await self.stack.enter_async_context(
            Discovery(self.url, identity=kwargs.pop("identity", identity(name)), authorization="instance")
        )
        web_places = None
        if app is not None:
            runner = web.AppRunner(app(discovery), shutdown_timeout=0.1)
            await runner.setup()
            self.stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            web_places = [("127.0.0.1", runner.addresses[0][1])]
        await discovery.advertise(web=web_places, **kwargs)
        return discovery

    async def see(self, discovery, *names):
        """Wait until *discovery* knows all of them."""
        await eventually(
            lambda: all(discovery.directory.find((("instance_id", f"{name}-1"),)) for name in names)
        )
        return discovery


@pytest.fixture
async def services(tmp_path):
    async with AsyncExitStack() as stack:
        yield Services(f"memory:strict-{tmp_path.name}", stack)


def own(discovery):
    return discovery.auth._own


async def refused(verifier, text, reason):
    with pytest.raises(TokenRefusedError) as caught:
        await verifier.verify(text)
    assert caught.value.reason == reason


def app(discovery):
    @require("orders:read")
    async def read(_):
        return web.json_response({"iss": caller().issuer, "superuser": caller().superuser})

    @require("orders:write")
    async def write(_):
        return web.Response()

    made = web.Application(middlewares=[authorize(discovery.auth.verifier())])
    made.router.add_get("/", read)
    made.router.add_post("/", write)
    return made


async def test_a_service_is_called_with_what_the_caller_chose(services):
    orders = await services.start("orders", app, ids={"shard": [7]})
    shop = await services.start("shop")
    await services.see(orders, "shop")
    await services.see(shop, "orders")
    async with shop.session(auth="internal", resources=READ) as session:
        for host in ("orders.service_id.asab", "ORDERS-1.instance-id.asab", "7.shard.asab"):
            async with session.get(f"http://{host}/") as response:
                assert response.status == 200
                assert await response.json() == {"iss": "http://shop-1.instance_id.asab", "superuser": False}
        async with session.post(f"{ORDERS}/") as response:
            assert response.status == 403
    async with shop.session() as session, session.get(f"{ORDERS}/") as response:
        assert response.status == 401


async def test_the_key_is_in_the_record_and_its_secret_isnt(services):
    shop = await services.start("shop")
    record = (await services.see(shop, "shop")).directory.find((("instance_id", "shop-1"),))[0].record()
    assert record["peerage"]["auth_key"] == own(shop).public.as_dict()
    assert "d" not in record["peerage"]["auth_key"]


async def test_a_shared_cluster_has_no_keys_in_its_records(tmp_path):
    async with Discovery(f"memory:{tmp_path.name}", identity=identity("shop")) as shop:
        await shop.advertise()
        await shop.ready()
        (instance,) = shop.directory.find()
        assert "auth_key" not in instance.record()["peerage"]


async def test_nobody_speaks_for_another(services):
    orders, shop, thief = [await services.start(name) for name in ("orders", "shop", "thief")]
    await services.see(orders, "shop", "thief")
    verifier = orders.auth.verifier()
    now = int(time.time())
    good = contents(own(thief).token("orders.service_id.asab", READ))
    assert (await verifier.verify(own(thief)._key.sign(good))).issuer == "http://thief-1.instance_id.asab"
    for issuer in (
        "http://shop-1.instance_id.asab",
        "http://orders-1.instance_id.asab",
        "http://nobody-1.instance_id.asab",
    ):
        with pytest.raises(TokenRefusedError):
            await verifier.verify(own(thief)._key.sign(good | {"iss": issuer, "iat": now}))
    # With the name of the other's key in the header.
    key = own(shop).public
    forged = PrivateKey.read(
        json.dumps({**json.loads(own(thief)._key.write()), "kid": key.kid}).encode()
    ).sign(good | {"iss": "http://shop-1.instance_id.asab"})
    assert read_token(forged).kid == key.kid
    await refused(verifier, forged, Reason.SIGNATURE)


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
    ],
)
async def test_an_issuer_is_an_instance_spelled_in_one_way(services, issuer):
    orders, shop = await services.start("orders"), await services.start("shop")
    await services.see(orders, "shop")
    good = contents(own(shop).token("orders.service_id.asab", READ))
    verifier = orders.auth.verifier()
    await refused(verifier, own(shop)._key.sign(good | {"iss": issuer}), Reason.UNKNOWN_KEY)
    await refused(verifier, own(shop)._key.sign({**good, "iss": 5}), Reason.UNKNOWN_KEY)


async def test_a_token_is_for_whom_it_is_for(services):
    """Who receives one can't use it elsewhere."""
    orders, users, shop = [await services.start(name) for name in ("orders", "users", "shop")]
    await services.see(orders, "shop")
    await services.see(users, "shop")
    text = own(shop).token("orders.service_id.asab", READ)
    await orders.auth.verifier().verify(text)
    await refused(users.auth.verifier(), text, Reason.AUDIENCE)
    good = contents(text)
    for audience in (None, [], "http://node", ["http://users.service_id.asab"]):
        await refused(orders.auth.verifier(), own(shop)._key.sign(good | {"aud": audience}), Reason.AUDIENCE)


async def test_a_token_lives_shortly(services):
    orders, shop = await services.start("orders"), await services.start("shop")
    await services.see(orders, "shop")
    good = contents(own(shop).token("orders.service_id.asab", READ))
    assert good["exp"] - good["iat"] == 120
    await refused(
        orders.auth.verifier(), own(shop)._key.sign(good | {"exp": good["iat"] + 301}), Reason.CLAIMS
    )


async def test_a_key_goes_with_its_instance(services):
    """Also for a token that was verified before."""
    orders, shop = await services.start("orders"), await services.start("shop")
    await services.see(orders, "shop")
    verifier = orders.auth.verifier()
    text = own(shop).token("orders.service_id.asab", READ)
    await verifier.verify(text)
    await shop.aclose()
    await eventually(lambda: not orders.directory.find((("instance_id", "shop-1"),)))
    await refused(verifier, text, Reason.UNKNOWN_KEY)


async def test_a_restarted_instance_has_another_key(services):
    orders, shop = await services.start("orders"), await services.start("shop")
    await services.see(orders, "shop")
    old = own(shop).token("orders.service_id.asab", READ)
    await shop.aclose()
    again = await services.start("shop")
    await eventually(
        lambda: (
            [
                each.record()["peerage"]["auth_key"]
                for each in orders.directory.find((("instance_id", "shop-1"),))
            ]
            == [own(again).public.as_dict()]
        )
    )
    verifier = orders.auth.verifier()
    await verifier.verify(own(again).token("orders.service_id.asab", READ))
    with pytest.raises(TokenRefusedError):
        await verifier.verify(old)


@pytest.mark.parametrize(
    "key", ["nonsense", None, 5, [], {}, {"kty": "oct", "k": "c2VjcmV0"}, {"kty": "EC", "crv": []}]
)
async def test_a_record_with_a_bad_key_is_known_without_one(services, key):
    orders = await services.start("orders")
    record = {"instance_id": "shop-1", "host": "x", "peerage": {"auth_key": key}}
    orders.registry.advertise("Forged", json.dumps(record).encode())
    await services.see(orders, "shop")
    good = contents(InstanceAuthority(lambda: identity("shop")).token("orders.service_id.asab", READ))
    await refused(orders.auth.verifier(), PrivateKey.generate().sign(good), Reason.UNKNOWN_KEY)


@pytest.mark.parametrize("owned", [True, False])
async def test_a_record_of_no_process_speaks_for_nobody(owned):
    """As a node that somebody has left by hand."""
    authority, directory = InstanceAuthority(lambda: identity("shop")), Directory()
    record = {"instance_id": "shop-1", "host": "x", "peerage": {"auth_key": authority.public.as_dict()}}
    directory.put(Record("App.1", json.dumps(record).encode(), 1, owned))

    async def ready():
        pass

    keys = InstanceKeys(directory, ready=ready, is_ready=lambda: True, names=lambda: {ORDERS})
    text = authority.token("orders.service_id.asab", READ)
    if owned:
        await Verifier([keys]).verify(text)
    else:
        await refused(Verifier([keys]), text, Reason.UNKNOWN_KEY)


@pytest.mark.parametrize(
    "ids",
    [
        {"discovery": {"instance_id": ["thief-1", "shop-1"]}},
        {"discovery": {"instance-id": ["shop-1"], "instance_id": ["thief-1"]}},
    ],
)
async def test_a_record_with_several_instance_ids_speaks_for_none_of_them(services, ids):
    """Ids of one's own choice may come from anywhere."""
    orders = await services.start("orders")
    thief = InstanceAuthority(lambda: identity("shop"))
    record = {"host": "x", "peerage": {"auth_key": thief.public.as_dict()}, **ids}
    orders.registry.advertise("Thief", json.dumps(record).encode())
    await services.see(orders, "shop", "thief")
    text = thief.token("orders.service_id.asab", READ)
    await refused(orders.auth.verifier(), text, Reason.UNKNOWN_KEY)


async def test_records_of_processes_that_died_do_not_hide_the_living_one():
    authority, directory = InstanceAuthority(lambda: identity("shop")), Directory()
    for number in range(20):
        own_key = authority if number == 19 else InstanceAuthority(lambda: identity("shop"))
        record = {
            "instance_id": "shop-1",
            "host": f"node-{number}",
            "web": [["0.0.0.0", 80]],
            "peerage": {"auth_key": own_key.public.as_dict()},
        }
        directory.put(Record(f"App.{number}", json.dumps(record).encode(), number, ephemeral=True))

    async def ready():
        pass

    keys = InstanceKeys(directory, ready=ready, is_ready=lambda: True, names=lambda: {ORDERS})
    await Verifier([keys]).verify(authority.token("orders.service_id.asab", READ))


async def test_before_the_registry_was_read_nobody_can_be_told():
    async def ready():
        raise NotReadyError("not read")

    keys = InstanceKeys(Directory(), ready=ready, is_ready=lambda: False, names=set)
    text = InstanceAuthority(lambda: identity("shop")).token("orders.service_id.asab", READ)
    with pytest.raises(KeysUnavailableError, match="not read"):
        await Verifier([keys]).verify(text)


def test_tokens_are_made_once_a_minute_for_each_audience():
    now = [1_800_000_000.0]
    authority = InstanceAuthority(lambda: identity("shop"), clock=lambda: now[0])
    first = authority.token("orders.service_id.asab", READ)
    assert authority.token("Orders.service-id.asab.", READ) == first
    assert authority.token("users.service_id.asab", READ) != first
    assert authority.token("orders.service_id.asab", {"*": []}) != first
    now[0] += 59
    assert authority.token("orders.service_id.asab", READ) == first
    now[0] += 2
    assert contents(authority.token("orders.service_id.asab", READ))["exp"] - now[0] >= 119
    for number in range(3000):
        authority.token(f"o-{number}.service_id.asab", READ)
    assert len(authority._tokens) <= 1024


def test_an_instance_has_a_name():
    authority = InstanceAuthority(lambda: read_identity({"SERVICE_ID": "shop"}))
    with pytest.raises(ConfigurationError, match="INSTANCE_ID"):
        authority.token("orders.service_id.asab", READ)
    assert "_key" not in repr(authority)


async def test_what_cant_be_is_told_at_once(services, tmp_path):
    shop = await services.start("shop")
    with pytest.raises(ConfigurationError, match="resources"):
        shop.session(auth="internal")
    async with Discovery(f"memory:{tmp_path.name}", identity=identity("shop")) as shared:
        with pytest.raises(ConfigurationError, match="authorization='instance'"):
            shared.session(auth="internal", resources=READ)
    async with Discovery(f"memory:{tmp_path.name}", identity=identity("x"), authorization="x") as unknown:
        with pytest.raises(ConfigurationError, match="'shared' or 'instance'"):
            await unknown.advertise()


async def test_the_shared_key_is_worth_nothing_here(services):
    orders, shop = await services.start("orders"), await services.start("shop")
    await services.see(orders, "shop")
    text = await shop.auth.internal().token()
    assert contents(text)["resources"] == {"*": [SUPERUSER]}
    with pytest.raises(TokenRefusedError):
        await orders.auth.verifier().verify(text)


async def test_a_token_goes_to_services_only(services, caplog):
    """Another host gets none; one that is no service is no error of authorization."""
    shop = await services.start("shop")
    async with shop.session(auth="internal", resources=READ) as session:
        with pytest.raises(aiohttp.ClientError):
            await session.get("http://127.0.0.1:1/")
    assert "No authorization is sent" in caplog.text
