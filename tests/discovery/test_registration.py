"""What becomes of a record after it was advertised."""

import asyncio
import logging

import pytest

from peerage import Discovery, Identity
from peerage.errors import RecordError, RegistryClosedError, RegistryDeniedError
from peerage.testing import eventually
from peerage.testing.waiting import begun


async def record_of(registration, discovery) -> dict:
    name = await registration.registered()
    return (await eventually(lambda: discovery.directory.get(name))).record()


async def test_an_update_is_in_place(discovery, observer, seen):
    """The record keeps its name, and what isn't given stays."""
    registration = await discovery.advertise(port=80, ids={"shard": 1}, extra={"a": 1})
    name = registration.name
    registration.update(ids={"shard": [2]})
    assert await registration.registered() == name
    await seen(observer, lambda found: found and found[0].id("shard") == "2")
    registration.update(extra={"b": 1})
    (instance,) = await seen(observer, lambda found: "b" in found[0].record())
    assert instance.name == name
    assert instance.id("shard") == "2"
    assert "a" not in instance.record()
    registration.update(ids={})
    await seen(observer, lambda found: found[0].id("shard") is None)


async def test_everything_of_a_record_can_be_changed(discovery):
    """An update can set the sockets, the scheme, the weight and the identity; the nonce stays."""
    registration = discovery.register(ids={"a": [1]})
    before = await record_of(registration, discovery)
    name = registration.name
    assert "web" not in before
    registration.update(web=[("0.0.0.0", 80)], scheme="https", weight=3)
    await eventually(lambda: discovery.directory.get(name).urls)
    registration.update(identity=Identity(host="127.0.0.1", service_id="other"))
    await eventually(lambda: discovery.directory.get(name).service_id == "other")
    record = discovery.directory.get(name).record()
    assert registration.name == name
    assert record["web"] == [["0.0.0.0", 80]]
    assert (record["peerage"]["scheme"], record["peerage"]["weight"]) == ("https", 3)
    assert record["peerage"]["nonce"] == before["peerage"]["nonce"]
    assert record["discovery"] == {"a": [1], "service_id": ["other"]}
    assert "instance_id" not in record
    registration.update()
    assert await registration.registered() == name


@pytest.mark.parametrize(
    ("wrong", "error"),
    [({"ids": {"a.b": 1}}, RecordError), ({"extra": {"x": "x" * 70_000}}, RegistryDeniedError)],
)
async def test_a_refused_update_changes_nothing(discovery, observer, seen, wrong, error):
    """The record stays as it was, and the next update starts from it."""
    registration = await discovery.advertise(port=80, ids={"shard": 1})
    with pytest.raises(error):
        registration.update(**wrong)
    registration.update(extra={"ok": True})
    (instance,) = await seen(observer, lambda found: found and "ok" in found[0].record())
    assert instance.id("shard") == "1"


async def test_an_expired_session_brings_the_record_back(registry, discovery, observer, seen):
    """It comes back once, under another name."""
    registration = await discovery.advertise(port=80)
    first = registration.name
    registry.expire()
    found = await seen(observer, lambda found: [one.name for one in found] not in ([], [first]))
    assert [one.name for one in found] == [registration.name]
    assert registration.name != first


async def test_its_records_are_known_by_all_their_names(registry, discovery):
    """Names of earlier sessions stay known, also after the withdrawal."""
    registration = await discovery.advertise(port=80)
    first = registration.name
    registry.expire()
    second = await registration.registered()
    await registration.withdraw()
    assert first != second
    assert set(discovery.own_records()) == {first, second}


async def test_a_withdrawal_is_for_good(registry, discovery, observer, seen):
    """A second one is no error, a reconnect doesn't bring the record back, an update is refused."""
    registration = await discovery.advertise(port=80, ids={"shard": 1})
    await seen(observer)
    await registration.withdraw()
    await registration.withdraw()
    registry.expire()
    await seen(observer, lambda found: not found)
    assert registration.name is None
    assert ("shard", "1") not in discovery.own_ids()
    with pytest.raises(RegistryClosedError):
        registration.update(ids={"a": 1})
    with pytest.raises(RegistryClosedError):
        await registration.registered()


async def test_draining_is_published_before_the_withdrawal(discovery, observer, seen):
    """Others read that it drains, with its ids and fields, and later that it is gone."""
    registration = await discovery.advertise(port=80, ids={"shard": 1})
    await seen(observer)
    draining = asyncio.create_task(registration.drain(lame_duck=0.05))
    (instance,) = await seen(observer, lambda found: found and found[0].draining)
    assert instance.id("shard") == "1"
    await seen(observer, lambda found: not found)
    await draining


