"""The directory, case by case."""

import logging

import pytest
from tests.support import record

from peerage.directory import Change, Directory
from peerage.registry import Record

ORDERS = (("service_id", "orders"),)


def nodes(instances):
    return sorted(instance.name for instance in instances)


@pytest.fixture
def directory():
    return Directory()


def test_a_bad_record_costs_itself_alone(directory, caplog):
    """It is logged once, however often the registry says it, counted, and forgotten when it goes."""
    directory.put(record("good"))
    for _ in range(3):
        directory.put(Record("bad\x1b", b"{", 2))
    assert nodes(directory.find(ORDERS)) == ["good"]
    assert list(directory.problems) == ["bad\x1b"]
    assert directory.names() == {"good", "bad\x1b"}
    (logged,) = caplog.records
    assert "'bad\\x1b'" in logged.getMessage()
    assert logged.getMessage().isprintable()
    directory.remove("bad\x1b")
    assert not directory.problems
    assert directory.names() == {"good"}


def test_another_problem_is_told_and_a_repaired_record_counts(directory, caplog):
    """The problems are those of the present data; a record that writes ever new nonsense is logged once."""
    directory.put(record("a", web=["x"]))
    directory.put(record("a", web=7))
    assert len(caplog.records) == 1
    directory.put(record("a"))
    assert not directory.problems
    assert set(directory.urls(ORDERS)) == {"http://node-1:80"}


def test_a_record_that_becomes_unreadable_is_gone(directory):
    """What it said before isn't true any more."""
    directory.put(record("a"))
    directory.put(Record("a", b"", 1))
    assert directory.find() == []
    assert directory.get("a") is None
    assert len(directory) == 0
    assert list(directory.problems) == ["a"]


def test_draining_instances_are_called_only_if_there_are_no_others(directory):
    """They still serve, so the last one isn't refused."""
    draining = {"peerage": {"state": "draining"}}
    directory.put(record("a", **draining))
    assert nodes(directory.targets(*ORDERS[0])) == ["a"]
    directory.put(record("b", web=[["0.0.0.0", 81]]))
    assert nodes(directory.targets(*ORDERS[0])) == ["b"]
    assert set(directory.urls(ORDERS)) == {"http://node-1:81"}
    assert set(directory.urls((*ORDERS, ("instance_id", "a")))) == {"http://node-1:80"}
    assert nodes(directory.find(ORDERS)) == ["a", "b"]
    directory.remove("b")
    assert set(directory.urls(ORDERS)) == {"http://node-1:80"}


def test_of_twins_the_newest_is_true(directory):
    """In whichever order they are heard of; should it go first, the one before it shows again."""
    told = []
    directory.put(record("new", 2, instance_id="1"))
    directory.subscribe(told.append)
    directory.put(record("old", 1, instance_id="1"))
    assert nodes(directory.find()) == ["new"]
    assert len(directory) == 2
    assert nodes(directory) == ["new", "old"]
    assert told == []
    directory.put(record("newest", 3, instance_id="1"))
    directory.remove("newest")
    directory.remove("new")
    assert nodes(directory.find()) == ["old"]
    assert [(before.name, after.name) for before, after in told] == [
        ("new", "newest"),
        ("newest", "new"),
        ("new", "old"),
    ]


@pytest.mark.parametrize("fields", [{"host": "node-2"}, {"web": [["0.0.0.0", 81]]}, {"instance_id": "2"}])
def test_another_host_port_or_id_is_another_instance(directory, fields):
    """Both are visible."""
    directory.put(record("a", 1, instance_id="1"))
    directory.put(record("b", 2, **{"instance_id": "1", **fields}))
    assert nodes(directory.find()) == ["a", "b"]


def test_an_instance_that_moves_is_one_change(directory):
    """ASAB advertises first without web, then with it: the same process is there all the time."""
    directory.put(record("a", web=None))
    told = []
    directory.subscribe(told.append)
    directory.put(record("a"))
    ((before, after),) = told
    assert (before.name, before.urls) == ("a", ())
    assert (after.name, after.urls) == ("a", ("http://node-1:80",))


def test_answers_that_are_remembered_are_made_anew_after_a_change(directory):
    """For one criterion and for several."""
    several = (*ORDERS, ("shard", "1"))
    assert set(directory.urls(ORDERS)) == set(directory.urls(several)) == set()
    directory.put(record("a", discovery={"shard": [1]}))
    assert set(directory.urls(ORDERS)) == set(directory.urls(several)) == {"http://node-1:80"}
    assert directory.urls(several) is directory.urls(several)
    directory.put(record("a", discovery={"shard": [1]}, host="node-2"))
    assert set(directory.urls(ORDERS)) == set(directory.urls(several)) == {"http://node-2:80"}
    directory.remove("a")
    assert set(directory.urls(ORDERS)) == set(directory.urls(several)) == set()


def test_what_is_remembered_is_bounded(directory):
    """A crawler that asks for anything doesn't fill the memory."""
    for number in range(3000):
        directory.urls((*ORDERS, ("shard", str(number))))
    assert len(directory._answers) <= 1024


def test_a_subscribers_exception_reaches_nobody(directory, caplog):
    """Not the one who feeds the directory, not the other subscribers; the first is logged."""
    told = []

    def broken(change):
        raise ValueError(f"mine {change.after}")

    directory.subscribe(broken)
    directory.subscribe(told.append)
    for name in "abc":
        directory.put(record(name))
    assert [change.after.name for change in told] == ["a", "b", "c"]
    assert all(isinstance(change, Change) for change in told)
    (logged,) = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
    assert logged.exc_info


def test_a_subscription_ends_when_told_so(directory):
    """Twice is no error, and others of the same callback go on."""
    told = []
    unsubscribe = directory.subscribe(told.append)
    directory.subscribe(told.append)
    directory.put(record("a"))
    assert len(told) == 2
    unsubscribe()
    unsubscribe()
    directory.put(record("b"))
    assert len(told) == 3


def test_a_change_of_one_costs_no_look_at_the_others(directory):
    """Hundreds under one name: after any removals the rest are all there, and then nothing is kept."""
    names = [f"n{number}" for number in range(200)]
    for order, name in enumerate(names):
        directory.put(record(name, order))
    for gone, name in enumerate(names[::3] + names[1::3] + names[2::3], 1):
        directory.remove(name)
        assert len(directory.targets(*ORDERS[0])) == 200 - gone
    assert not directory._index
    assert not directory._incarnations


def test_loopback_is_called_on_the_own_host_only():
    """The directory hands its host_key to the reading of each record."""
    local = record("a", web=[["127.0.0.1", 80]], peerage={"host_key": "here"})
    for key, urls in (("here", {"http://127.0.0.1:80"}), ("there", set()), (None, set())):
        directory = Directory(host_key=key)
        directory.put(local)
        assert set(directory.urls(ORDERS)) == urls
