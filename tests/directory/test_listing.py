"""The directory as rows."""

import json

import pytest
from tests.support import record

from peerage.directory import Directory
from peerage.directory.listing import listing, row, row_of


@pytest.fixture
def directory():
    """Records of every kind."""
    directory = Directory()
    for each in (
        record("b-2", 2, instance_id="b", service_id="b"),
        record("b-1", 1, instance_id="b", service_id="b"),
        record("silent", web=None, service_id="c"),
        record(
            "a", service_id="A", node_id="n", appclass="App", discovery={"shard": [1]}, web=[["::", 1], "x"]
        ),
        record("hand", service_id="d")._replace(ephemeral=False),
        record("last", service_id="e", peerage={"state": "draining"}),
        record("broken", data=b"{"),
    ):
        directory.put(each)
    return directory


def test_every_record_is_a_row(directory):
    """Sorted by service, instance and name; unreadable ones are last."""
    rows = listing(directory)
    assert [(row.name, row.state, row.superseded) for row in rows] == [
        ("a", "ready", False),
        ("b-1", "ready", True),
        ("b-2", "ready", False),
        ("silent", "not callable", False),
        ("hand", "left by hand", False),
        ("last", "draining", False),
        ("broken", "unreadable", False),
    ]


def test_a_row_has_the_texts_of_the_record(directory):
    """In the spelling of the record."""
    row = listing(directory)[0]
    assert (row.instance.service_id, row.instance.node_id, row.instance.host) == ("A", "n", "node-1")
    assert row.entry()["urls"] == ["http://node-1:1"]
    assert row.problems == ("an entry of web is 'x', not [address, port] with a port from 1 to 65535.",)
    assert row.record()["discovery"] == {"shard": [1]}


def test_criteria_leave_out_other_records(directory):
    """Superseded records match as well; unreadable ones have no ids."""
    assert [row.name for row in listing(directory, (("service_id", "b"),))] == ["b-1", "b-2"]
    assert [row.name for row in listing(directory, (("service_id", "a"), ("shard", "1")))] == ["a"]
    assert listing(directory, (("service_id", "a"), ("shard", "2"))) == []


def test_entries_are_values_of_json(directory):
    """For programs."""
    first, *_, last = (json.loads(json.dumps(row.entry())) for row in listing(directory))
    assert first == {
        "name": "a",
        "service": "A",
        "instance": "a",
        "node": "n",
        "site": None,
        "host": "node-1",
        "appclass": "App",
        "version": None,
        "launch_time": None,
        "state": "ready",
        "superseded": False,
        "unconfirmed": False,
        "urls": ["http://node-1:1"],
        "ids": {"shard": [1]},
        "attention_required": None,
        "problems": list(directory.problems["a"]),
        "record": directory.get("a").record(),
    }
    assert (last["name"], last["state"], last["urls"], last["ids"]) == ("broken", "unreadable", [], {})
    assert last["problems"] == list(directory.problems["broken"])
    assert last["record"] is None


def test_the_row_of_one_record_is_the_one_of_the_listing(directory):
    """So that what follows the changes shows what lists everything."""
    for each in listing(directory):
        assert row(directory, each.name) == each
    assert row(directory, "unknown") is None


def test_an_instance_is_a_row_outside_of_a_directory(directory):
    """For instances that have left."""
    row = row_of(directory.get("a"))
    assert (row.name, row.state, row.problems) == ("a", "ready", ())
