import json
from collections import Counter
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from peerage.balancing import Balancer, LeastOutstanding
from peerage.records.decode import decode
from peerage.records.instance import Instance


def make(node: str, weight: float = 1) -> Instance:
    record = {"host": "here", "web": [["0.0.0.0", 80]], "peerage": {"weight": weight}}
    instance = decode(node, json.dumps(record).encode()).instance
    assert instance is not None
    return instance


def make_many(count: int) -> list[Instance]:
    return [make(f"App.{number}") for number in range(count)]


def spread_sequentially(balancer: Balancer, instances: list[Instance], requests: int) -> Counter[str]:
    """Give requests one after the other, each over before the next begins."""
    hits: Counter[str] = Counter()
    for _ in range(requests):
        instance = balancer.pick(instances)
        assert instance is not None
        balancer.started(instance)
        balancer.finished(instance)
        hits[instance.name] += 1
    return hits


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("count", [2, 3, 5, 10])
def test_equal_instances_get_equal_shares(count, seed):
    hits = spread_sequentially(Balancer(Random(seed)), make_many(count), 10_000)
    assert len(hits) == count
    assert max(hits.values()) / min(hits.values()) <= 1.1


def test_a_tie_is_not_a_strict_rotation():
    balancer, instances = Balancer(Random(1)), make_many(2)
    picked = []
    for _ in range(200):
        instance = balancer.pick(instances)
        balancer.started(instance)
        balancer.finished(instance)
        picked.append(instance.name)
    assert any(one == other for one, other in pairwise(picked))


def test_a_newcomer_gets_its_share_and_no_flood():
    balancer, instances = Balancer(Random(2)), make_many(4)
    spread_sequentially(balancer, instances, 10_000)
    newcomer = make("App.new")
    instances.append(newcomer)
    soon = spread_sequentially(balancer, instances, 20)
    assert 1 <= soon[newcomer.name] <= 8
    assert spread_sequentially(balancer, instances, 1_000)[newcomer.name] == pytest.approx(200, rel=0.2)


def test_the_busier_of_two_is_left_alone():
    balancer, (busy, idle) = Balancer(Random(3)), make_many(2)
    balancer.started(busy)
    assert {balancer.pick([busy, idle]) for _ in range(50)} == {idle}


def test_load_counts_in_proportion_to_weight():
    balancer = Balancer(Random(4))
    light, heavy = make("App.light", 1), make("App.heavy", 3)
    balancer.started(light)
    balancer.started(heavy)
    balancer.started(heavy)
    assert balancer.pick([light, heavy]) is heavy


def test_idle_instances_share_by_weight():
    hits = spread_sequentially(Balancer(Random(5)), [make("App.light", 1), make("App.heavy", 3)], 4_000)
    assert hits["App.heavy"] / hits["App.light"] == pytest.approx(3, rel=0.15)


def test_concurrent_requests_settle_by_weight():
    balancer, instances = Balancer(Random(6)), [make("App.light", 1), make("App.heavy", 3)]
    for _ in range(400):
        balancer.started(balancer.pick(instances))
    assert balancer.outstanding["App.heavy"] == pytest.approx(300, abs=2)


def test_nobody_to_pick():
    balancer, (sole,) = Balancer(Random(7)), make_many(1)
    assert balancer.pick([]) is None
    assert balancer.pick([sole]) is sole
    assert balancer.pick([sole], {sole.name}) is None


def test_a_changed_record_keeps_its_count():
    balancer = Balancer(Random(8))
    balancer.started(make("App.1"))
    changed = make("App.1", weight=2)
    assert balancer.outstanding == {"App.1": 1}
    balancer.finished(changed)
    assert balancer.outstanding == {}


def test_what_the_default_policy_remembers_is_bounded():
    policy = LeastOutstanding(Random(9))
    for number in range(20_000):
        policy.started(make(f"App.{number}"))
    assert len(policy._last_pick) <= 2 * 1024
    assert "App.19999" in policy._last_pick


def test_another_policy_decides_and_hears_of_everything():
    class Alphabetical:
        def __init__(self):
            self.heard = []

        def choose(self, one, other, _outstanding):
            return min(one, other, key=lambda instance: instance.name)

        def started(self, instance):
            self.heard.append(("started", instance.name))

        def finished(self, instance):
            self.heard.append(("finished", instance.name))

    policy = Alphabetical()
    balancer, instances = Balancer(Random(10), policy), make_many(2)
    picked = balancer.pick(instances)
    balancer.started(picked)
    balancer.finished(picked)
    balancer.finished(picked)
    assert policy.heard == [("started", "App.0"), ("finished", "App.0")]


@given(seed=st.integers(), count=st.integers(0, 8), avoided=st.sets(st.integers(0, 8)))
def test_never_picks_an_avoided_one_and_always_another_if_there_is_one(seed, count, avoided):
    instances = make_many(count)
    avoid = {f"App.{number}" for number in avoided}
    picked = Balancer(Random(seed)).pick(instances, avoid)
    if picked is None:
        assert all(instance.name in avoid for instance in instances)
    else:
        assert picked in instances
        assert picked.name not in avoid


class Counting(RuleBasedStateMachine):
    """Requests start and end in any order; instances come and go under way."""

    def __init__(self):
        super().__init__()
        self.balancer = Balancer(Random(0))
        self.instances = make_many(3)
        self.under_way: list[Instance] = []
        self.made = 3

    @precondition(lambda self: self.instances)
    @rule()
    def start(self):
        instance = self.balancer.pick(self.instances)
        assert instance is not None
        self.balancer.started(instance)
        self.under_way.append(instance)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data())
    def finish(self, data):
        place = data.draw(st.integers(0, len(self.under_way) - 1))
        self.balancer.finished(self.under_way.pop(place))

    @rule()
    def join(self):
        self.instances.append(make(f"App.{self.made}"))
        self.made += 1

    @precondition(lambda self: self.instances)
    @rule(data=st.data())
    def leave(self, data):
        self.instances.pop(data.draw(st.integers(0, len(self.instances) - 1)))

    @rule()
    def finish_what_never_started(self):
        self.balancer.finished(make("App.stranger"))

    @invariant()
    def counts_are_exact(self):
        assert self.balancer.outstanding == Counter(instance.name for instance in self.under_way)


TestCounting = Counting.TestCase
