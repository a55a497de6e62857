"""The directory against a naive model of it."""

import json
from itertools import accumulate

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from peerage.changes import Changed, Changes, Joined, Left
from peerage.directory import Directory, Problems, fold_criteria
from peerage.directory.index import Standing
from peerage.directory.members import Members
from peerage.records.decode import decode
from peerage.registry import Record

NAMES = st.sampled_from([f"A.{number}" for number in range(6)])
SERVICES = ("orders", "Stock")
CRITERIA = [
    (("service_id", "orders"),),
    (("service_id", "stock"),),
    (("instance_id", "1"),),
    (("instance_id", "2"),),
    (("shard", "1"),),
    (("service_id", "orders"), ("shard", "1")),
    (("service_id", "orders"), ("instance_id", "1")),
    (("service_id", "unknown"),),
    (("service_id", "orders"), ("service_id", "unknown")),
    (),
]
RECORDS = st.fixed_dictionaries(
    {},
    optional={
        "host": st.sampled_from(["node-1", "node-2"]),
        "instance_id": st.sampled_from([1, "2"]),
        "service_id": st.sampled_from(SERVICES),
        "web": st.sampled_from([[], [["0.0.0.0", 80]], [["0.0.0.0", 81]], [["10.0.0.1", 80]], ["bad"]]),
        "discovery": st.fixed_dictionaries({"shard": st.lists(st.sampled_from([1, 2]), max_size=2)}),
        "peerage": st.fixed_dictionaries(
            {"state": st.sampled_from([None, "draining"]), "weight": st.sampled_from([1, 1, 2.5])}
        ),
    },
)
DATA = st.one_of(
    RECORDS.map(lambda record: json.dumps(record).encode()), st.sampled_from([b"", b"[]", b"\xff"])
)


