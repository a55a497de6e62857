"""Finding services."""

import asyncio
import math
import socket

import pytest

from peerage import Discovery, Identity
from peerage.changes import Changed, Joined, Left
from peerage.errors import NotReadyError
from peerage.testing import begun, eventually


def identity(service, instance):
    return Identity(host="node-1", service_id=service, instance_id=instance)


@pytest.fixture
async def three(url, observer, seen):
    """Two instances of orders in shards 1 and 2, one of stock in shard 1."""
    async with Discovery(url) as discovery:
        for number, (service, shard) in enumerate([("orders", 1), ("orders", 2), ("stock", 1)]):
            await discovery.advertise(
                identity=identity(service, f"{service}-{number}"), port=8000 + number, ids={"shard": shard}
            )
        await seen(observer, lambda found: len(found) == 3)
        yield observer


async def test_none_matches_no_instance(three, discovery, seen):
    """An instance whose id is the text 'none' is no exception."""
    await discovery.advertise(identity=identity("None", "none"), port=9000, ids={"shard": "none"})
    await seen(three, lambda found: len(found) == 4)
    for key in ("service_id", "instance_id", "shard"):
        assert await three.locate({key: None}) == set()
        assert await three.locate({key: "NONE"}) == {"http://node-1:9000"}
        assert await three.instances({key: None}) == []
    assert await three.locate(service_id="orders", shard=None) == set()


async def test_all_criteria_must_match(three):
    """They are given as a dictionary, as keywords or both; without any, all instances match."""
    assert await three.locate({"service_id": "orders"}) == {"http://node-1:8000", "http://node-1:8001"}
    assert await three.locate(service_id="ORDERS", shard=1) == {"http://node-1:8000"}
    assert await three.locate({"service-id": "orders"}, shard="2") == {"http://node-1:8001"}
    assert await three.locate({"service_id": "stock", "shard": 2}) == set()
    assert len(await three.locate()) == len(await three.locate({})) == 3
    found = await three.instances(shard=1)
    assert sorted(str(one.service_id) for one in found) == ["orders", "stock"]


async def test_criteria_that_contradict_each_other_match_no_instance(three):
    """A key that is given twice, with different values, isn't taken from one of the two."""
    assert await three.locate({"service_id": "orders"}, service_id="orders")
    assert not await three.locate({"service_id": "orders"}, service_id="stock")


async def test_a_value_without_its_key_is_a_type_error(three):
    """The message says how to name the key."""
    for question in (three.locate, three.instances):
        with pytest.raises(TypeError, match=r"service_id='orders'"):
            await question("orders")


async def test_a_key_that_is_probably_misspelled_is_logged_once(three, caplog):
    """Another key that no instance has is valid, and matches no instance as well."""
    for _ in range(2):
        assert await three.locate(servce_id="orders") == set()
        assert await three.instances({"shards": 1}) == []
        assert await three.locate(colour="blue") == set()
        assert await three.locate(service_id="unknown") == set()
    assert caplog.messages == [
        "No instance has an id with the key 'servce_id'. Did you mean 'service_id'?",
        "No instance has an id with the key 'shards'. Did you mean 'shard'?",
    ]


async def test_an_answer_belongs_to_the_caller(three):
    """A caller that changes it changes no later answer."""
    (await three.locate(shard=1)).clear()
    (await three.instances(shard=1)).clear()
    (await three.discover()).clear()
    assert len(await three.locate(shard=1)) == len(await three.instances(shard=1)) == 2
    assert await three.discover()


async def test_discover_returns_everything_that_can_be_called(three, url, seen):
    """The result has keys and values as advertised, and the endpoints of each."""
    async with Discovery(url, identity=identity("worker", None)) as worker:
        await worker.advertise()
        await seen(three, lambda found: len(found) == 4)
        found = await three.discover()
    assert set(found) == {"service_id", "instance_id", "shard"}
    assert found["service_id"]["stock"] == {("node-1", 8002, socket.AF_INET)}
    assert "worker" not in found["service_id"]
    assert set(found["shard"]) == {1, 2}
    assert len(found["shard"][1]) == 2


async def test_questions_wait_for_the_first_snapshot(registry):
    """They are answered as soon as there is one."""
    registry.lose()
    async with Discovery(registry) as discovery:
        asked = [
            await begun(question)
            for question in (
                *(discovery.locate(), discovery.instances(), discovery.discover(), discovery.ready()),
            )
        ]
        await discovery.membership.wait_stale()
        assert not any(task.done() for task in asked)
        registry.restore()
        assert await asyncio.gather(*asked) == [set(), [], {}, None]


async def test_without_a_snapshot_the_error_says_what_to_check(registry):
    """It names the registry, the reason and the source of the URL, and is a TimeoutError too."""
    registry.lose("connection refused")
    async with Discovery(registry, ready_timeout=0) as discovery:
        for question in (discovery.locate, discovery.instances, discovery.discover, discovery.ready):
            with pytest.raises(NotReadyError, match="PEERAGE_REGISTRY") as caught:
                await question()
            assert registry.url in str(caught.value)
        await discovery.membership.wait_stale()
        with pytest.raises(TimeoutError, match="connection refused"):
            await discovery.ready(timeout=0)


@pytest.mark.usefixtures("three")
async def test_out_of_touch_the_answers_stay(registry):
    """The Discovery says why, and how old they are."""
    async with Discovery(registry) as discovery:
        await discovery.ready()
        assert (discovery.stale, discovery.age) == (None, 0)
        registry.lose("the cable")
        await discovery.membership.wait_stale()
        assert discovery.stale == "the cable"
        assert 0 <= discovery.age < math.inf
        assert len(await discovery.locate(service_id="orders")) == 2
        registry.restore()
        await eventually(lambda: discovery.stale is None)
        assert discovery.age == 0


async def test_changes_begin_with_those_present(three, url):
    """They continue with each change, and end with the Discovery."""
    changes = three.changes()
    assert {type(await anext(changes)) for _ in range(3)} == {Joined}
    async with Discovery(url, identity=identity("new", None)) as other:
        registration = await other.advertise(port=1)
        joined = await anext(changes)
        registration.update(ids={"a": 1})
        changed = await anext(changes)
    left = await anext(changes)
    assert isinstance(joined, Joined)
    assert isinstance(changed, Changed)
    assert isinstance(left, Left)
    assert changed.before is joined.instance
    assert left.instance is changed.instance
    await three.aclose()
    assert [event async for event in changes] == []
