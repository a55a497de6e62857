"""The small policies: windows, budgets, ejection, penalties."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule
from tests.balancing.test_balancer import end, make_balancer, make_many
from tests.support import Clock

from peerage import ConfigurationError
from peerage.balancing import Ejection, Outcome, RetryBudget
from peerage.balancing.budget import FIRST_RETRIES
from peerage.balancing.quantile import Quantile
from peerage.balancing.stalling import may_have_stalled
from peerage.balancing.trouble import HELD_SECONDS, Trouble
from peerage.balancing.window import WINDOW_SECONDS, Window

times = st.lists(st.integers(0, 400), max_size=60).map(lambda found: [each / 4 for each in sorted(found)])


@given(times=times, after=st.floats(0, 30))
def test_a_window_counts_all_of_the_last_five_seconds_and_little_older_than_ten(times, after):
    window, now = Window(), (times[-1] if times else 0.0) + after
    for when in times:
        window.add(when)
    total = window.total(now)
    assert total >= sum(when > now - WINDOW_SECONDS / 2 for when in times)
    assert total <= sum(when >= now - WINDOW_SECONDS for when in times)


@given(data=st.data(), share=st.sampled_from([0.0, 0.1, 0.2]))
def test_a_budget_is_never_negative_and_never_pays_more_than_its_share(data, share):
    budget, now, earned, spent = RetryBudget(share), 0.0, 0, 0
    for _ in range(data.draw(st.integers(0, 200))):
        now += data.draw(st.sampled_from([0.0, 0.1, 3.0]))
        if data.draw(st.booleans()):
            budget.succeeded(now)
            earned += 1
        else:
            balance = budget.balance(now)
            assert balance >= 0
            paid = budget.spend(now)
            assert paid is (balance >= 1)
            spent += paid
    assert spent <= share * earned + (FIRST_RETRIES if share else 0)


def test_what_a_budget_earned_is_lost_after_ten_seconds():
    budget = RetryBudget(first=0)
    for _ in range(1000):
        budget.succeeded(1.0)
    assert budget.balance(1.0) == 100
    assert budget.balance(11.0) == 0
    assert not budget.spend(11.0)


@pytest.mark.parametrize(
    ("consecutive", "succeeded", "failed", "trips"),
    [(7, 1000, 7, True), (6, 1000, 6, False), (0, 4, 1, False), (0, 79, 21, True), (0, 1, 3, False)],
)
def test_an_instance_is_ejected_after_seven_failures_or_below_four_fifths(
    consecutive, succeeded, failed, trips
):
    assert Ejection().trips(consecutive, succeeded, failed) is trips
    assert not Ejection(consecutive=0).trips(consecutive, succeeded, failed)


@pytest.mark.parametrize(
    "wrong",
    [
        {"consecutive": -1},
        {"success_rate": 80},
        {"most": -0.5},
        {"jitter": 1.5},
        {"first_seconds": 0},
        {"first_seconds": 5, "longest_seconds": 2},
    ],
)
def test_thresholds_out_of_their_range_are_refused(wrong):
    with pytest.raises(ConfigurationError, match=r"between|at least"):
        Ejection(**wrong)


@given(ejections=st.integers(0, 1000), chance=st.floats(0, 1))
def test_the_pause_before_the_next_try_is_bounded(ejections, chance):
    ejection = Ejection(first_seconds=1.0, longest_seconds=60.0, jitter=0.5)
    assert 0.5 <= ejection.pause(ejections, chance) <= min(60.0, 2.0 ** min(ejections, 10))


def test_a_penalty_grows_with_each_failure_and_is_forgotten():
    trouble = Trouble()
    seen = []
    for _ in range(3):
        trouble.penalise(0.0)
        seen.append(trouble.penalty(0.0))
    assert seen == [5.0, 10.0, 15.0]
    assert trouble.penalty(1.0) == 7.5
    assert trouble.penalty(12.0) == 0.0
    assert trouble.load(4, 12.0) == 4


def test_a_penalty_lasts_as_long_as_the_instance_asked_not_to_be_called():
    trouble = Trouble()
    trouble.penalise(0.0, retry_after=30.0)
    assert trouble.penalty(30.0) == 5.0
    assert trouble.penalty(31.0) == 2.5
    trouble.penalise(40.0, retry_after=1e9)
    assert trouble.penalty(340.0) == 5.0
    assert trouble.penalty(341.0) == 2.5


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.CANCELLED])
def test_a_request_that_was_given_up_counts_until_the_instance_answers(outcome):
    clock = Clock()
    balancer, instances = make_balancer(0, clock), make_many(2)
    for _ in range(3):
        end(balancer.pick(instances[:1]), outcome)
    assert balancer.outstanding == {}
    under_way = [balancer.pick(instances) for _ in range(3)]
    assert {pick.instance.name for pick in under_way} == {"App.1"}
    stats = balancer.stats("App.0")
    assert (stats.pending(clock()), stats.load(clock()) >= 3) == (3, True)
    end(balancer.pick(instances[:1]))
    assert stats.pending(clock()) == 0
    for pick in under_way:
        end(pick)
    clock.now += 10
    assert {balancer.pick(instances).instance.name for _ in range(20)} == {"App.0", "App.1"}


def test_it_counts_until_the_instance_passes_a_probe():
    clock = Clock()
    balancer, instances = make_balancer(0, clock), make_many(2)
    waiting, given_up = (balancer.pick(instances[:1]) for _ in range(2))
    end(given_up, Outcome.CANCELLED)
    clock.now += 2
    balancer.pick(instances[1:]).answered(clock())
    assert not balancer.check_stalled(waiting)
    assert balancer.stats("App.0").pending(clock()) == 2
    assert [each.name for each in balancer.take_due()] == ["App.0"]
    balancer.probed("App.0", passed=True)
    assert balancer.stats("App.0").pending(clock()) == 1


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.CANCELLED])
def test_it_counts_until_the_instance_is_ejected(outcome):
    clock = Clock()
    balancer, instances = make_balancer(0, clock), make_many(2)
    service = balancer.service(("service_id", "orders"))
    end(balancer.pick(instances[:1], service, size=2), outcome)
    assert balancer.stats("App.0").pending(clock()) == 1
    while not service.ejected:
        end(balancer.pick(instances[:1], service, size=2), Outcome.UNAVAILABLE)
    assert balancer.stats("App.0").pending(clock()) == 0


def test_hundreds_of_time_outs_do_not_keep_requests_from_an_overloaded_instance():
    """It would get none that shows when it is idle again, until the others are overloaded as well."""
    trouble = Trouble()
    for _ in range(300):
        trouble.hold(0.0, timed_out=True)
    assert trouble.holding(0.0) == 10
    trouble.hold(0.0)
    assert trouble.holding(0.0) == 11


def test_it_counts_for_half_a_minute_at_most():
    clock = Clock()
    balancer, instances = make_balancer(0, clock), make_many(2)
    end(balancer.pick(instances[:1]), Outcome.CANCELLED)
    clock.now += HELD_SECONDS - 1
    assert balancer.stats("App.0").pending(clock()) == 1
    clock.now += 2
    assert balancer.stats("App.0").pending(clock()) == 0
    picks = [balancer.pick(instances) for _ in range(4)]
    assert [pick.instance.name for pick in picks].count("App.0") == 2


def test_429_counts_in_the_share_of_successes_only():
    balancer, instances = make_balancer(), make_many(2)
    service = balancer.service(("service_id", "orders"))

    def fail(outcome):
        for _ in range(100):
            end(balancer.pick(instances[:1], service, size=2))
        for _ in range(7):
            end(balancer.pick(instances[:1], service, size=2), outcome)
        return service.ejected

    assert not fail(Outcome.THROTTLED)
    assert fail(Outcome.UNAVAILABLE) == {"App.0"}


def test_only_a_request_that_does_no_harm_tries_an_ejected_instance():
    clock = Clock()
    balancer, instances = make_balancer(0, clock), make_many(2)
    service = balancer.service(("service_id", "orders"))
    picks = [balancer.pick(instances[:1], service) for _ in range(7)]
    end(balancer.pick(instances, service))
    for pick in picks:
        end(pick, Outcome.UNAVAILABLE)
    assert [*balancer.avoided] == ["App.0"]
    clock.now += 2
    assert {balancer.pick(instances, service, safe=False).instance.name for _ in range(20)} == {"App.1"}
    assert [each.name for each in balancer.take_due()] == ["App.0"]
    clock.now += 2
    tried = [balancer.pick(instances, service) for _ in range(20)]
    assert [pick.instance.name for pick in tried].count("App.0") == 1


def test_an_overloaded_instance_is_asked_less_and_not_ejected():
    """Otherwise the others would get its requests, and be overloaded, too."""
    clock = Clock()
    balancer, instances = make_balancer(0, clock), make_many(4)
    service = balancer.service(("service_id", "orders"))
    refused = [balancer.pick(instances[:1], service) for _ in range(40)]
    end(balancer.pick(instances, service))
    for pick in refused:
        end(pick, Outcome.OVERLOADED)
    assert not balancer.avoided
    picks = [balancer.pick(instances, service) for _ in range(60)]
    assert "App.0" not in {pick.instance.name for pick in picks}


@pytest.mark.parametrize(
    ("answered_at", "others_at", "now", "stalled"),
    [(0, 12, 11.5, True), (0, 12, 10.9, False), (10, 12, 15, False), (11, 12, 15, False), (0, 10, 15, False)],
)
def test_an_instance_may_have_stalled_if_it_answers_nothing_while_others_do(
    answered_at, others_at, now, stalled
):
    assert may_have_stalled(10, answered_at, others_at, now, others_idle=False) is stalled


@pytest.mark.parametrize(
    ("answered_at", "others_at", "now", "stalled"),
    [(0, 0, 13, True), (0, 10, 13, True), (0, 0, 12.9, False), (0, 12, 11.5, True), (11, 11, 15, False)],
)
def test_so_it_may_after_three_seconds_if_no_other_one_was_asked(answered_at, others_at, now, stalled):
    assert may_have_stalled(10, answered_at, others_at, now, others_idle=True) is stalled


def test_the_only_instance_is_compared_with_none():
    """And none of two is if requests wait at both: then the service is slow."""
    clock = Clock()
    balancer, instances = make_balancer(0, clock), make_many(2)
    service = balancer.service(("service_id", "orders"))
    for asked, suspects in ((instances[:1], 0), (instances, 1)):
        waiting = balancer.pick(asked, service)
        clock.now += 4
        balancer.check_stalled(waiting)
        assert len(balancer.take_due()) == suspects
        end(waiting)
        clock.now += 10
    waiting = [balancer.pick([each], service, size=2) for each in instances]
    clock.now += 4
    for each in waiting:
        balancer.check_stalled(each)
    assert not balancer.due


def test_if_all_instances_fail_too_often_none_is_ejected():
    """They have too many requests together: with those of the ejected ones, the others would fail, too."""
    clock = Clock()
    balancer, instances = make_balancer(0, clock), make_many(4)
    service = balancer.service(("service_id", "orders"))

    def fail(count):
        for instance in instances[:count]:
            picks = [balancer.pick([instance], service, last_resort=True) for _ in range(7)]
            service.size = 4
            for pick in picks:
                end(pick, Outcome.TIMED_OUT)

    fail(3)
    assert len(service.ejected) == 2
    fail(4)
    assert not service.ejected
    assert not balancer.avoided
    clock.now += 4
    fail(2)
    assert not service.ejected
    clock.now += 6
    fail(2)
    assert len(service.ejected) == 2


class Ejecting(RuleBasedStateMachine):
    """Whatever happens, at most half of the instances are ejected, and there is always one to ask."""

    def __init__(self):
        super().__init__()
        self.clock, self.rng = Clock(), Random(0)
        self.balancer = make_balancer(0, self.clock)
        self.instances = make_many(5)
        self.service = self.balancer.service(("service_id", "orders"))

    @rule(
        outcome=st.sampled_from(
            [Outcome.UNAVAILABLE, Outcome.TIMED_OUT, Outcome.THROTTLED, Outcome.ANSWERED]
        ),
        times=st.integers(1, 10),
    )
    def call(self, outcome, times):
        for _ in range(times):
            pick = self.balancer.pick(self.instances, self.service)
            assert pick is not None
            end(pick, outcome)

    @rule(seconds=st.floats(0, 5))
    def wait(self, seconds):
        self.clock.now += seconds

    @rule(passed=st.booleans())
    def probe(self, passed):
        for instance in self.balancer.take_due():
            self.balancer.probed(instance.name, passed=passed)

    @invariant()
    def at_most_half_are_ejected(self):
        assert len(self.service.ejected) <= 2
        assert self.service.ejected == {*self.balancer.avoided}

    @invariant()
    def nothing_is_counted(self):
        assert self.balancer.outstanding == {}


TestEjecting = Ejecting.TestCase


def test_a_failed_probe_of_an_instance_that_was_readmitted_meanwhile_is_no_reason_to_avoid_it():
    """As when all instances fail too often: then none is ejected any more."""
    clock = Clock()
    balancer, (instance, *others) = make_balancer(0, clock), make_many(4)
    service = balancer.service(("service_id", "orders"))

    def fail(*instances):
        for _ in range(7):
            if (pick := balancer.pick(list(instances), service, size=4)) is not None:
                end(pick, Outcome.UNAVAILABLE)

    fail(instance)
    assert [*balancer.avoided] == [instance.name]
    clock.now += 2.0
    balancer.pick([instance], service, size=4, safe=False)
    assert [*balancer.take_due()] == [instance]
    for other in others:
        fail(other)
    assert not balancer.avoided
    balancer.probed(instance.name, passed=False)
    assert not balancer.avoided


@pytest.mark.parametrize("share", [0.5, 0.95, 0.985])
def test_a_quantile_is_at_most_a_fifth_too_large_and_follows_a_change(share):
    quantile, rng = Quantile(share), Random(1)
    for scale in (0.01, 1.0, 0.001):
        times = [rng.expovariate(1 / scale) for _ in range(60_000)]
        for seconds in times:
            quantile.add(seconds)
        exact = sorted(times)[int(share * len(times))]
        assert 0.95 * exact <= quantile.value <= 1.25 * exact


@given(seconds=st.floats(0, 1e9))
def test_a_quantile_takes_any_time(seconds):
    quantile = Quantile(0.9)
    assert quantile.value is None
    for _ in range(64):
        quantile.add(seconds)
    assert quantile.value > 0
