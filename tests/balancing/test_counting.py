"""The counts of requests under way, in whatever order these begin and end."""

from collections import Counter

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from tests.balancing.test_balancer import end, make_balancer, make_many
from tests.support import Clock

from peerage.balancing import Outcome, Pick
from peerage.balancing.trouble import HELD_SECONDS


class CountingMachine(RuleBasedStateMachine):
    """Counts equal the requests under way, in whatever order they begin and end."""

    def __init__(self):
        super().__init__()
        self.clock = Clock()
        self.balancer = make_balancer(0, self.clock)
        self.instances = make_many(6)
        self.service = self.balancer.service(("service_id", "orders"))
        self.under_way: list[Pick] = []

    @rule(last_resort=st.booleans())
    def begin(self, last_resort):
        pick = self.balancer.pick(self.instances, self.service, last_resort=last_resort)
        if pick is not None:
            self.under_way.append(pick)

    @precondition(lambda self: self.under_way)
    @rule(data=st.data(), outcome=st.sampled_from(Outcome))
    def end(self, data, outcome):
        number = data.draw(st.integers(0, len(self.under_way) - 1))
        end(self.under_way.pop(number), outcome)

    @rule(seconds=st.floats(0, 3))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule(number=st.integers(0, 5), joins=st.booleans())
    def change(self, number, joins):
        """The record of an instance is removed, perhaps while requests are under way, or comes back."""
        (self.balancer.joined if joins else self.balancer.forget)(f"App.{number}")

    @rule(passed=st.booleans())
    def probe(self, passed):
        for instance in self.balancer.take_due():
            self.balancer.probed(instance.name, passed=passed)

    @rule()
    def end_all(self):
        """Nothing is left then but what was given up, which counts for half a minute."""
        while self.under_way:
            end(self.under_way.pop(), Outcome.CANCELLED)
        self.clock.now += HELD_SECONDS + 1
        for number in range(6):
            stats = self.balancer.stats(f"App.{number}")
            assert stats is None or stats.pending(self.clock()) == 0

    @invariant()
    def counts_are_true(self):
        assert self.service.outstanding == len(self.under_way)
        assert self.balancer.outstanding == Counter(pick.instance.name for pick in self.under_way)


TestCounting = CountingMachine.TestCase


@pytest.mark.parametrize("drained", [False, True])
def test_requests_at_an_instance_whose_record_vanished_are_not_answered_unless_it_drained(drained):
    clock = Clock()
    balancer, instances = make_balancer(11, clock), make_many(1)
    pick = balancer.pick(instances)
    assert not balancer.check_stalled(pick)
    balancer.forget("App.0", drained=drained)
    assert balancer.check_stalled(pick) is not drained
    end(pick, Outcome.CANCELLED)
    assert not balancer.check_stalled(balancer.pick(instances))


@pytest.mark.parametrize("passed", [False, True])
def test_an_instance_that_has_drained_may_be_out_of_reach_as_well(passed):
    """It answers none of the requests that it has if it doesn't answer a probe either."""
    clock = Clock()
    balancer, instances = make_balancer(11, clock), make_many(2)
    picks = [balancer.pick(instances) for _ in range(2)]
    assert {pick.instance for pick in picks} == {*instances}
    balancer.forget(picks[0].instance.name, drained=True)
    clock.now += 1.0
    picks[1].answered(clock())
    picks[1].done(Outcome.ANSWERED, clock())
    assert not balancer.check_stalled(picks[0])
    assert [*balancer.take_due()] == [picks[0].instance]
    balancer.probed(picks[0].instance.name, passed=passed)
    assert balancer.check_stalled(picks[0]) is not passed
    assert not balancer.avoided
    end(picks[0], Outcome.CANCELLED)
    assert balancer.stats(picks[0].instance.name) is None


def test_what_is_forgotten_of_a_name_stays_in_the_totals():
    """The counters of all names together only grow."""
    balancer, instances = make_balancer(), make_many(2)
    for number in range(5000):
        pick = balancer.pick(instances, balancer.service(("service_id", f"orders-{number}")))
        pick.answered(pick.started + 0.03 * number)
        pick.done(Outcome.ANSWERED, pick.started)
    tally = balancer.service(("service_id", "orders-4999")).tally
    assert (tally.answered, tally.seconds) == (1, pytest.approx(0.03 * 4999))
    assert (sum(tally.durations[:-1]), tally.durations[-1]) == (0, 1)
    assert len(balancer.observer.tallies) <= 4097
    assert balancer.observer.counts().attempts == {"answered": 5000}
