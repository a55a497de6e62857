"""The records of a registry as rows."""

import json
from datetime import UTC, datetime

import pytest
from tests.support import record

from peerage.cli.rows import cells, listing, problem_lines
from peerage.directory import Directory

LAUNCHED = "2023-12-01T10:52:29.656397Z"
LATER = datetime(2023, 12, 1, 14, tzinfo=UTC)


@pytest.fixture
def directory():
    """Records of every kind."""
    directory = Directory()
    for each in (
        record("b-2", 2, instance_id="b", service_id="b"),
        record("b-1", 1, instance_id="b", service_id="b"),
        record("silent", web=None, service_id="c"),
        record(
            "a",
            service_id="A",
            node_id="n",
            appclass="App",
            launch_time=LAUNCHED,
            discovery={"shard": [1]},
            web=[["::", 1], "x"],
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
    (shown,) = cells([row], LATER)
    assert shown == ("A", "a", "n (node-1)", "http://node-1:1", "App", "ready", "3 h", "shard=1")
    assert row.problems == ("an entry of web is 'x', not [address, port] with a port from 1 to 65535.",)
    assert row.entry()["record"]["discovery"] == {"shard": [1]}


def test_an_unreadable_record_has_no_cells_and_a_line_with_its_problem(directory):
    """A superseded one is a row of the table that says so."""
    rows = listing(directory)
    shown = list(cells(rows, LATER))
    assert len(shown) == len(rows) - 1
    assert [each[5] for each in shown if each[0] == "b"] == ["ready, superseded", "ready"]
    assert [line.partition(":")[0] for line in problem_lines(rows)] == ["a", "broken"]


def test_criteria_leave_out_other_records(directory):
    """Superseded records match as well; unreadable ones have no ids."""
    assert [row.name for row in listing(directory, (("service_id", "b"),))] == ["b-1", "b-2"]
    assert [row.name for row in listing(directory, (("service_id", "a"), ("shard", "1")))] == ["a"]
    assert listing(directory, (("service_id", "a"), ("shard", "2"))) == []


def test_entries_are_values_of_json(directory):
    """For programs."""
    first, *_, last = (json.loads(json.dumps(row.entry())) for row in listing(directory))
    assert first.keys() == {"name", "state", "superseded", "urls", "problems", "record"}
    assert last == {
        "name": "broken",
        "state": "unreadable",
        "superseded": False,
        "urls": [],
        "problems": list(directory.problems["broken"]),
        "record": None,
    }
