"""What options for calls change about others."""

import pytest

from peerage.balancing import Outcome
from peerage.calling import CallOptions
from peerage.calling.answers import FAILURES


@pytest.mark.parametrize("outcome", [Outcome.TIMED_OUT, Outcome.CONNECTION_LOST, Outcome.OVERLOADED])
def test_what_does_not_count_as_a_failure_has_no_consequences_for_other_calls(world, outcome):
    """What was given up counts as under way still."""
    bad, good = world.advertise(port=80), world.advertise(port=81)
    call = world.call(options=CallOptions(failures=FAILURES - {"timed_out", "connection_lost", 503}))
    failed = world.fail(call, outcome)
    assert world.answer(call) == ({bad, good} - {failed}).pop()
    stats, now = world.balancer.stats(failed), world.clock()
    assert stats.load(now) == (1 if outcome is Outcome.TIMED_OUT else 0)
    world.balancer.probed(failed, passed=True)
    assert stats.trouble is None or not stats.trouble.consecutive


def test_a_call_for_which_fewer_answers_are_failures_tries_no_ejected_instance(world):
    """By its answer 503 the instance would seem to be well."""
    bad, good = world.advertise(port=80), world.advertise(port=81)
    service = world.balancer.service(("service_id", "orders"))
    while not service.ejected:
        pick = world.balancer.pick([world.directory.get(bad)], service, size=2)
        pick.done(Outcome.UNAVAILABLE, world.clock())
    world.clock.now += 30
    for _ in range(20):
        assert world.answer(world.call(options=CallOptions(failures=()))) == good
    world.clock.now += 30
    assert bad in {world.answer(world.call()) for _ in range(20)}


def test_what_is_usual_is_learnt_from_requests_that_may_be_hedged(world):
    """So the hedged requests of one kind may take longer than all others."""
    world.advertise(port=80)

    def ask(seconds, method="GET", **options):
        call = world.call(method, options=CallOptions(**options))
        attempt = world.attempt(call)
        after = call.hedge_after(attempt)
        world.clock.now += seconds
        call.done(attempt, Outcome.ANSWERED)
        call.close()
        call.over(attempt, Outcome.ANSWERED)
        return after

    for _ in range(100):
        ask(0.3, hedge=True)
        ask(0.001)
        ask(0.001, "PUT", hedge=True)
    assert 0.3 <= ask(0.3, hedge=True) <= 0.36
