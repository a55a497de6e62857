"""The directory against a naive model of it."""

import json

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from peerage.changes import Changed, Changes, Joined, Left
from peerage.directory import Directory, fold_criteria
from peerage.directory.bucket import Bucket
from peerage.records.decode import decode
from peerage.registry import Record

NODES = st.sampled_from([f"A.{number}" for number in range(6)])
SERVICES = ("orders", "Stock")
CRITERIA = [
    (("service_id", "orders"),),
    (("service_id", "stock"),),
    (("instance_id", "1"),),
    (("instance_id", "2"),),
    (("shard", "1"),),
    (("service_id", "orders"), ("shard", "1")),
    (("service_id", "orders"), ("instance_id", "1")),
    (("service_id", "nobody"),),
    (("service_id", "orders"), ("service_id", "nobody")),
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
        "peerage": st.fixed_dictionaries({"state": st.sampled_from([None, "draining"])}),
    },
)
DATA = st.one_of(
    RECORDS.map(lambda record: json.dumps(record).encode()), st.sampled_from([b"", b"[]", b"\xff"])
)


class DirectoryMachine(RuleBasedStateMachine):
    """Any sequence of records that come, change and go, twins, draining and unusable ones among them."""

    @initialize()
    def start(self):
        self.directory = Directory()
        self.model: dict[str, Record] = {}
        self.sequence = 0
        self.replayed = set()
        self.generation = 0
        self.before = set()
        self.gaps = []
        self.directory.subscribe(self.replay)
        self.taker = set()
        self.changes = Changes(self.directory, lambda _: None)

    def replay(self, change):
        before, after = change
        if before is not None:
            self.replayed.remove(before)
        if after is not None:
            self.replayed.add(after)
        for pair in set(before.ids) & set(after.ids) if before and after else ():
            if not self.directory.find((pair,)):
                self.gaps.append(change)

    @rule(node=NODES, data=DATA, ephemeral=st.sampled_from([True, True, True, False]))
    def appear(self, node, data, ephemeral):
        """A record comes, or one of the same name in its place."""
        self.sequence += 1
        self.put(Record(node, data, self.sequence, ephemeral))

    @rule(node=NODES, data=DATA)
    def update(self, node, data):
        """A record changes in place."""
        if node in self.model:
            self.put(self.model[node]._replace(data=data))

    @rule(node=NODES)
    def repeat(self, node):
        """A registry says what it has said."""
        if node in self.model:
            self.put(self.model[node])

    @rule(node=NODES)
    def vanish(self, node):
        """A record goes, or one that never was there."""
        self.model.pop(node, None)
        self.directory.remove(node)

    @rule(count=st.integers(1, 5))
    def take(self, count):
        """The taker of changes() has a moment."""
        for _ in range(count):
            if self.changes._pending:
                self.taken(next_of(self.changes))

    def taken(self, event):
        match event:
            case Joined(instance):
                assert instance not in self.taker
                self.taker.add(instance)
            case Changed(instance, before):
                assert instance is not before
                self.taker.remove(before)
                self.taker.add(instance)
            case Left(instance):
                self.taker.remove(instance)

    def put(self, record):
        self.model[record.name] = record
        self.directory.put(record)

    def visible(self):
        """Return {node: instance} as the model sees it, the slow and simple way."""
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
            node: instance
            for node, instance in self.visible().items()
            if all(pair in instance.ids for pair in criteria)
        }

    @invariant()
    def answers_are_the_models(self):
        """find, urls and targets, asked again after each step, also from what is remembered."""
        for criteria in CRITERIA:
            expected = self.matching(criteria)
            assert {one.name for one in self.directory.find(criteria)} == set(expected)
            ready = {node: one for node, one in expected.items() if one.callable and not one.draining}
            targets = ready or {node: one for node, one in expected.items() if one.callable}
            urls = {url for one in targets.values() for url in one.urls}
            assert set(self.directory.urls(criteria)) == urls == set(self.directory.urls(criteria))
            if len(criteria) == 1:
                found = self.directory.targets(*criteria[0])
                assert sorted(one.name for one in found) == sorted(targets)

    @invariant()
    def the_generation_grows_with_visible_changes_only(self):
        """Exactly when somebody who looks would see a difference."""
        now = {(one.name, one.data, one.sequence, one.ephemeral) for one in self.directory.find()}
        assert (self.directory.generation != self.generation) == (now != self.before)
        assert self.directory.generation >= self.generation
        self.generation, self.before = self.directory.generation, now

    @invariant()
    def subscribers_know_what_is_visible(self):
        """Changes replayed from the beginning give the visible set; no name was empty in between."""
        assert self.replayed == set(self.directory.find())
        assert not self.gaps

    @invariant()
    def nothing_is_kept_for_nobody(self):
        """No empty bucket, no forgotten problem, no group of the gone."""
        assert not [
            found
            for found in self.directory._index._found.values()
            if isinstance(found, Bucket) and not found
        ]
        assert set(self.directory._index._found) == {
            pair for one in self.visible().values() for pair in one.ids
        }
        assert self.directory.names() == set(self.model)
        assert set(self.directory.problems) == {
            record.name for record in self.model.values() if decode(record.name, record.data).problems
        }
        assert len(self.directory._incarnations) == len(self.visible())

    @invariant()
    def what_waits_for_a_taker_is_bounded(self):
        """One event for each instance known and each that is there."""
        assert len(self.changes._pending) <= len(self.taker) + len(self.directory.find())

    def teardown(self):
        """At any pace, the taker ends where the directory is."""
        if hasattr(self, "changes"):
            while self.changes._pending:
                self.taken(next_of(self.changes))
            assert self.taker == set(self.directory.find())
            self.changes.close()


def next_of(changes):
    """Take an event that is there, without an event loop."""
    try:
        changes.__anext__().send(None)
    except StopIteration as done:
        return done.value
    raise AssertionError("it waits although an event is there")


DirectoryMachine.TestCase.settings = settings(max_examples=80, stateful_step_count=40)
TestDirectoryModel = DirectoryMachine.TestCase


def test_the_criteria_of_the_model_are_folded():
    """The model asks as the directory does."""
    assert fold_criteria({"service-id": "Stock", "shard": 1}) == (("service_id", "stock"), ("shard", "1"))
