"""Which of two instances is the better one."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.balancing.test_balancer import end, make, make_balancer, make_many
from tests.support import Clock

from peerage.balancing import Outcome, least_outstanding, peak_ewma, reported_load
from peerage.balancing.scores import REPORTED_SECONDS
from peerage.balancing.stats import Stats


def test_a_slower_instance_gets_less_by_peak_ewma_and_noise_counts_as_equal():
    balancer, instances = make_balancer(0, score=peak_ewma), make_many(2)
    for instance, seconds in zip(instances, (0.3, 0.05), strict=True):
        end(balancer.pick([instance]), seconds=seconds)
    assert {balancer.pick(instances).instance.name for _ in range(4)} == {"App.1"}
    stats = [Stats(), Stats()]
    for each, seconds in zip(stats, (0.009, 0.001), strict=True):
        each.answered(seconds, 0.0)
    assert peak_ewma(instances[0], stats[0], instances[1], stats[1], 0.0) == 0


def test_the_latency_rises_at_once_and_falls_slowly():
    stats = Stats()
    stats.answered(0.01, 0.0)
    stats.answered(1.0, 1.0)
    assert stats.latency == 1.0
    stats.answered(0.0, 1.1)
    assert stats.latency > 0.98
    stats.answered(0.0, 11.1)
    assert stats.latency == pytest.approx(0.37, abs=0.01)
    assert stats.expected_latency(21.1) == pytest.approx(0.13, abs=0.01)


@pytest.mark.parametrize("score", [least_outstanding, peak_ewma, reported_load])
@settings(max_examples=20)
@given(
    weights=st.lists(st.sampled_from([1.0, 1.0, 3.0]), min_size=2, max_size=5),
    history=st.lists(
        st.tuples(st.sampled_from(Outcome), st.floats(0, 10), st.floats(0, 2), st.floats(0, 10)), max_size=40
    ),
    newcomer=st.booleans(),
)
def test_every_instance_gets_requests(score, weights, history, newcomer):
    """Whatever happened before: when all answer well again, each has its share again after two minutes."""
    clock = Clock()
    balancer = make_balancer(0, clock, score=score)
    instances = [make(f"App.{number}", weight) for number, weight in enumerate(weights)]
    if newcomer:
        balancer.joined("App.0")
    for outcome, seconds, pause, retry_after in history:
        pick = balancer.pick(instances) or balancer.pick(instances, last_resort=True)
        pick.reported(int(seconds), clock())
        clock.now += pause
        if outcome is Outcome.ANSWERED:
            pick.answered(pick.started + seconds)
        pick.done(outcome, pick.started + seconds, retry_after=retry_after)
        clock.now = max(clock.now, pick.started + seconds)
    hits = Counter()
    for number in range(1600):
        clock.now += 0.1
        for instance in balancer.take_due():
            balancer.probed(instance.name, passed=True)
        pick = balancer.pick(instances) or balancer.pick(instances, last_resort=True)
        end(pick)
        if number >= 1200:
            hits[pick.instance.name] += 1
    for instance in instances:
        assert hits[instance.name] > 0.8 * 400 * instance.weight / sum(weights)


def test_the_load_that_an_instance_reports_counts_for_three_seconds():
    clock = Clock()
    balancer, instances = make_balancer(0, clock, score=reported_load), make_many(2)
    pick = balancer.pick(instances[:1])
    pick.reported(10, clock())
    end(pick)
    end(balancer.pick(instances[1:]))
    assert {balancer.pick(instances).instance.name for _ in range(8)} == {"App.1"}
    clock.now += REPORTED_SECONDS
    assert balancer.pick(instances).instance.name == "App.0"


def test_loads_count_in_proportion_to_the_weight():
    light, heavy = make("App.light", 1), make("App.heavy", 4)
    for score in (peak_ewma, reported_load):
        balancer = make_balancer(0, score=score)
        picks = [balancer.pick([light, heavy]).instance.name for _ in range(50)]
        assert 7 <= picks.count("App.light") <= 13