async def test_all_records_drain_together(discovery, observer, seen):
    """A Discovery drains what it has advertised, each record as its registration does."""
    for port in (80, 81):
        await discovery.advertise(port=port)
    draining = asyncio.create_task(discovery.drain(lame_duck=0.05))
    await seen(observer, lambda found: len(found) == 2 and all(each.draining for each in found))
    await seen(observer, lambda found: not found)
    await draining
    await discovery.drain(lame_duck=3600)  # there is nothing to wait for any more


async def test_an_update_while_it_drains_keeps_the_state(discovery, observer, seen):
    """A service that goes on to update its record isn't called again."""
    registration = await discovery.advertise(port=80)
    draining = asyncio.create_task(registration.drain(lame_duck=3600))
    await seen(observer, lambda found: found and found[0].draining)
    registration.update(extra={"load": 1})
    (instance,) = await seen(observer, lambda found: "load" in found[0].record())
    assert instance.draining
    draining.cancel()
    await asyncio.wait([draining])


async def test_a_cancelled_drain_withdraws_at_once(discovery, observer, seen):
    """An impatient supervisor leaves no record behind."""
    registration = await discovery.advertise(port=80)
    draining = asyncio.create_task(registration.drain(lame_duck=3600))
    await seen(observer, lambda found: found and found[0].draining)
    draining.cancel()
    with pytest.raises(asyncio.CancelledError):
        await draining
    await seen(observer, lambda found: not found)


async def test_a_drain_that_cant_be_published_withdraws(discovery, observer, seen, caplog):
    """The record has no room for the state, or is withdrawn already."""
    registration = await discovery.advertise(port=80)
    (instance,) = await seen(observer)
    room = 64 * 1024 - len(instance.data)
    registration.update(extra={"x": "x" * (room - len(',"x":""'))})
    await registration.drain(lame_duck=3600)
    assert "without draining" in caplog.text
    await seen(observer, lambda found: not found)
    await registration.drain(lame_duck=3600)


async def test_a_drain_that_cant_be_heard_is_logged(registry, discovery, caplog):
    """The registry is out of reach, so callers go on to choose the instance until it refuses."""
    registration = await discovery.advertise(port=80)
    name = registration.name
    registry.lose()
    await registration.drain(lame_duck=0.01)
    assert f"Callers may not know that {name} drains" in caplog.text


async def test_a_record_that_was_never_there_is_not_drained(registry, discovery):
    """It has no callers. A service that still waits for its registration goes on to its end."""
    registry.lose()
    advertising = await begun(discovery.advertise(port=80))
    await discovery.drain(lame_duck=3600)
    assert (await advertising).draining


async def test_a_record_that_is_being_created_is_drained(tmp_path, seen):
    """Others may find it before its own process hears that it is there."""
    url = f"embedded://{tmp_path}/registry"
    async with Discovery(url, service_id="orders") as discovery, Discovery(url) as observer:
        await observer.ready()
        registration = discovery.register(port=80)
        assert registration.name is None
        draining = asyncio.create_task(registration.drain(lame_duck=3600))
        await seen(observer, lambda found: found and found[0].draining)
        draining.cancel()
        await asyncio.wait([draining])


async def test_each_step_is_in_the_log(registry, discovery, caplog):
    """One line each says: advertised, updated, advertised again after a lost session, draining, withdrawn."""
    caplog.set_level(logging.INFO, logger="peerage.registration")
    registration = await discovery.advertise(port=80, ids={"shard": list(range(20))})
    first = registration.name
    registration.update(ids={"shard": 1}, weight=2)
    registration.update(extra={"load": 0.5})
    registration.update(weight=2)
    registry.expire()
    second = await registration.registered()
    await registration.drain(lame_duck=0)
    url, ids, where = registry.url, "instance_id=1 service_id=orders", "http://node-1:80"
    shards = "shard=0 shard=1 shard=2 shard=3 shard=4 shard=5"
    lost = f"because the record {first} was lost,"
    assert caplog.messages == [
        f"Advertised as {first} in {url}: {ids} {shards} ... {where}",
        f"Updated {first}: {ids} shard=1 {where} weight 2",
        f"Advertised again as {second}, {lost} in {url}: {ids} shard=1 {where} weight 2",
        f"Updated {second}: {ids} shard=1 {where} weight 2 draining",
        f"Withdrawn: {second} from {url}",
    ]


async def test_control_characters_dont_reach_the_log(discovery, caplog):
    """An id may be any printable text; what a terminal could obey is escaped."""
    caplog.set_level(logging.INFO, logger="peerage.registration")
    await discovery.advertise(port=80, ids={"city": "žluť"})
    assert "city=\\u017elu\\u0165" in caplog.text
