"""What is recorded about calls: the trace that a program asks for, and the counts."""

from random import Random

import pytest

from peerage.balancing import Balancer, Observer, Outcome
from peerage.balancing.budget import FIRST_RETRIES
from peerage.calling import CallOptions, GiveUp, Pause
from peerage.calling.trace import begin_trace, trace_calls

NAME = ("service_id", "orders")


@pytest.fixture
def traced(world):
    """Make a call that is traced; return it and its trace."""

    def make(method="GET", **kwargs):
        trace = begin_trace(NAME, method)
        return world.call(method, trace=trace, **kwargs), trace

    return make


def answer(world, call, seconds=0.25):
    attempt = world.attempt(call)
    world.clock.now += seconds
    call.done(attempt, Outcome.ANSWERED)
    call.close()
    return attempt


def test_it_says_who_was_asked_and_why_how_long_it_took_and_how_it_ended(world, traced):
    world.advertise(instance_id="only")
    call, trace = traced()
    attempt = answer(world, call)
    (recorded,) = trace.attempts
    assert (recorded.instance, recorded.record) == ("only", attempt.instance.name)
    assert (recorded.address, recorded.reason) == ("127.0.0.1:80", "the only one")
    assert (recorded.started, recorded.seconds, recorded.outcome) == (0.0, 0.25, "answered")
    assert (trace.method, trace.name, trace.known) == ("GET", "orders.service_id.asab", 1)
    assert (trace.seconds, trace.left_out, trace.problem) == (0.25, [], "")
    world.clock.now += 1.5
    call.over(attempt, Outcome.ANSWERED)
    assert recorded.body_seconds == 1.5


def test_a_body_that_breaks_off_is_recorded(world, traced):
    world.advertise()
    call, trace = traced()
    call.over(answer(world, call), Outcome.CONNECTION_LOST)
    assert trace.attempts[0].problem == "the body broke off: connection_lost"
    assert world.balancer.observer.counts().broken_off == 1


def test_each_instance_that_is_left_out_has_its_reason(world, traced):
    for _ in range(2):
        world.advertise()
    world.advertise(instance_id="tls", web=[["0.0.0.0", 443, "TLS"]], scheme="https")
    world.advertise(instance_id="mute", web=[])
    world.advertise(instance_id="stopping", state="draining")
    call, trace = traced()
    answer(world, call)
    assert trace.known == 5
    (recorded,) = trace.attempts
    assert recorded.reason.endswith("0 requests under way")
    reasons = {each.instance: each.reason for each in trace.left_out}
    assert reasons["mute"].startswith("it advertises no web address")
    assert reasons["stopping"] == "it is draining"
    assert reasons["tls"] == "it speaks https only"
    (other,) = {"orders-1", "orders-2"} - {recorded.instance}
    assert reasons[other] == "not drawn, or not the better of the two; 0 requests under way"


@pytest.mark.parametrize(
    ("state", "reason"), [("draining", "it is draining"), ("suspect", "a suspect: its record vanished")]
)
def test_an_instance_that_is_asked_only_without_others_is_marked_as_one(world, traced, state, reason):
    world.advertise(instance_id="last", state=state)
    call, trace = traced()
    answer(world, call)
    assert trace.attempts[0].reason == f"the only one; {reason}"
    world.advertise()
    call, trace = traced()
    answer(world, call)
    assert [(each.instance, each.reason) for each in trace.left_out] == [("last", reason)]


def test_the_reason_why_an_instance_is_avoided_is_recorded(world, traced):
    refused, ejected, *_ = (world.advertise() for _ in range(4))
    for name in [refused] + [ejected] * 7:
        pick = world.balancer.pick(
            [world.directory.get(name)], world.balancer.service(NAME), last_resort=True
        )
        pick.service.size = 4
        outcome = Outcome.CONNECT_FAILED if name == refused else Outcome.UNAVAILABLE
        pick.done(outcome, world.clock())
    call, trace = traced()
    answer(world, call)
    reasons = {each.record: each.reason for each in trace.left_out}
    assert reasons[refused] == "avoided: it accepted no connection"
    assert reasons[ejected] == "ejected: too many of its requests failed"


def test_failover_is_recorded_with_what_failed(world, traced):
    for _ in range(2):
        world.advertise()
    call, trace = traced()
    world.fail(call)
    answer(world, call)
    first, second = trace.attempts
    assert (first.outcome, first.problem) == ("connect_failed", "connect_failed")
    assert (second.outcome, second.reason) == ("answered", "the only one left")
    assert trace.left_out == []


def test_waits_are_recorded(world, traced):
    world.advertise(near=False, host="elsewhere")
    call, trace = traced()
    (host,) = world.lookups(call).hosts
    world.clock.now += 0.125
    world.addresses.found(host, ["192.0.2.1"])
    world.fail(call, Outcome.CONNECTION_LOST)
    assert isinstance(call.next(), Pause)
    world.clock.now += 0.5
    answer(world, call)
    assert [(wait.reason, wait.seconds) for wait in trace.waits] == [
        ("for the look-up of elsewhere", 0.125),
        ("before the same instance is asked again", 0.5),
    ]


def test_a_call_that_fails_has_its_reason_and_one_that_is_given_up_ends(world, traced):
    world.advertise()
    call, trace = traced()
    world.fail(call)
    assert isinstance(call.next(), Pause)
    assert isinstance(call.next(), GiveUp)
    call.close()
    (wait,) = trace.waits
    assert wait.reason == "to see whether the record of the only instance vanishes"
    assert trace.problem.startswith("No instance with service_id='orders' could be reached")
    world.advertise()
    call, trace = traced()
    world.attempt(call)
    world.clock.now += 3.0
    call.close()
    assert (trace.attempts[0].outcome, trace.attempts[0].seconds, trace.seconds) == ("cancelled", 3.0, 3.0)


