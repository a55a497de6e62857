"""The state machine of a request, driven without an event loop."""

import socket
import subprocess
import sys

import pytest

from peerage.balancing import Outcome
from peerage.balancing.budget import FIRST_RETRIES
from peerage.calling import (
    Attempt,
    Call,
    Ending,
    Pause,
    Relieve,
    WaitForInstance,
)
from peerage.calling.search import LAST_RESORTS

IPV4 = socket.AF_INET


def test_importing_it_loads_neither_an_http_library_nor_asyncio():
    program = (
        "import sys, peerage.calling; print({'aiohttp', 'asyncio', 'yarl', 'httpx'} & sys.modules.keys())"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set()\n"


def test_the_first_attempt_is_at_a_literal_address(world):
    name = world.advertise(port=8080)
    call = world.call()
    attempt = world.attempt(call)
    assert (attempt.instance.name, attempt.ip, attempt.port) == (name, "127.0.0.1", 8080)
    assert attempt.authority == "127.0.0.1:8080"
    assert world.balancer.outstanding == {name: 1}
    call.done(attempt, Outcome.ANSWERED)
    call.close()
    # Counted until the response is over.
    assert world.balancer.outstanding == {name: 1}
    attempt.pick.done(Outcome.ANSWERED, world.clock())
    assert world.balancer.outstanding == {}


def test_an_ipv6_address_has_brackets_in_a_url(world):
    world.advertise(web=[["::", 8080]])
    assert world.attempt(world.call()).authority == "[::1]:8080"


# Nothing was sent


@pytest.mark.parametrize("method", ["GET", "POST"])
@pytest.mark.parametrize("outcome", [Outcome.CONNECT_FAILED, Outcome.MISDIRECTED])
def test_an_unprocessed_request_goes_to_each_instance_once(world, method, outcome):
    names = {world.advertise() for _ in range(30)}
    call = world.call(method)
    tried = [world.fail(call, outcome) for _ in range(29)]
    tried.append(world.answer(call))
    assert {*tried} == names
    assert len(tried) == 30


def test_total_outage_costs_each_further_call_few_attempts(world):
    for _ in range(30):
        world.advertise()
    call = world.call("POST")
    for _ in range(30):
        world.fail(call)
    end = world.end(call)
    assert end.ending is Ending.UNREACHABLE
    assert (
        "No instance with service_id='orders' could be reached: 127.0.0.1:80 (connect_failed)" in end.message
    )
    assert "and 25 more" in end.message
    for _ in range(20):
        world.clock.now += 0.01
        call = world.call("POST")
        for _ in range(LAST_RESORTS):
            world.fail(call)
        assert world.end(call).ending is Ending.UNREACHABLE


def test_an_instance_known_to_refuse_is_not_asked_while_there_is_another(world):
    dead, alive = world.advertise(), world.advertise()
    while not world.balancer.avoided:
        call = world.call()
        attempt = world.attempt(call)
        call.done(attempt, Outcome.CONNECT_FAILED if attempt.instance.name == dead else Outcome.ANSWERED)
        # Closed without asking for the next step, as by a caller that is cancelled just then.
        call.close()
        attempt.pick.done(Outcome.ANSWERED, world.clock())
    assert {world.answer(world.call("POST")) for _ in range(50)} == {alive}


def test_a_body_that_can_not_be_sent_again_is_not(world):
    for _ in range(3):
        world.advertise()
    call = world.call("POST")
    world.fail(call, Outcome.MISDIRECTED, replayable=False)
    assert world.end(call).ending is Ending.UNREACHABLE


# Bytes were sent


def test_a_lost_connection_is_retried_twice_if_that_is_harmless(world):
    for _ in range(6):
        world.advertise()
    call = world.call("GET")
    assert len({world.fail(call, Outcome.CONNECTION_LOST) for _ in range(3)}) == 3
    assert world.end(call).ending is Ending.UNREACHABLE


def test_a_request_that_may_not_be_retried_raises_the_error_unchanged(world):
    for _ in range(3):
        world.advertise()
    call = world.call("POST")
    world.fail(call, Outcome.CONNECTION_LOST)
    end = world.end(call)
    assert end.ending is Ending.AS_IT_IS
    assert end.message.startswith("POST of service_id='orders' failed at ")
    assert end.message.endswith("It isn't sent again: the instance may have processed it.")


def test_an_idempotency_key_allows_a_retry(world):
    for _ in range(3):
        world.advertise()
    call = world.call("POST", has_key=True)
    world.fail(call, Outcome.CONNECTION_LOST)
    world.answer(call)


def test_a_lone_instance_gets_a_second_connection_after_a_moment(world):
    name = world.advertise()
    call = world.call("GET")
    assert world.fail(call, Outcome.CONNECTION_LOST) == name
    pause = call.next()
    assert isinstance(pause, Pause)
    assert 0.025 <= pause.seconds <= 0.075
    assert world.fail(call, Outcome.CONNECTION_LOST) == name
    assert world.end(call).ending is Ending.UNREACHABLE
    # Callers that failed together don't come back together.
    world.clock.now += 30
    other = world.call("GET")
    world.fail(other, Outcome.CONNECTION_LOST)
    assert other.next().seconds != pause.seconds
    other.close()


@pytest.mark.parametrize("outcome", [Outcome.NOT_RETRYABLE, Outcome.THROTTLED])
def test_nothing_is_retried_after_a_final_error(world, outcome):
    for _ in range(3):
        world.advertise()
    call = world.call("GET")
    world.fail(call, outcome)
    assert world.end(call).ending is Ending.AS_IT_IS


@pytest.mark.parametrize(("method", "repeated"), [("GET", True), ("PUT", False), ("POST", False)])
def test_after_a_time_out_only_a_request_that_changes_nothing_is_retried(world, method, repeated):
    for _ in range(3):
        world.advertise()
    call = world.call(method)
    world.fail(call, Outcome.TIMED_OUT)
    if repeated:
        world.answer(call)
    else:
        assert world.end(call).ending is Ending.AS_IT_IS


def test_a_retry_is_marked_and_a_first_attempt_is_not(world):
    for _ in range(3):
        world.advertise()
    call = world.call("GET")
    first = world.attempt(call)
    call.done(first, Outcome.CONNECT_FAILED, "refused")
    second = world.attempt(call)
    call.done(second, Outcome.UNAVAILABLE, "status 503")
    third = world.attempt(call)
    assert (first.is_retry, second.is_retry, third.is_retry) == (False, False, True)
    call.close()


def test_calls_made_for_a_retry_are_not_retried(world):
    for _ in range(3):
        world.advertise()
    call = world.call("GET", nested=True)
    world.fail(call, Outcome.CONNECT_FAILED)
    world.fail(call, Outcome.UNAVAILABLE)
    assert world.end(call).ending is Ending.AS_IT_IS


def test_retries_end_with_the_budget(world):
    for _ in range(3):
        world.advertise()
    attempts = 0
    for _ in range(50):
        call = world.call("GET")
        while isinstance(step := call.next(), Attempt):
            attempts += 1
            call.done(step, Outcome.UNAVAILABLE, "status 503")
        call.close()
    assert attempts == 50 + FIRST_RETRIES


def test_calls_that_fail_together_share_the_budget(world):
    """Each waits before it asks the only instance again, and the first ones use the budget up."""
    world.advertise()
    calls = [world.call("GET") for _ in range(FIRST_RETRIES + 3)]
    for call in calls:
        world.fail(call, Outcome.CONNECTION_LOST)
    assert all(isinstance(call.next(), Pause) for call in calls)
    steps = [call.next() for call in calls]
    assert [isinstance(step, Attempt) for step in steps] == [True] * FIRST_RETRIES + [False] * 3
    assert steps[-1].ending is Ending.UNREACHABLE
    assert calls[0].service.budget.balance(world.clock()) == 0
    counts = world.context.observer.counts()
    assert (counts.retries, counts.retries_refused) == (FIRST_RETRIES, 3)
    for call in calls:
        call.close()
    # The instance isn't blamed for the attempts that weren't made.
    assert "unresolved" not in world.context.observer.counts().attempts
    assert not world.balancer.outstanding


def test_a_name_that_lost_its_last_instance_is_waited_for_within_a_minute(world):
    world.context.emptied["service_id", "orders"] = True
    world.clock.now += 59
    call = world.call()
    assert isinstance(call.next(), WaitForInstance)
    call.close()
    world.clock.now += 2
    assert world.end(world.call()).ending is Ending.NOT_DISCOVERED


@pytest.mark.parametrize(("method", "waits"), [("GET", True), ("PUT", True), ("POST", False)])
def test_a_request_that_was_under_way_when_the_last_instance_died_waits_if_it_may_be_repeated(
    world, method, waits
):
    name = world.advertise()
    call = world.call(method)
    assert world.fail(call, Outcome.CONNECTION_LOST) == name
    world.directory.remove(name)
    world.context.emptied["service_id", "orders"] = True
    if waits:
        assert isinstance(call.next(), Pause)
        assert isinstance(call.next(), WaitForInstance)
        successor = world.advertise(port=81)
        assert world.answer(call) == successor
        assert call.service.budget.balance(world.clock()) == FIRST_RETRIES - 1
    else:
        assert world.end(call).ending is Ending.AS_IT_IS


@pytest.mark.parametrize("vanishes", [True, False])
def test_the_record_of_a_dead_instance_may_vanish_a_moment_later(world, vanishes):
    name = world.advertise()
    call = world.call("POST")
    assert world.fail(call) == name
    assert isinstance(call.next(), Pause)
    if vanishes:
        world.directory.remove(name)
        world.context.emptied["service_id", "orders"] = True
        assert isinstance(call.next(), WaitForInstance)
    successor = world.advertise(port=81)
    assert world.answer(call) == successor


def test_a_shortage_of_descriptors_is_relieved_once(world):
    world.advertise()
    world.advertise()
    call = world.call("POST")
    first = world.attempt(call)
    call.done(first, Outcome.OUT_OF_RESOURCES, "too many files")
    assert call.next() == Relieve()
    second = world.attempt(call)
    assert second.instance is first.instance
    call.done(second, Outcome.OUT_OF_RESOURCES, "too many files")
    assert world.end(call).ending is Ending.AS_IT_IS
    assert not world.balancer.avoided


# Names


def test_nothing_known_by_that_name(world):
    world.advertise()
    end = world.end(world.call(value="stock"))
    assert end.ending is Ending.NOT_DISCOVERED
    assert "No instance with service_id='stock' is among the 1 that are known" in end.message


def test_a_misspelled_key_is_mended_in_the_message(world):
    call = Call(world.context, ("service", "orders"), "http", "GET")
    assert "Did you mean orders.service_id.asab?" in world.end(call).message


def test_a_misspelled_key_of_the_services_own_is_mended_as_well(world):
    world.advertise(ids={"shard": ["1"]})
    call = Call(world.context, ("shrd", "1"), "http", "GET")
    assert "Did you mean 1.shard.asab?" in world.end(call).message


# Several attempts at once


def test_the_next_step_during_an_attempt_is_an_attempt_elsewhere(world):
    names = {world.advertise(), world.advertise()}
    call = world.call("GET")
    first, second = world.attempt(call), world.attempt(call)
    assert {first.instance.name, second.instance.name} == names
    assert world.balancer.outstanding == dict.fromkeys(names, 1)
    call.done(second, Outcome.ANSWERED)
    call.close()
    second.pick.done(Outcome.ANSWERED, world.clock())
    # The first one was given up.
    assert world.balancer.outstanding == {}


def test_an_attempt_left_under_way_may_fail_later(world):
    world.advertise()
    world.advertise()
    call = world.call("GET")
    first, second = world.attempt(call), world.attempt(call)
    call.done(first, Outcome.CONNECTION_LOST, "disconnected")
    assert world.balancer.outstanding == {second.instance.name: 1}
    call.close()
    call.close()
    assert world.balancer.outstanding == {}


@pytest.mark.parametrize(
    ("method", "chosen"),
    [("GET", {}), ("PUT", {}), ("POST", {}), ("POST", {"has_key": True}), ("GET", {"nested": True})],
)
def test_a_backup_is_made_of_safe_requests_within_the_budget(world, method, chosen):
    world.advertise(port=80)
    world.advertise(port=81)
    made = 0
    for _ in range(FIRST_RETRIES + 1):
        call = world.call(method, **chosen)
        first = world.attempt(call)
        if (second := call.back_up(first)) is not None:
            assert second.instance is not first.instance
            assert call.back_up(first) is None
            made += 1
        call.close()
    safe = (method == "GET" or "has_key" in chosen) and "nested" not in chosen
    assert made == (FIRST_RETRIES if safe else 0)


def test_whether_a_request_of_which_nothing_was_sent_can_go_elsewhere(world):
    """To an instance that wasn't asked yet."""
    world.advertise(port=1)
    call = world.call("POST")
    first = world.attempt(call)
    assert not call.has_elsewhere(first)
    world.advertise(port=2)
    assert call.has_elsewhere(first)
    call.done(first, Outcome.CONNECT_FAILED)
    assert not call.has_elsewhere(world.attempt(call))
    call.close()
    assert not world.balancer.outstanding
