"""A call waits if all instances of a service that has just answered refuse connections, as in a restart."""

import pytest

from peerage.balancing import Outcome
from peerage.calling import CallOptions, Pause, WaitForInstance
from peerage.calling.trace import begin_trace


@pytest.fixture
def serving(world):
    """A service with one instance, which has answered."""
    name = world.advertise()
    world.answer(world.call())
    return name


def refuse(world, call, instances=1):
    for _ in range(instances):
        world.fail(call, refused=True)


def wait(world, call):
    """Let *call* wait to its end; return the step after that."""
    while isinstance(step := call.next(), WaitForInstance):
        world.clock.now += step.seconds
    return step


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_it_goes_to_the_successor(world, serving, method):
    call = world.call(method)
    refuse(world, call)
    assert isinstance(call.next(), Pause)
    assert isinstance(call.next(), WaitForInstance)
    successor = world.advertise(port=81)
    assert world.answer(call) == successor


def test_it_waits_on_if_the_successor_refuses_as_well(world, serving):
    call = world.call()
    refuse(world, call)
    assert isinstance(call.next(), Pause)
    assert isinstance(call.next(), WaitForInstance)
    world.advertise(port=81)
    refuse(world, call)
    assert isinstance(call.next(), WaitForInstance)
    successor = world.advertise(port=82)
    assert world.answer(call) == successor


def test_it_goes_to_the_same_instance_once_a_probe_was_accepted(world, serving):
    call = world.call("POST")
    refuse(world, call)
    assert isinstance(call.next(), Pause)
    while not world.balancer.due:
        step = call.next()
        assert isinstance(step, WaitForInstance)
        world.clock.now += step.seconds
    assert world.balancer.take_due()
    world.balancer.probed(serving, passed=True)
    assert world.answer(call) == serving


@pytest.mark.parametrize("answers", [False, True])
def test_it_asks_once_more_at_the_end(world, serving, answers):
    call = world.call(options=CallOptions(wait=3.0))
    begin = world.clock()
    refuse(world, call)
    assert isinstance(call.next(), Pause)
    last = wait(world, call)
    assert world.clock() - begin == pytest.approx(3.0)
    if answers:
        call.done(last, Outcome.ANSWERED)
        call.over(last, Outcome.ANSWERED)
        call.close()
    else:
        call.done(last, Outcome.CONNECT_FAILED, "refused", refused=True)
        assert "could be reached" in world.end(call).message


def test_it_waits_as_well_if_there_are_several(world, serving):
    for _ in range(2):
        world.advertise()
    call = world.call("POST")
    refuse(world, call, 3)
    assert isinstance(call.next(), WaitForInstance)
    successor = world.advertise(port=81)
    assert world.answer(call) == successor


@pytest.mark.parametrize("first", [True, False])
def test_one_that_refuses_is_enough_if_none_can_be_reached(world, serving, first):
    """Whether it is asked before or after one that doesn't answer."""
    world.advertise()
    call = world.call()
    world.fail(call, refused=first)
    world.fail(call, refused=not first)
    assert isinstance(call.next(), WaitForInstance)
    call.close()


@pytest.mark.parametrize(
    ("options", "last"),
    [({"wait": 0.0}, {"refused": True}), ({}, {"refused": True, "replayable": False})],
    ids=["switched off", "its body can't be sent again"],
)
def test_it_fails_at_once(world, serving, options, last):
    call = world.call("POST", options=CallOptions(**options))
    world.fail(call, **last)
    world.end(call)


def test_it_waits_for_a_moment_only_if_the_service_has_not_answered_within_a_minute(world, serving):
    world.clock.now += 61
    call = world.call()
    refuse(world, call)
    assert isinstance(call.next(), Pause)
    world.end(call)


@pytest.mark.parametrize("outcome", [Outcome.CONNECT_FAILED, Outcome.MISDIRECTED])
def test_it_does_not_wait_if_the_port_is_open_or_does_not_answer(world, serving, outcome):
    """A certificate that has expired, for example, fails connections for longer than a restart."""
    call = world.call()
    world.fail(call, outcome)
    if outcome is Outcome.CONNECT_FAILED:
        assert isinstance(call.next(), Pause)
    world.end(call)


def test_the_trace_has_one_wait(world, serving):
    trace = begin_trace(("service_id", "orders"), "GET")
    call = world.call(trace=trace)
    refuse(world, call)
    assert isinstance(call.next(), Pause)
    last = wait(world, call)
    call.done(last, Outcome.ANSWERED)
    call.close()
    reasons = [each.reason for each in trace.waits]
    assert len(reasons) == 2
    assert reasons[1] == "for an instance of that name"
    assert trace.waits[1].seconds == pytest.approx(5.0)