def test_what_keeps_an_instance_from_being_chosen_is_said(world, traced):
    given_up, joined = world.advertise(), world.advertise(port=81)
    call = world.call("PUT", options=CallOptions(near=False))
    attempt = world.attempt(call)
    while attempt.instance.name != given_up:
        call.close()
        attempt = world.attempt(call := world.call("PUT"))
    call.close()
    world.balancer.forget(joined)
    world.balancer.joined(joined)
    call, trace = traced()
    assert world.answer(call) == joined
    assert trace.left_out[0].reason.endswith("0 requests under way, 1 given up that may still be processed")


def test_blocks_collect_what_is_begun_inside_and_may_be_nested():
    with trace_calls() as outer:
        first = begin_trace(NAME, "GET")
        with trace_calls() as inner:
            second = begin_trace(NAME, "PUT")
    begin_trace(NAME, "POST")
    assert (outer, inner) == ([first, second], [second])


def test_attempts_and_retries_are_counted(world):
    for _ in range(3):
        world.advertise()
    call = world.call()
    world.fail(call, Outcome.UNAVAILABLE)
    world.answer(call)
    given_up = world.call()
    world.attempt(given_up)
    given_up.close()
    counts = world.balancer.observer.counts()
    assert counts.attempts == {"answered": 1, "unavailable": 1, "cancelled": 1}
    assert (counts.retries, counts.retries_refused, counts.ejections) == (1, 0, 0)


def test_a_retry_that_the_budget_refuses_is_counted_once_for_each_call(world):
    for _ in range(3):
        world.advertise()
    for _ in range(FIRST_RETRIES):
        world.call().service.budget.spend(world.clock())
    for number in range(2):
        call = world.call()
        world.fail(call, Outcome.UNAVAILABLE)
        world.end(call)
        counts = world.balancer.observer.counts()
        assert (counts.retries_refused, counts.given_up) == (number + 1, {"as_it_is": number + 1})


def test_backups_and_those_that_won_are_counted(world, traced):
    for _ in range(2):
        world.advertise()
    call, trace = traced()
    first = world.attempt(call)
    second = call.back_up(first)
    call.done(first, Outcome.CANCELLED)
    call.done(second, Outcome.ANSWERED)
    call.close()
    call.over(second, Outcome.ANSWERED)
    counts = world.balancer.observer.counts()
    assert (counts.backups, counts.backups_won) == (1, 1)
    assert counts.attempts == {"answered": 1, "cancelled": 1}
    assert trace.attempts[1].reason == "a backup, as the first attempt isn't answered: the only one left"


def test_ejections_and_probes_are_counted(world):
    names = [world.advertise() for _ in range(2)]
    service = world.balancer.service(NAME)
    picks = [world.balancer.pick([world.directory.get(names[0])], service) for _ in range(7)]
    service.size = 2
    for pick in picks:
        pick.done(Outcome.UNAVAILABLE, world.clock())
    world.balancer.probed(names[0], passed=False)
    world.balancer.probed(names[0], passed=True)
    counts = world.balancer.observer.counts()
    assert (counts.ejections, counts.probes_passed, counts.probes_failed) == (1, 1, 1)


class Said(Observer):
    """Keeps what an operator would be told."""

    def __init__(self):
        super().__init__()
        self.lines = []

    def ejected(self, instance, outcome):
        self.lines.append(("ejected", instance.name, outcome))

    def stalled(self, name):
        self.lines.append(("stalled", name))

    def readmitted(self, name):
        self.lines.append(("readmitted", name))


def test_changes_of_an_instance_are_reported_when_they_happen(world):
    said = Said()
    balancer = Balancer(Random(1), world.clock, observer=said)
    stuck, other = (world.directory.get(world.advertise()) for _ in range(2))
    waiting, answered = (balancer.pick([each]) for each in (stuck, other))
    world.clock.now += 2.0
    answered.answered(world.clock())
    balancer.check_stalled(waiting)
    assert [*balancer.take_due()] == [stuck]
    balancer.probed(stuck.name, passed=False)
    balancer.probed(stuck.name, passed=False)
    balancer.probed(stuck.name, passed=True)
    assert said.lines == [("stalled", stuck.name), ("readmitted", stuck.name)]
    picks = [balancer.pick([other]) for _ in range(10)]
    picks[0].service.size = 2
    for pick in picks:
        pick.done(Outcome.TIMED_OUT, world.clock())
    assert said.lines[2:] == [("ejected", other.name, Outcome.TIMED_OUT)]
    balancer.probed(other.name, passed=True)
    assert said.lines[3:] == [("readmitted", other.name)]


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"key": "tenant-7"}, "of 2, the first in the order of the key 'tenant-7' that isn't too busy"),
        ({"near": True}, "chosen among the near ones, of 2; 0 requests under way"),
        ({"near": False}, "the better of two drawn from 2; 0 requests under way"),
    ],
)
def test_it_says_whether_a_key_or_nearness_decided(world, traced, options, reason):
    world.advertise()
    world.advertise(near=False, web=[["10.0.0.1", 80]])
    seen = set()
    for _ in range(20):
        call, trace = traced(options=CallOptions(**options))
        answer(world, call).pick.done(Outcome.ANSWERED, world.clock())
        seen.add(trace.attempts[0].reason)
    assert reason in seen
