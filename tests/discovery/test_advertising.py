"""Advertising a service."""

import asyncio
import math

import pytest

from peerage import Advert, Discovery, Identity, open_registry
from peerage.errors import ConfigurationError, RecordError, RegistryDeniedError
from peerage.records.identity import read_identity
from peerage.testing import begun, eventually


async def test_it_returns_once_others_can_find_it(discovery, observer, seen):
    """They find it by each of its ids, in any spelling."""
    registration = await discovery.advertise(port=8080, ids={"shard": [1, 2]})
    assert registration.name
    assert registration.name.startswith("Application.")
    await seen(observer)
    for ids in ({"service_id": "orders"}, {"instance_id": "1"}, {"shard": 2}, {"service-id": "ORDERS"}):
        assert await observer.locate(ids) == {"http://node-1:8080"}


async def test_the_environment_is_read_at_each_advertisement(registry, observer, seen, monkeypatch):
    """A service may set its environment after the import and after the Discovery is made."""
    async with Discovery(registry) as discovery:
        for number in "12":
            monkeypatch.setenv("INSTANCE_ID", number)
            monkeypatch.setenv("ASAB_HOSTNAME", f"node-{number}")
            await discovery.advertise(port=80)
        await seen(observer, lambda found: len(found) == 2)
        assert await observer.locate(instance_id=1) == {"http://node-1:80"}
        assert await observer.locate(instance_id=2) == {"http://node-2:80"}


async def test_a_service_is_named_in_code(url, monkeypatch):
    """Arguments win over the environment and over an identity; what isn't given comes from these."""
    monkeypatch.setenv("SERVICE_ID", "from-environment")
    monkeypatch.setenv("NODE_ID", "node-7")
    async with Discovery(url, service_id="Orders", instance_id="orders-1") as discovery:
        ids = {("service_id", "orders"), ("instance_id", "orders-1"), ("node_id", "node-7")}
        assert discovery.own_ids() == ids
        registration = await discovery.advertise(port=80, ids={"shard": [1]})
        assert await discovery.locate(service_id="orders", node_id="node-7")
        assert not await discovery.locate(service_id="from-environment")
        assert discovery.own_ids() == ids | {("shard", "1")}
        await registration.withdraw()
        assert discovery.own_ids() == ids
    identity = Identity(host="node-1", service_id="me", instance_id="me-1")
    async with Discovery(url, identity=identity, service_id="you") as discovery:
        assert discovery.own_ids() == {("service_id", "you"), ("instance_id", "me-1")}
        assert (discovery.identity().service_id, discovery.identity().host) == ("you", "node-1")


async def test_everything_given_is_advertised(discovery, observer, seen):
    """The record has the sockets, the scheme, the class name, the weight and further fields."""
    await discovery.advertise(
        web=[("10.0.0.1", 443)], scheme="https", appclass="Orders", weight=3, extra={"version": "v1"}
    )
    (instance,) = await seen(observer)
    assert instance.urls == ("https://10.0.0.1:443",)
    assert instance.name.startswith("Orders.")
    assert instance.appclass == "Orders"
    assert instance.weight == 3
    assert instance.record()["version"] == "v1"


async def test_without_an_address_it_is_listed_but_not_called(discovery, observer, seen):
    """A worker that listens nowhere is such a service."""
    await discovery.advertise()
    await seen(observer)
    assert len(await observer.instances(service_id="orders")) == 1
    assert await observer.locate(service_id="orders") == set()


async def test_registering_returns_before_the_record_is_there(registry, discovery, observer, seen):
    """The record follows when the registry is back."""
    registry.lose()
    registration = discovery.register(port=80, appclass="Mine")
    assert registration.name is None
    registry.restore()
    (instance,) = await seen(observer)
    assert instance.name == await registration.registered()


@pytest.mark.parametrize(
    ("wrong", "error"),
    [
        ({"port": 0}, RecordError),
        ({"scheme": "ftp"}, RecordError),
        ({"ids": {"a.b": 1}}, RecordError),
        ({"extra": {"web": 1}}, RecordError),
        ({"port": 1, "web": [("0.0.0.0", 1)]}, ConfigurationError),
        ({"extra": {"x": "x" * 70_000}}, RegistryDeniedError),
        ({"appclass": "../x"}, RegistryDeniedError),
    ],
)
async def test_what_cant_be_advertised_is_refused_at_once(registry, discovery, wrong, error):
    """It isn't valid, or the registry doesn't take it; nothing of it is kept."""
    ids = discovery.own_ids()
    with pytest.raises(error):
        await discovery.advertise(**wrong)
    with pytest.raises(error):
        discovery.register(**wrong)
    registry.expire()  # brings back whatever is still to be advertised
    await discovery.ready()
    assert await discovery.instances() == []
    assert discovery.own_ids() == ids


