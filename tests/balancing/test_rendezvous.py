"""The same instance for the same key, and subsets."""

import subprocess
import sys
import tracemalloc
from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.balancing.test_balancer import end, make, make_balancer, make_many
from tests.balancing.test_locality import make as make_with_ids

from peerage.balancing import Outcome
from peerage.balancing.choices import Choices
from peerage.balancing.locality import NOWHERE
from peerage.balancing.rendezvous import Rendezvous, capacity
from peerage.balancing.subsets import WHOLE, subset

KEYS = [f"tenant-{number}" for number in range(2000)]


def first(instances) -> dict[str, str]:
    """The name of the first instance for each key."""
    rendezvous = Rendezvous(instances)
    return {key: rendezvous.order(key)[0].name for key in KEYS}


@given(count=st.integers(2, 20), gone=st.integers(0, 19), order=st.randoms(use_true_random=False))
def test_when_an_instance_leaves_only_its_keys_move_each_to_the_next_in_its_order(count, gone, order):
    instances = make_many(count)
    left = [each for number, each in enumerate(instances) if number != gone % count]
    order.shuffle(left)
    before, after = Rendezvous(instances), Rendezvous(left)
    for key in KEYS[:50]:
        expected = [each for each in before.order(key) if each in left]
        assert [*after.order(key)][: len(expected)] == expected


@pytest.mark.parametrize("count", [2, 3, 10, 50])
def test_keys_are_shared_evenly(count):
    shares = Counter(first(make_many(count)).values())
    assert len(shares) == count
    mean = len(KEYS) / count
    # Four standard deviations of a binomial distribution.
    assert all(abs(each - mean) < 4 * mean**0.5 for each in shares.values())


def test_keys_are_shared_by_the_weights():
    instances = [make("a", 3), make("b"), make("c", 0.5), make("d", 0.5)]
    shares = Counter(first(instances).values())
    assert shares["a"] / len(KEYS) == pytest.approx(0.6, abs=0.04)
    assert shares["b"] / len(KEYS) == pytest.approx(0.2, abs=0.04)
    # Lighter ones give keys away, and take none.
    before, after = first([make("a", 3), *map(make, "bcd")]), first(instances)
    assert all(after[key] == name for key, name in before.items() if name in "ab")


def test_all_processes_agree():
    code = (
        "from tests.balancing.test_balancer import make_many; "
        "from peerage.balancing.rendezvous import Rendezvous; "
        "print([each.name for each in Rendezvous(make_many(8)).order('tenant-7')])"
    )
    seen = {
        subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True).stdout
        for _ in range(2)
    }
    assert seen == {f"{[each.name for each in Rendezvous(make_many(8)).order('tenant-7')]}\n"}


def test_an_instance_has_the_same_keys_after_a_restart():
    def make_three(generation: int):
        return [
            make_with_ids(f"App.{generation}{number}", instance_id=f"orders-{number}") for number in range(3)
        ]

    before, after = first(make_three(1)), first(make_three(2))
    assert all(before[key][-1] == after[key][-1] for key in KEYS)


def test_instances_of_the_same_id_share_their_keys():
    twins = [make_with_ids(name, instance_id="orders") for name in ("App.1", "App.2")]
    assert min(Counter(first(twins).values()).values()) > 0.4 * len(KEYS)


def test_any_text_is_a_key():
    rendezvous = Rendezvous(make_many(3))
    for key in ("", "ž", "\udcff", "x" * 100_000):
        assert len(rendezvous.order(key)) == 3


def test_long_keys_take_no_more_memory_than_short_ones():
    rendezvous = Rendezvous(make_many(3))
    tracemalloc.start()
    try:
        for number in range(100):
            rendezvous.order(f"{number}: " + "x" * 100_000)
        assert tracemalloc.get_traced_memory()[0] < 500_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize(
    ("under_way", "share", "most"),
    [(0, 1 / 3, 1), (7, 0.25, 3), (29, 1 / 3, 13), (99, 0.1, 13), (99, 0.5, 63)],
)
def test_the_bound_is_one_and_a_quarter_of_the_mean(under_way, share, most):
    assert capacity(under_way, share) == most


