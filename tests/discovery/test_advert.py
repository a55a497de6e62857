"""What a service advertises: an Advert, or its fields as keywords."""

import dataclasses
import json
from typing import get_type_hints

import pytest

from peerage import Advert, ConfigurationError, Discovery, Identity, RecordError
from peerage.records.advert import AdvertFields
from peerage.records.build import build_record
from peerage.testing import eventually

ME = Identity(host="node-1", service_id="orders", instance_id="orders-1")


def record_of(advert):
    return json.loads(build_record(advert))


def test_keywords_and_fields_are_the_same():
    """Every field but the state, which drain() sets, can be given as a keyword; the types agree."""
    fields = {field.name for field in dataclasses.fields(Advert)}
    assert set(AdvertFields.__annotations__) == fields - {"state"}
    keywords, types = get_type_hints(AdvertFields), get_type_hints(Advert)
    assert all(keywords[name] == types[name] for name in keywords)


def test_port_is_every_interface():
    """A port is advertised as the wildcard address."""
    assert record_of(Advert(identity=ME, port=80))["web"] == [["0.0.0.0", 80]]


def test_port_and_web_contradict_each_other():
    """The constructor and changed() refuse both at once."""
    with pytest.raises(ConfigurationError, match="not both"):
        Advert(port=1, web=[("0.0.0.0", 1)])
    with pytest.raises(ConfigurationError, match="not both"):
        Advert().changed(port=1, web=[("0.0.0.0", 1)])


def test_the_newer_of_port_and_web_replaces_the_other():
    """A change of one of them is no contradiction to what was advertised before."""
    advert = Advert(identity=ME, port=80).changed(web=[("10.0.0.1", 81)])
    assert record_of(advert)["web"] == [["10.0.0.1", 81]]
    assert record_of(advert.changed(port=82))["web"] == [["0.0.0.0", 82]]


def test_what_isnt_given_stays():
    """A change starts from what was advertised; None is the default again."""
    advert = Advert(identity=ME, port=80, weight=2, ids={"shard": 1}).changed(extra={"a": 1})
    record = record_of(advert)
    assert (record["discovery"], record["peerage"]["weight"], record["a"]) == ({"shard": [1]}, 2, 1)
    assert "weight" not in record_of(advert.changed(weight=None))["peerage"]


def test_an_advert_copies_the_collections_of_the_caller():
    """What the caller does with its own collections later has no effect; an iterator is read once."""
    ids, extra, web = {"shard": iter([1, 2])}, {"a": 1}, [("0.0.0.0", 80)]
    advert = Advert(identity=ME, ids=ids, extra=extra, web=web)
    ids["a.b"], extra["web"] = 1, 1
    web.clear()
    for _ in range(2):
        record = record_of(advert)
        assert (record["discovery"], record["a"], record["web"]) == ({"shard": [1, 2]}, 1, [["0.0.0.0", 80]])


def test_the_class_name_wins_over_the_identitys():
    """The name of the record begins with it, whatever the identity says."""
    assert record_of(Advert(identity=ME, appclass="Orders"))["appclass"] == "Orders"
    assert record_of(Advert(identity=ME))["appclass"] == "Application"


def test_without_an_identity_the_environment_says_who_it_is(monkeypatch):
    """The environment is read when the record is built."""
    monkeypatch.setenv("SERVICE_ID", "stock")
    assert record_of(Advert())["service_id"] == "stock"


async def test_a_field_that_isnt_there_is_a_type_error():
    """The message lists the fields; a service is named by the Discovery or the environment."""
    async with Discovery("memory:advert-1", identity=ME) as discovery:
        with pytest.raises(TypeError, match=r"ports=….*identity, port, web"):
            await discovery.advertise(ports=80)
        with pytest.raises(TypeError, match=r"Discovery\(service_id=…\).*SERVICE_ID"):
            await discovery.advertise(service_id="orders")
        registration = await discovery.advertise(port=80)
        with pytest.raises(TypeError, match="weigth"):
            registration.update(weigth=2)
        with pytest.raises(RecordError, match=r"arguments of Discovery\(\)"):
            await discovery.advertise(ids={"service_id": "orders"})


async def test_an_advert_is_advertised_whole_and_changed_whole():
    """Keywords win over it; an update keeps the identity if the new one has none."""
    async with Discovery("memory:advert-2", identity=ME) as discovery:
        registration = await discovery.advertise(Advert(ids={"shard": 1}, weight=2), port=80)
        (instance,) = await discovery.instances()
        assert (instance.id("shard"), instance.weight, instance.urls) == ("1", 2, ("http://node-1:80",))
        registration.update(Advert(port=81, weight=3))
        name = await registration.registered()
        await eventually(lambda: discovery.directory.get(name).weight == 3)
        changed = discovery.directory.get(name)
        assert (changed.id("shard"), changed.service_id, changed.urls) == (
            None,
            "orders",
            ("http://node-1:81",),
        )
