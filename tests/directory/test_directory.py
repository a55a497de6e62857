"""The directory, case by case."""

import logging

import pytest
from tests.support import record

from peerage.directory import Change, Directory, Hidden, Problems
from peerage.directory.directory import Counts
from peerage.directory.index import Standing
from peerage.registry import Record

ORDERS = (("service_id", "orders"),)


def names(instances):
    return sorted(instance.name for instance in instances)


@pytest.fixture
def directory():
    return Directory()


@pytest.fixture
def events(directory):
    """Everything that the directory publishes from now on."""
    found = []
    directory.subscribe(found.append)
    return found


class TestProblems:
    def test_an_unreadable_record_is_skipped_and_logged_once(self, directory, caplog):
        """However often the registry repeats it; the other records are used, and it is forgotten with it."""
        directory.put(record("good"))
        for _ in range(3):
            directory.put(Record("bad\x1b", b"{", 2))
        assert names(directory.find(ORDERS)) == ["good"]
        assert list(directory.problems) == ["bad\x1b"]
        assert directory.names() == {"good", "bad\x1b"}
        (logged,) = caplog.records
        assert "'bad\\x1b'" in logged.getMessage()
        assert logged.getMessage().isprintable()
        directory.remove("bad\x1b")
        assert not directory.problems
        assert directory.names() == {"good"}

    def test_the_problems_are_those_of_the_newest_data(self, directory, caplog):
        """A record that is written again and again with other mistakes is logged once."""
        directory.put(record("a", web=["x"]))
        directory.put(record("a", web=7))
        assert len(caplog.records) == 1
        directory.put(record("a"))
        assert not directory.problems
        assert set(directory.urls(ORDERS)) == {"http://node-1:80"}

    def test_a_record_that_becomes_unreadable_has_no_instance(self, directory):
        """What it said before isn't true any more."""
        directory.put(record("a"))
        directory.put(Record("a", b"", 1))
        assert directory.find() == []
        assert directory.get("a") is None
        assert len(directory) == 0
        assert list(directory.problems) == ["a"]

    def test_a_record_without_a_process_is_logged(self, directory, caplog):
        """It isn't called, and has no problem that its writer could mend."""
        directory.put(record("a")._replace(ephemeral=False))
        assert "No process owns it" in caplog.text
        assert not directory.problems
        assert list(directory.targets(*ORDERS[0])) == []

    def test_the_log_is_bounded(self, directory, caplog):
        """A registry full of noise is a thousand lines and not ten thousand; so are names of any length."""
        for number in range(3000):
            directory.put(Record(f"{number}" + "x" * 10_000, b"", number))
        assert len(caplog.records) == 1001
        assert "aren't logged any more" in caplog.messages[-1]
        assert max(map(len, caplog.messages)) < 300
        assert max(map(len, directory._logged)) <= 100


class TestTargets:
    def test_draining_instances_are_called_only_without_others(self, directory):
        """They still serve, so the last one isn't refused."""
        draining = {"peerage": {"state": "draining"}}
        directory.put(record("a", **draining))
        assert names(directory.targets(*ORDERS[0])) == ["a"]
        directory.put(record("b", web=[["0.0.0.0", 81]]))
        assert names(directory.targets(*ORDERS[0])) == ["b"]
        assert set(directory.urls(ORDERS)) == {"http://node-1:81"}
        assert set(directory.urls((*ORDERS, ("instance_id", "a")))) == {"http://node-1:80"}
        assert names(directory.find(ORDERS)) == ["a", "b"]
        directory.remove("b")
        assert set(directory.urls(ORDERS)) == {"http://node-1:80"}

    def test_targets_know_how_requests_are_shared(self, directory):
        """By weight; None while all weights are equal, as for a name of one instance or of none."""
        assert directory.targets(*ORDERS[0]).shares is None
        directory.put(record("a", peerage={"weight": 2}))
        assert directory.targets(*ORDERS[0]).shares is None
        directory.put(record("b", peerage={"weight": 2}))
        assert directory.targets(*ORDERS[0]).shares is None
        directory.put(record("c", peerage={"weight": 4}))
        assert directory.targets(*ORDERS[0]).shares == [2, 4, 8]

    def test_loopback_is_called_on_the_own_host_only(self):
        """The directory passes its host_key to the reading of each record."""
        local = record("a", web=[["127.0.0.1", 80]], peerage={"host_key": "here"})
        for key, urls in (("here", {"http://127.0.0.1:80"}), ("there", set()), (None, set())):
            directory = Directory(host_key=key)
            directory.put(local)
            assert set(directory.urls(ORDERS)) == urls

    def test_remembered_answers_follow_each_change(self, directory):
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

    def test_remembered_answers_are_bounded(self, directory):
        """By their size: questions about anything don't fill the memory."""
        for number in range(3000):
            directory.urls((*ORDERS, ("shard", str(number))))
        assert 900 < len(directory._answers) <= 1000
        assert directory._answers.currsize <= 1_000_000

    def test_a_removal_leaves_all_others(self, directory):
        """Hundreds under one name, in any order; nothing is kept at the end."""
        all_names = [f"n{number}" for number in range(200)]
        for order, name in enumerate(all_names):
            directory.put(record(name, order))
        for removed, name in enumerate(all_names[::3] + all_names[1::3] + all_names[2::3], 1):
            directory.remove(name)
            assert len(directory.targets(*ORDERS[0])) == 200 - removed
        assert not any(directory._index._groups.values())
        assert not directory._incarnations


