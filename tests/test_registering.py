"""Discovery where there is no ``async with``, and what of a registration can change."""

import logging

import pytest

from peerage import Discovery, open_registry
from peerage.errors import ConfigurationError, RecordError, RegistryClosedError, RegistryDeniedError
from peerage.records.identity import Identity, find_manifest, read_identity
from peerage.testing import eventually

ME = Identity(host="127.0.0.1", service_id="me", instance_id="me-1")


async def record_of(registration, discovery) -> dict:
    node = await registration.registered()
    await eventually(lambda: discovery.directory.get(node))
    return discovery.directory.get(node).record()


async def test_started_and_closed_by_hand():
    """As with ``async with``, and once."""
    discovery = Discovery("memory:registering-1")
    with pytest.raises(RegistryClosedError, match="async with"):
        discovery.register(identity=ME)
    discovery.start()
    with pytest.raises(RegistryClosedError, match="opened once"):
        discovery.start()
    discovery.register(identity=ME, port=80)
    assert await discovery.locate(service_id="me") == {"http://127.0.0.1:80"}
    await discovery.aclose()
    with pytest.raises(RegistryClosedError):
        discovery.register(identity=ME)


async def test_registering_returns_at_once():
    """What can't be advertised is said at once as well, and nothing of it is left."""
    async with Discovery("memory:registering-2") as discovery:
        registration = discovery.register(identity=ME, port=80, appclass="Mine", ids={"a": [1]})
        record = await record_of(registration, discovery)
        assert (record["appclass"], record["discovery"], record["host"]) == ("Mine", {"a": [1]}, "127.0.0.1")
        for wrong, error in (
            ({"ids": {"a.b": [1]}}, RecordError),
            ({"extra": {"noise": "x" * 70_000}}, RegistryDeniedError),
            ({"port": 1, "web": [("0.0.0.0", 1)]}, ConfigurationError),
        ):
            with pytest.raises(error):
                discovery.register(identity=ME, **wrong)
        assert len(await discovery.instances()) == 1


async def test_everything_of_a_registration_changes_in_place():
    """Where it listens, what is spoken there, who it is; what isn't named stays."""
    async with Discovery("memory:registering-3") as discovery:
        registration = discovery.register(identity=ME, ids={"a": [1]})
        before = await record_of(registration, discovery)
        node = registration.name
        assert "web" not in before
        registration.update(web=[("0.0.0.0", 80)], scheme="https")
        await eventually(lambda: discovery.directory.get(node).urls)
        registration.update(identity=Identity(host="127.0.0.1", service_id="other"))
        await eventually(lambda: discovery.directory.get(node).service_id == "other")
        record = discovery.directory.get(node).record()
        assert registration.name == node
        assert record["web"] == [["0.0.0.0", 80]]
        assert record["peerage"]["scheme"] == "https"
        assert record["peerage"]["nonce"] == before["peerage"]["nonce"]
        assert record["discovery"] == {"a": [1], "service_id": ["other"]}
        assert "instance_id" not in record
        registration.update()
        assert await registration.registered() == node


async def test_a_discovery_is_named_in_code(monkeypatch):
    """Arguments win over the environment and over an identity; what isn't given comes from these."""
    monkeypatch.setenv("SERVICE_ID", "from-environment")
    monkeypatch.setenv("NODE_ID", "node-7")
    async with Discovery("memory:registering-4", service_id="Orders", instance_id="orders-1") as discovery:
        assert discovery.own_ids() == {
            *(("service_id", "orders"), ("instance_id", "orders-1"), ("node_id", "node-7")),
        }
        registration = await discovery.advertise(port=80, ids={"shard": [1]})
        assert await discovery.locate(service_id="orders", node_id="node-7")
        assert not await discovery.locate(service_id="from-environment")
        assert ("shard", "1") in discovery.own_ids()
        await registration.withdraw()
        assert ("shard", "1") not in discovery.own_ids()
    async with Discovery("memory:registering-4", identity=ME, service_id="you") as discovery:
        assert discovery.own_ids() == {("service_id", "you"), ("instance_id", "me-1")}
        assert discovery.identity().service_id == "you"
        assert discovery.identity().host == "127.0.0.1"


async def test_its_records_are_known_by_all_their_names():
    """Also by those of earlier sessions, and after the withdrawal."""
    registry = open_registry("memory:registering-5")
    async with Discovery(registry, identity=ME) as discovery:
        registration = await discovery.advertise(port=80)
        first = registration.name
        registry.expire()
        second = await registration.registered()
        await registration.withdraw()
        assert first != second
        assert set(discovery.own_records()) == {first, second}
    await registry.aclose()


async def test_each_step_of_a_registration_is_in_the_log(caplog):
    """Advertised, updated, advertised again after a lost session, draining and withdrawn."""
    caplog.set_level(logging.INFO, logger="peerage.registration")
    registry = open_registry("memory:registering-6")
    async with Discovery(registry, service_id="orders", identity=ME) as discovery:
        registration = await discovery.advertise(port=80, ids={"shard": list(range(20))})
        first = registration.name
        registration.update(ids={"shard": 1}, weight=2)
        registration.update(extra={"load": 0.5})
        registration.update(weight=2)
        registry.expire()
        second = await registration.registered()
        await registration.drain(lame_duck=0)
    await registry.aclose()
    url, ids, where = registry.url, "instance_id=me-1 service_id=orders", "http://127.0.0.1:80"
    shards = "shard=0 shard=1 shard=2 shard=3 shard=4 shard=5"
    lost = f"because the record {first} was lost,"
    assert caplog.messages == [
        f"Advertised as {first} in {url}: {ids} {shards} ... {where}",
        f"Updated {first}: {ids} shard=1 {where} weight 2",
        f"Advertised again as {second}, {lost} in {url}: {ids} shard=1 {where} weight 2",
        f"Updated {second}: {ids} shard=1 {where} weight 2 draining",
        f"Withdrawn: {second} from {url}",
    ]


async def test_a_service_that_nobody_can_call_is_warned_of(caplog):
    """Loopback addresses can be called on one host, if the identity says which one that is."""
    async with Discovery("memory:registering-7") as discovery:
        await discovery.advertise(
            identity=Identity(host="localhost", service_id="orders"), web=[("127.0.0.1", 80)]
        )
        assert "Nobody can call this service" in caplog.text
        assert "host_key" in caplog.text
        caplog.clear()
        await discovery.advertise(identity=read_identity({"SERVICE_ID": "orders"}), web=[("127.0.0.1", 80)])
        await discovery.advertise(identity=Identity(host="localhost", service_id="orders"))
        assert not caplog.messages


def test_a_manifest_that_is_given(tmp_path, monkeypatch):
    """It is taken instead of the file's, also if it is empty."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "MANIFEST.json").write_text('{"version": "file"}')
    assert read_identity({}).manifest == {"version": "file"}
    assert read_identity({}, manifest={"version": "given"}).manifest == {"version": "given"}
    assert read_identity({}, manifest={}).manifest == {}


def test_no_manifest_and_one_that_is_broken_are_told_apart(tmp_path, monkeypatch, caplog):
    """And the log names who named a file that isn't there."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("peerage.records.identity._MANIFESTS", ("MANIFEST.json",))
    assert find_manifest(None) is None
    assert find_manifest("no.json", "[general] manifest") is None
    assert caplog.messages == ["[general] manifest names no.json, which is no file"]
    (tmp_path / "MANIFEST.json").write_text("{")
    assert find_manifest(None) == {}
