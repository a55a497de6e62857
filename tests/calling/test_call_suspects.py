"""What calls do with suspects: instances whose records vanished, and that may be alive."""

import pytest

from peerage.balancing import Outcome
from peerage.calling import CallOptions, Pause, WaitForInstance
from peerage.directory import Guard


@pytest.fixture
def suspect(world):
    """The only instance that is known."""
    world.directory.guard = Guard()
    name = world.advertise()
    world.directory.remove(name)
    return name


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_that_finds_the_last_suspect_dead_waits_for_the_next_instance(world, suspect, method):
    world.directory.subscribe(lambda _: world.context.emptied.update({call.name: world.clock()}))
    call = world.call(method)
    assert world.fail(call, refused=True) == suspect
    assert isinstance(call.next(), WaitForInstance)
    assert not world.directory.names()
    successor = world.advertise(port=81)
    assert world.answer(call) == successor


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_suspect_that_does_not_answer_stays_and_the_call_waits_for_another(world, suspect, method):
    """The network may have lost what was sent: that proves nothing."""
    call = world.call(method)
    assert world.fail(call) == suspect
    assert isinstance(call.next(), Pause)
    wait = call.next()
    assert isinstance(wait, WaitForInstance)
    # It changes, and is still a suspect.
    assert isinstance(call.next(), WaitForInstance)
    assert world.directory.names() == {suspect}
    successor = world.advertise(port=81)
    assert world.answer(call) == successor


def test_a_call_whose_suspects_do_not_answer_waits_as_long_as_its_options_say(world, suspect):
    call = world.call(options=CallOptions(wait=2.0))
    world.fail(call)
    assert isinstance(call.next(), Pause)
    begin = world.clock()
    while isinstance(step := call.next(), WaitForInstance):
        world.clock.now += step.seconds
    assert world.clock() - begin == pytest.approx(2.0)
    # It may be reachable again.
    call.done(step, Outcome.CONNECT_FAILED, "no")
    assert "could be reached" in world.end(call).message


def test_a_suspect_where_another_service_answers_is_dropped(world, suspect):
    call = world.call()
    world.fail(call, Outcome.MISDIRECTED)
    assert not world.directory.names()
    call.close()