async def test_a_service_without_a_name_is_warned_of(registry, caplog):
    """The warning says what to set; upper case in a service's name is another warning."""
    async with Discovery(registry, identity=Identity(host="node-1")) as discovery:
        await discovery.advertise(port=80)
    assert "SERVICE_ID" in caplog.text
    caplog.clear()
    async with Discovery(registry, identity=Identity(host="node-1", service_id="Orders")) as discovery:
        await discovery.advertise(port=80)
    assert "lower case" in caplog.text


async def test_a_service_that_cant_be_called_is_warned_of(url, caplog):
    """Loopback addresses can be called on one host only, and only if the identity says which one that is."""
    loopback = [("127.0.0.1", 80)]
    elsewhere = Identity(host="node-1", service_id="orders", host_key=None)
    async with Discovery(url) as discovery:
        await discovery.advertise(identity=elsewhere, web=loopback)
        assert "This service can't be called" in caplog.text
        assert "host_key" in caplog.text
        caplog.clear()
        await discovery.advertise(identity=elsewhere)
        await discovery.advertise(identity=read_identity({"SERVICE_ID": "orders"}), web=loopback)
        assert not caplog.messages


async def test_an_identity_made_by_hand_is_of_this_host(url):
    """A service on a loopback address can be called by it, whatever the name of its host."""
    async with Discovery(url, identity=Identity(host="localhost", service_id="orders")) as discovery:
        registration = await discovery.advertise(web=[("127.0.0.1", 80)])
        instance = await eventually(lambda: discovery.directory.get(registration.name))
        assert instance.callable
        assert instance.endpoints[0].address == "127.0.0.1"


async def test_in_an_outage_it_returns_at_once(registry, discovery, observer, seen):
    """The record is registered, as given last, when the registry is back."""
    await discovery.ready()
    registry.lose("the cable")
    registration = await discovery.advertise(port=80)
    assert registration.name is None
    registration.update(ids={"shard": 7})
    assert observer.directory.find() == []
    registry.restore()
    assert await registration.registered() == registration.name
    await seen(observer)
    assert await observer.locate(shard=7) == {"http://node-1:80"}


async def test_a_service_starts_in_an_outage(registry, observer, seen):
    """Neither entering nor advertising waits for a registry that is down."""
    registry.lose("not started")
    async with Discovery(registry, service_id="orders") as discovery:
        await discovery.advertise(port=80)
        assert discovery.stale == "not started"
        assert discovery.age == math.inf
        registry.restore()
        await discovery.ready()
        await seen(observer)


async def test_cancelling_it_leaves_nothing_behind(registry, discovery, observer, seen):
    """The record isn't registered after the next reconnect either."""
    await discovery.ready()
    registry.hang()
    advertising = await begun(discovery.advertise(port=80, ids={"shard": 1}))
    assert not advertising.done()
    advertising.cancel()
    with pytest.raises(asyncio.CancelledError):
        await advertising
    assert ("shard", "1") not in discovery.own_ids()
    registry.restore()
    await discovery.advertise(port=81)
    assert [instance.urls for instance in await seen(observer)] == [("http://node-1:81",)]


async def test_a_refusal_is_raised_each_time(tmp_path):
    """It is raised again when the follower knows already that the registry can't be used."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    async with Discovery(f"embedded://{folder}", service_id="orders") as discovery:
        for _ in range(2):
            with pytest.raises(RegistryDeniedError, match="700"):
                await discovery.advertise(port=80)
            await discovery.membership.wait_stale()


async def test_the_record_of_a_killed_process_is_gone(url, observer, seen):
    """Nothing was withdrawn by the process."""
    victim = open_registry(url)
    async with Discovery(victim, service_id="orders") as discovery:
        await discovery.advertise(port=80)
        await seen(observer)
        victim.kill()
        await seen(observer, lambda found: not found)
        assert await observer.locate(service_id="orders") == set()
        await discovery.membership.wait_stale()


async def test_several_services_of_one_process_share_a_discovery(discovery):
    """Each advert has an identity; the Discovery is called by the ids of all."""
    for name in ("stock", "billing"):
        await discovery.advertise(Advert(identity=Identity(host="node-1", service_id=name), port=80))
    assert await discovery.locate(service_id="stock") == {"http://node-1:80"}
    names = {value for key, value in discovery.own_ids() if key == "service_id"}
    assert names == {"orders", "stock", "billing"}