class TestPicking:
    def setup_method(self):
        self.balancer = make_balancer()
        self.service = self.balancer.service(("service_id", "orders"))
        self.instances = make_many(4)
        self.rendezvous = Rendezvous(self.instances)

    def pick(self, key="tenant-7", **kwargs):
        return self.balancer.pick_for_key(key, self.rendezvous, self.service, **kwargs)

    def names(self, key="tenant-7"):
        return [each.name for each in self.rendezvous.order(key)]

    def test_the_same_key_goes_to_the_same_instance(self):
        for _ in range(20):
            pick = self.pick()
            assert pick.instance.name == self.names()[0]
            end(pick)
        assert self.service.outstanding == 0

    def test_half_of_all_instances_may_be_ejected(self):
        self.instances = make_many(40)
        self.rendezvous = Rendezvous(self.instances)
        most = 0
        for number in range(1000):
            end(self.pick(f"tenant-{number}"), Outcome.UNAVAILABLE)
            most = max(most, len(self.balancer.avoided))
        assert most == 20

    def test_no_instance_gets_more_than_its_bound(self):
        picks = [self.pick() for _ in range(40)]
        hits = Counter(pick.instance.name for pick in picks)
        # The first of 40 requests, 1.25 × 10, and so on.
        assert [hits[name] for name in self.names()[:2]] == [13, 13]
        assert max(hits.values()) == 13
        for pick in picks:
            end(pick)
        assert self.service.outstanding == 0
        assert self.pick().instance.name == self.names()[0]

    def test_a_few_requests_at_once_stay_together_at_a_healthy_instance(self):
        assert {self.pick().instance.name for _ in range(4)} == {self.names()[0]}
        assert self.pick().instance.name == self.names()[1]

    def test_an_avoided_instance_leaves_its_keys_to_the_next(self):
        end(self.pick(), Outcome.CONNECT_FAILED)
        assert self.pick().instance.name == self.names()[1]

    def test_a_retry_goes_to_the_next(self):
        names = self.names()
        assert self.pick(tried=names[:1]).instance.name == names[1]
        assert self.pick(tried=names[:3]).instance.name == names[3]
        assert self.pick(tried=names) is None

    def test_attempts_that_were_given_up_count_as_under_way(self):
        picks = [self.pick() for _ in range(2)]
        end(picks[0], Outcome.TIMED_OUT)
        assert self.pick().instance.name != self.names()[0]
        self.balancer.forget(self.names()[0])

    @given(
        steps=st.lists(
            st.tuples(
                st.sampled_from(KEYS[:5]), st.sampled_from(Outcome), st.booleans(), st.integers(0, 1000)
            ),
            max_size=60,
        )
    )
    def test_what_is_counted_returns_to_zero(self, steps):
        self.setup_method()
        under_way = []
        for key, outcome, ends, which in steps:
            pick = self.pick(key) or self.balancer.pick(self.instances, self.service)
            if pick is not None:
                under_way.append(pick)
            if ends and under_way:
                end(under_way.pop(which % len(under_way)), outcome)
            assert self.service.outstanding == len(under_way)
        for pick in under_way:
            end(pick)
        assert self.service.outstanding == 0
        assert self.balancer.outstanding == {}


# Subsets


def test_few_instances_are_used_as_a_whole():
    instances = make_many(WHOLE)
    assert subset(instances, 20, 1) is instances
    assert subset(make_many(WHOLE + 20), WHOLE + 20, 1)[0].name == "App.0"
    assert len(subset(make_many(WHOLE + 1), 20, 1)) == 20


@given(salt=st.integers(0, 2**32), gone=st.integers(0, 149))
def test_a_change_of_one_instance_changes_at_most_one_of_a_subset(salt, gone):
    instances = make_many(150)
    before = {*subset(instances, 20, salt)}
    del instances[gone]
    after = {*subset(instances, 20, salt)}
    assert len(after) == 20
    assert len(before - after) <= 1


def test_the_instances_of_many_callers_subsets_are_about_evenly_used():
    instances, rng = make_many(150), Random(1)
    used = Counter(each.name for _ in range(1500) for each in subset(instances, 20, rng.getrandbits(32)))
    assert len(used) == 150
    assert max(used.values()) < 1.35 * 200
    assert min(used.values()) > 0.65 * 200


def test_a_subset_is_computed_once():
    choices = Choices(make_many(150), 1, NOWHERE, 7)
    some, levels = choices.subset(20)
    assert choices.subset(20)[0] is some
    assert levels is None
    assert len(choices.subset(30)[0]) == 30
    assert choices.rendezvous is choices.rendezvous
