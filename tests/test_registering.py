"""Discovery where there is no ``async with``, and what of a registration can change."""

import pytest

from peerage import Discovery
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
    with pytest.raises(ConfigurationError, match="isn't started"):
        discovery.register(identity=ME)
    discovery.start()
    with pytest.raises(RegistryClosedError, match="entered once"):
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