class DirectoryMachine(RuleBasedStateMachine):
    """Any sequence of records that are added, changed and removed: superseded, draining and unusable ones."""

    @initialize()
    def start(self):
        self.directory = Directory()
        self.model: dict[str, Record] = {}
        self.sequence = 0
        self.replayed = set()
        self.problems = {}
        self.generation = 0
        self.before = set()
        self.gaps = []
        self.directory.subscribe(self.replay)
        self.reader = set()
        self.changes = Changes(self.directory, lambda _: None)

    def replay(self, event):
        if isinstance(event, Problems):
            assert self.problems.get(event.name, ()) != event.sentences
            self.problems[event.name] = event.sentences
            return
        before, after = event
        if before is not None:
            self.replayed.remove(before)
        if after is not None:
            self.replayed.add(after)
        for pair in set(before.ids) & set(after.ids) if before and after else ():
            if not self.directory.find((pair,)):
                self.gaps.append(event)

    @rule(name=NAMES, data=DATA, ephemeral=st.sampled_from([True, True, True, False]))
    def appear(self, name, data, ephemeral):
        """A record is added, or one of the same name replaces it."""
        self.sequence += 1
        self.put(Record(name, data, self.sequence, ephemeral))

    @rule(name=NAMES, data=DATA)
    def update(self, name, data):
        """A record changes in place."""
        if name in self.model:
            self.put(self.model[name]._replace(data=data))

    @rule(name=NAMES)
    def repeat(self, name):
        """A registry repeats a record."""
        if name in self.model:
            self.put(self.model[name])

    @rule(name=NAMES)
    def vanish(self, name):
        """A record is removed, or one that was never there."""
        self.model.pop(name, None)
        self.directory.remove(name)

    @rule(count=st.integers(1, 5))
    def take(self, count):
        """The reader of changes() reads some."""
        for _ in range(count):
            if self.changes._pending:
                self.read(next_of(self.changes))

    def read(self, event):
        match event:
            case Joined(instance):
                assert instance not in self.reader
                self.reader.add(instance)
            case Changed(instance, before):
                assert instance is not before
                self.reader.remove(before)
                self.reader.add(instance)
            case Left(instance):
                self.reader.remove(instance)

    def put(self, record):
        self.model[record.name] = record
        self.directory.put(record)

    def visible(self):
        """Return {name: instance} as the model sees it, the slow and simple way."""
        newest = {}
        for record in self.model.values():
            instance, _ = decode(record.name, record.data, record.sequence, ephemeral=record.ephemeral)
            if instance is None:
                continue
            key = instance.name
            if instance.instance_id is not None and instance.host is not None:
                port = min((endpoint.port for endpoint in instance.endpoints), default=0)
                key = (instance.instance_id, instance.host, port)
            if key not in newest or newest[key].sequence < instance.sequence:
                newest[key] = instance
        return {instance.name: instance for instance in newest.values()}

    def matching(self, criteria):
        return {
            name: instance
            for name, instance in self.visible().items()
            if all(pair in instance.ids for pair in criteria)
        }

    @invariant()
    def answers_are_those_of_the_model(self):
        """find, urls and targets, asked again after each step, also from what is remembered."""
        for criteria in CRITERIA:
            expected = self.matching(criteria)
            assert {one.name for one in self.directory.find(criteria)} == set(expected)
            ready = {name: one for name, one in expected.items() if one.callable and not one.draining}
            targets = ready or {name: one for name, one in expected.items() if one.callable}
            urls = {url for one in targets.values() for url in one.urls}
            assert set(self.directory.urls(criteria)) == urls == set(self.directory.urls(criteria))
            if len(criteria) == 1:
                found = self.directory.targets(*criteria[0])
                assert sorted(one.name for one in found) == sorted(targets)
                weights = [one.weight for one in found]
                assert found.shares == (list(accumulate(weights)) if len(set(weights)) > 1 else None)

    @invariant()
    def the_generation_grows_with_visible_changes_only(self):
        """Exactly when the visible instances are different."""
        now = {(one.name, one.data, one.sequence, one.ephemeral) for one in self.directory.find()}
        assert (self.directory.generation != self.generation) == (now != self.before)
        assert self.directory.generation >= self.generation
        self.generation, self.before = self.directory.generation, now

    @invariant()
    def subscribers_know_what_is_visible(self):
        """Changes replayed from the beginning give the visible set; no name was empty in between."""
        assert self.replayed == set(self.directory.find())
        assert not self.gaps
        assert {name: sentences for name, sentences in self.problems.items() if sentences} == dict(
            self.directory.problems
        )

    @invariant()
    def counts_are_those_of_the_model(self):
        """Of records, of instances and of their standings."""
        visible = self.visible().values()
        counts = self.directory.count()
        assert (counts.records, counts.visible) == (len(self.model), len(visible))
        assert counts.changes == self.directory.generation
        assert counts.malformed == len(self.directory.problems)
        assert counts.standings.get(Standing.UNCALLABLE, 0) == sum(not one.callable for one in visible)
        draining = sum(one.callable and one.draining for one in visible)
        assert counts.standings.get(Standing.DRAINING, 0) == draining
        assert sum(counts.standings.values()) == len(visible)

    @invariant()
    def nothing_else_is_kept(self):
        """No empty list, no problem or group of a record that was removed."""
        groups = self.directory._index._groups.values()
        kept = [(pair, found) for group in groups for pair, found in group.items()]
        assert not [pair for pair, found in kept if isinstance(found, Members) and not found]
        assert {pair for pair, _ in kept} == {pair for one in self.visible().values() for pair in one.ids}
        assert self.directory.names() == set(self.model)
        assert set(self.directory.problems) == {
            record.name for record in self.model.values() if decode(record.name, record.data).problems
        }
        assert len(self.directory._incarnations) == len(self.visible())

    @invariant()
    def what_waits_for_the_reader_is_bounded(self):
        """One event for each instance that the reader knows and each that is there."""
        assert len(self.changes._pending) <= len(self.reader) + len(self.directory.find())

    def teardown(self):
        """Whenever the reader reads, it ends with what is in the directory."""
        if hasattr(self, "changes"):
            while self.changes._pending:
                self.read(next_of(self.changes))
            assert self.reader == set(self.directory.find())
            self.changes.close()


def next_of(changes):
    """Return an event that is there, without an event loop."""
    try:
        changes.__anext__().send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits although an event is there")


DirectoryMachine.TestCase.settings = settings(max_examples=40, stateful_step_count=40)
TestDirectoryModel = DirectoryMachine.TestCase


def test_the_criteria_of_the_model_are_folded():
    """The model asks as the directory does."""
    assert fold_criteria({"service-id": "Stock", "shard": 1}) == (("service_id", "stock"), ("shard", "1"))
