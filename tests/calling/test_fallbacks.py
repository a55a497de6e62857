"""A request that no ready instance answers goes to a draining one, and then to a suspect."""

import pytest

from peerage.balancing import Outcome
from peerage.calling import CallOptions, GiveUp, Pause
from peerage.calling.trace import begin_trace
from peerage.directory import Guard


@pytest.fixture
def add_suspect(world):
    """Advertise an instance whose record vanishes; return its name."""
    world.directory.guard = Guard(share=0.0, least=1)

    def add(**kwargs):
        name = world.advertise(**kwargs)
        world.directory.remove(name)
        return name

    return add


@pytest.fixture
def fallbacks(world, add_suspect):
    """A ready instance, a draining one and a suspect, in the order in which they are asked."""
    suspect = add_suspect(port=81)
    draining = world.advertise(port=82, state="draining")
    return [world.advertise(port=83), draining, suspect]


def test_ready_ones_come_first_and_suspects_last(world, fallbacks):
    call = world.call()
    assert [world.fail(call) for _ in range(3)] == fallbacks
    assert isinstance(call.next(), Pause)
    call.close()


@pytest.mark.parametrize("outcome", [Outcome.UNAVAILABLE, Outcome.CONNECTION_LOST])
def test_one_that_answers_with_errors_leaves_the_request_to_the_next(world, fallbacks, outcome):
    call = world.call()
    assert [world.fail(call, outcome), world.fail(call, outcome)] == fallbacks[:2]
    assert world.answer(call) == fallbacks[2]


def test_a_request_that_may_be_processed_once_is_not_sent_again(world, fallbacks):
    call = world.call("POST")
    world.fail(call, Outcome.UNAVAILABLE)
    assert isinstance(world.end(call), GiveUp)


@pytest.mark.parametrize("options", [{}, {"key": "k"}, {"near": False}, {"subset": 2}])
def test_all_ready_ones_are_tried_first(world, add_suspect, options):
    suspect = add_suspect(port=81)
    ready = {world.advertise(port=port) for port in (82, 83)}
    call = world.call(options=CallOptions(**options))
    assert {world.fail(call), world.fail(call)} == ready
    assert world.answer(call) == suspect


def test_they_are_preferred_to_ready_ones_that_are_avoided(world, fallbacks):
    world.fail(call := world.call())
    call.close()
    assert fallbacks[0] in world.balancer.avoided
    assert world.answer(world.call()) == fallbacks[1]


def test_those_that_are_avoided_are_a_last_resort_as_well(world, fallbacks):
    call = world.call()
    for _ in fallbacks:
        world.fail(call)
    call.close()
    assert world.balancer.avoided == {*fallbacks}
    call = world.call()
    asked = [world.fail(call), world.fail(call)]
    call.close()
    assert asked == fallbacks[:2]


def test_only_those_that_speak_the_scheme_are_asked(world, add_suspect):
    suspects = [add_suspect(web=[["0.0.0.0", 81, "TLS"]], scheme="https"), add_suspect(port=82)]
    world.advertise(port=83)
    call = world.call()
    world.fail(call)
    assert world.answer(call) == suspects[1]


def test_a_backup_may_go_to_one(world, fallbacks):
    call = world.call()
    first = world.attempt(call)
    backup = call.back_up(first)
    assert backup is not None
    assert backup.instance.name == fallbacks[1]
    call.done(backup, Outcome.ANSWERED)
    call.over(backup, Outcome.ANSWERED)
    call.close()


def test_the_trace_says_why(world, fallbacks):
    trace = begin_trace(("service_id", "orders"), "GET")
    call = world.call(trace=trace)
    world.fail(call)
    world.answer(call)
    assert [each.record for each in trace.attempts] == fallbacks[:2]
    assert trace.attempts[1].reason == "all others are avoided or were tried; it is draining"