class TestIncarnations:
    def test_of_several_records_of_one_instance_the_newest_counts(self, directory, events):
        """In whatever order they arrive; if it is removed first, the one before it is visible again."""
        directory.put(record("new", 2, instance_id="1"))
        del events[:]
        directory.put(record("old", 1, instance_id="1"))
        assert names(directory.find()) == ["new"]
        assert len(directory) == 2
        assert names(directory) == ["new", "old"]
        assert events == [Hidden("old")]
        del events[:]
        directory.put(record("newest", 3, instance_id="1"))
        directory.remove("newest")
        directory.remove("new")
        assert names(directory.find()) == ["old"]
        assert [(before.name, after.name) for before, after in events] == [
            ("new", "newest"),
            ("newest", "new"),
            ("new", "old"),
        ]

    @pytest.mark.parametrize(
        "fields", [{"host": "node-2"}, {"web": [["0.0.0.0", 81]]}, {"instance_id": "2"}], ids=str
    )
    def test_another_host_port_or_id_is_another_instance(self, directory, fields):
        """Both are visible."""
        directory.put(record("a", 1, instance_id="1"))
        directory.put(record("b", 2, **{"instance_id": "1", **fields}))
        assert names(directory.find()) == ["a", "b"]

    def test_a_record_that_gets_a_port_is_one_change(self, directory, events):
        """ASAB advertises without web first and then with it: there is one process all the time."""
        directory.put(record("a", web=None))
        del events[:]
        directory.put(record("a"))
        ((before, after),) = events
        assert (before.name, before.urls) == ("a", ())
        assert (after.name, after.urls) == ("a", ("http://node-1:80",))


class TestSubscribers:
    def test_changes_of_problems_are_published(self, directory, events):
        """After the change of the instance; when there are none any more as well, and never twice."""
        directory.put(record("a", web=["x"]))
        directory.put(record("a", web=["x"]))
        directory.put(record("a"))
        directory.put(record("b", data=b"{"))
        directory.put(record("b", data=b"{"))
        directory.remove("b")
        problem = "an entry of web is 'x', not [address, port] with a port from 1 to 65535."
        shown = [event if isinstance(event, Problems) else type(event) for event in events]
        assert shown[:-2] == [Change, Problems("a", (problem,)), Change, Problems("a", ())]
        assert [event.name for event in shown[-2:]] == ["b", "b"]
        assert [len(event.sentences) for event in shown[-2:]] == [1, 0]

    def test_a_subscriber_finds_what_was_published(self, directory):
        """The directory has changed before its subscribers are called."""
        found = []
        directory.subscribe(
            lambda event: found.append((event, names(directory.find()), len(directory.problems)))
        )
        directory.put(record("a", web=7))
        assert [(type(event), visible, problems) for event, visible, problems in found] == [
            (Change, ["a"], 1),
            (Problems, ["a"], 1),
        ]

    def test_an_exception_of_a_subscriber_stops_nothing(self, directory, caplog):
        """Neither the change nor the other subscribers; the first one is logged."""
        found = []

        def broken(event):
            raise ValueError(f"mine {event.after}")

        directory.subscribe(broken)
        directory.subscribe(found.append)
        for name in "abc":
            directory.put(record(name))
        assert [change.after.name for change in found] == ["a", "b", "c"]
        (logged,) = [entry for entry in caplog.records if entry.levelno == logging.ERROR]
        assert logged.exc_info

    def test_a_subscription_can_be_ended(self, directory):
        """Twice is no error, and another subscription of the same callback goes on."""
        found = []
        unsubscribe = directory.subscribe(found.append)
        directory.subscribe(found.append)
        directory.put(record("a"))
        assert len(found) == 2
        unsubscribe()
        unsubscribe()
        directory.put(record("b"))
        assert len(found) == 3


def test_the_records_are_counted(directory):
    """Counted by state; superseded records aren't counted as instances."""
    directory.put(record("a", 1, instance_id="1"))
    directory.put(record("b", 2, instance_id="1"))
    directory.put(record("c", peerage={"state": "draining"}, web=[["::", 1], "x"]))
    directory.put(record("d", web=None))
    directory.put(record("e", data=b"{"))
    assert directory.count() == Counts(
        records=5,
        malformed=2,
        visible=3,
        standings={Standing.READY: 1, Standing.DRAINING: 1, Standing.UNCALLABLE: 1},
        changes=4,
    )
    for name in "abcde":
        directory.remove(name)
    assert directory.count() == Counts(0, 0, 0, {Standing.READY: 0}, changes=7)
