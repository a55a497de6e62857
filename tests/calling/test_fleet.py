"""What callers and services notice when instances behave badly, simulated.

Good instances answer after 20 ms on average, or after 300 ms where that is said.
"""

import pytest
from tests.calling.fleet import Fleet, answers, fails, queues, until

from peerage.balancing import Outcome

good, slow = answers(0.02), answers(0.3)


def never(_now, _rng):
    return Outcome.ANSWERED, 1e6


def test_an_instance_that_fails_fast_does_not_draw_the_traffic():
    fleet = Fleet(until(3, good, until(8, fails(), good)), good, good, good)
    fleet.work(50)
    fleet.run(12)
    assert fleet.share(0, 0, 3) == pytest.approx(0.25, abs=0.02)
    assert fleet.share(0, 3, 4) <= 0.05
    assert fleet.share(0, 4, 8) <= 0.005
    assert fleet.failed() == 0
    # It is back within two seconds.
    assert fleet.share(0, 10, 12) == pytest.approx(0.25, abs=0.03)


def test_an_instance_that_answers_429_gets_less():
    fleet = Fleet(fails(Outcome.THROTTLED), good, good, good)
    fleet.work(50)
    fleet.run(3)
    assert fleet.share(0, 0, 3) <= 0.01


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("bad", [1, 2])
def test_one_good_instance_carries_the_load_of_those_that_fail_fast(method, bad):
    fleet = Fleet(*[fails()] * bad, slow)
    fleet.work(50, method)
    fleet.run(10)
    assert fleet.failed(1) <= 0.01
    if method == "POST":
        # Those ejected are tried by a probe.
        assert fleet.probes.total() >= 3


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_new_instances_that_fail_fast_draw_no_traffic_either(method):
    for seed in range(3):
        fleet = Fleet(*[fails()] * 2, slow, seed=seed)
        for name in fleet.names:
            fleet.world.balancer.joined(name)
        fleet.work(50, method)
        fleet.run(6)
        assert fleet.failed(1) <= 0.01


def test_most_of_many_instances_failing_fast_leave_the_work_to_the_others():
    fleet = Fleet(*[fails()] * 8, slow, slow)
    fleet.work(50, "POST")
    fleet.run(20)
    assert fleet.failed(2) <= 0.02


def test_a_stalled_instance_draws_no_traffic_and_fails_no_get():
    fleet = Fleet(until(2, good, never), good, good)
    fleet.work(100, limit=1.0)
    fleet.run(7)
    assert fleet.failed() == 0
    assert sum(when > 2 for when in fleet.asked[fleet.names[0]]) <= 60


def test_a_stopped_instance_holds_what_posts_without_a_limit_sent_it_and_gets_no_more():
    fleet = Fleet(until(2, good, never), good, good)
    fleet.work(20, "POST", limit=1.0)
    fleet.run(20)
    failed = sum(outcome is Outcome.TIMED_OUT for _, _, outcome, _ in fleet.results)
    assert 1 <= failed <= 20


@pytest.mark.parametrize(("rate", "seconds"), [(1, 100), (10, 20), (100, 10)])
@pytest.mark.parametrize("outcome", [Outcome.UNAVAILABLE, Outcome.CONNECTION_LOST, Outcome.TIMED_OUT])
def test_a_total_outage_is_not_made_worse_by_retries(rate, seconds, outcome):
    begin = 30
    fleet = Fleet(*[until(begin, good, fails(outcome))] * 4)
    fleet.load(rate)
    fleet.run(begin)
    attempts, calls = sum(map(len, fleet.asked.values())), len(fleet.results)
    fleet.run(begin + seconds)
    attempts = sum(map(len, fleet.asked.values())) - attempts
    assert attempts / (len(fleet.results) - calls) <= 1.1


def test_all_instances_that_recover_together_are_all_called_again():
    fleet = Fleet(*[until(3, good, until(6, fails(), good))] * 4)
    fleet.work(8)
    fleet.run(22)
    assert fleet.failed(6.1) == 0
    for number in range(4):
        assert fleet.share(number, 20, 22) > 0.15


def test_an_instance_that_fails_now_and_then_gets_less_and_callers_notice_nothing():
    fleet = Fleet(
        lambda _, rng: (Outcome.UNAVAILABLE, 0.001) if rng.random() < 0.1 else (Outcome.ANSWERED, 0.02),
        good,
        good,
    )
    fleet.work(20)
    fleet.run(10)
    assert fleet.failed() == 0
    assert 0.001 < fleet.share(0, 1, 10) < 0.25


def slow_now_and_then(_now, rng):
    return Outcome.ANSWERED, 1.0 if rng.random() < 0.01 else rng.expovariate(1 / 0.01)


def seconds_of(fleet, share, begin=0.0):
    taken = sorted(seconds for when, _, _, seconds in fleet.results if when >= begin)
    return taken[int(share * len(taken))]


def attempts_of(fleet):
    return sum(map(len, fleet.asked.values()))


def test_hedging_cuts_off_the_slowest_answers_for_two_percent_more_requests():
    plain, hedged = (Fleet(*[slow_now_and_then] * 5, seed=1, hedge=hedge) for hedge in (False, True))
    for fleet in (plain, hedged):
        fleet.load(200)
        fleet.run(60)
    assert seconds_of(plain, 0.995) == pytest.approx(1.0)
    assert seconds_of(hedged, 0.999, 5) <= 0.15
    assert attempts_of(hedged) <= 1.021 * hedged.begun


def test_hedging_adds_no_load_when_everything_becomes_slow():
    fleet = Fleet(*[until(20, answers(0.01), answers(0.5))] * 5, hedge=True)
    fleet.load(100)
    fleet.run(20)
    attempts, begun = attempts_of(fleet), fleet.begun
    fleet.run(40)
    assert (attempts_of(fleet) - attempts) / (fleet.begun - begun) <= 1.03


def test_what_changes_something_is_not_hedged():
    fleet = Fleet(*[slow_now_and_then] * 5, hedge=True)
    fleet.load(200, "PUT")
    fleet.run(20)
    assert attempts_of(fleet) == fleet.begun


def test_slow_instances_among_fast_ones_hold_up_few_requests():
    """Four of sixteen are sixteen times slower; by turns, the slow ones would get more than they can do."""
    fleet = Fleet(*[queues(0.08 if number % 4 == 0 else 0.005, 1) for number in range(16)])
    fleet.load(0.6 * (12 / 0.005 + 4 / 0.08))
    fleet.run(10)
    assert seconds_of(fleet, 0.99, 3) <= 0.5


def test_an_instance_that_becomes_slow_fails_no_request_within_a_limit():
    fleet = Fleet(*[answers(0.02)] * 10, until(5, good, until(25, lambda *_: (Outcome.ANSWERED, 2.0), good)))
    fleet.load(200, limit=1.0)
    fleet.run(30)
    assert fleet.failed() <= 0.001


@pytest.mark.parametrize("rate", [100, 300])
def test_a_new_instance_that_is_cold_for_a_while_slows_few_requests(rate):
    fleet = Fleet(*[queues(0.02, 4) for _ in range(4)])
    fleet.load(rate)
    fleet.run(10)
    before = seconds_of(fleet, 0.99, 3)
    fleet.join(until(15, answers(0.3), queues(0.02, 4)))
    fleet.run(15)
    assert seconds_of(fleet, 0.99, 10) <= 2 * before
    fleet.run(25)
    assert fleet.share(4, 20, 25) == pytest.approx(0.2, abs=0.03)
