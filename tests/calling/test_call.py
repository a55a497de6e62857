"""The state machine of a request, driven without an event loop."""

import socket
import subprocess
import sys
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.calling.conftest import World

from peerage.balancing import Outcome
from peerage.balancing.budget import FIRST_RETRIES
from peerage.calling import (
    Attempt,
    Call,
    CallOptions,
    Ending,
    GiveUp,
    Host,
    Lookups,
    Pause,
    Relieve,
    TlsProbe,
    WaitForInstance,
)
from peerage.calling.answers import FAILURES
from peerage.calling.search import LAST_RESORTS
from peerage.calling.trace import begin_trace
from peerage.directory import Guard
from peerage.records.networks import read_networks

IPV4, IPV6 = socket.AF_INET, socket.AF_INET6


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


def test_a_lost_connection_is_repeated_twice_if_that_is_harmless(world):
    for _ in range(6):
        world.advertise()
    call = world.call("GET")
    assert len({world.fail(call, Outcome.CONNECTION_LOST) for _ in range(3)}) == 3
    assert world.end(call).ending is Ending.UNREACHABLE


def test_a_request_that_may_not_be_repeated_raises_the_error_unchanged(world):
    for _ in range(3):
        world.advertise()
    call = world.call("POST")
    world.fail(call, Outcome.CONNECTION_LOST)
    assert world.end(call) == GiveUp(Ending.AS_IT_IS, "")


def test_an_idempotency_key_allows_the_repetition(world):
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


@pytest.mark.parametrize("outcome", [Outcome.NOT_RETRYABLE, Outcome.THROTTLED])
def test_nothing_is_repeated_after_a_final_error(world, outcome):
    for _ in range(3):
        world.advertise()
    call = world.call("GET")
    world.fail(call, outcome)
    assert world.end(call).ending is Ending.AS_IT_IS


@pytest.mark.parametrize(("method", "repeated"), [("GET", True), ("PUT", False), ("POST", False)])
def test_after_a_time_out_only_a_request_that_changes_nothing_is_repeated(world, method, repeated):
    for _ in range(3):
        world.advertise()
    call = world.call(method)
    world.fail(call, Outcome.TIMED_OUT)
    if repeated:
        world.answer(call)
    else:
        assert world.end(call).ending is Ending.AS_IT_IS


def test_a_repetition_says_so_and_a_first_attempt_does_not(world):
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


def test_what_is_called_for_a_repetition_is_not_repeated(world):
    for _ in range(3):
        world.advertise()
    call = world.call("GET", nested=True)
    world.fail(call, Outcome.CONNECT_FAILED)
    world.fail(call, Outcome.UNAVAILABLE)
    assert world.end(call).ending is Ending.AS_IT_IS


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


def test_repetitions_end_with_the_budget(world):
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


@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_request_that_finds_the_last_suspect_dead_waits_for_the_next_instance(world, method):
    world.directory.guard = Guard()
    name = world.advertise()
    world.directory.remove(name)
    world.directory.subscribe(lambda _: world.context.emptied.update({("service_id", "orders"): True}))
    call = world.call(method)
    assert world.fail(call) == name
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


# Look-ups


def test_a_known_address_needs_no_look_up(world):
    world.advertise(host="node-1", near=False)
    call = world.call()
    (host,) = world.lookups(call).hosts
    assert host == Host("node-1", IPV4)
    world.addresses.found(host, ["10.0.0.1"])
    world.answer(call)
    assert world.attempt(world.call()).ip == "10.0.0.1"


def test_the_names_of_an_instance_are_tried_in_turn(world):
    world.advertise(host="node-1", near=False, addresses=["10.0.0.9", "2001:db8::9"])
    call = world.call()
    for name in ("node-1", "orders-1"):
        (host,) = world.lookups(call).hosts
        assert host == Host(name, IPV4)
        world.addresses.failed(host, "Name or service not known")
    attempt = world.attempt(call)
    assert attempt.ip == "10.0.0.9"
    call.done(attempt, Outcome.CONNECT_FAILED, "refused")
    # Those of the other family aren't the instance's.
    assert world.end(call).ending is Ending.UNREACHABLE


def test_a_name_that_resolves_is_not_replaced_by_another(world):
    world.advertise(host="node-1", near=False, addresses=["10.0.0.9"])
    call = world.call()
    world.addresses.found(world.lookups(call).hosts[0], ["10.0.0.1", "10.0.0.2"])
    assert [world.attempt_and_fail(call) for _ in range(2)] == ["10.0.0.1", "10.0.0.2"]
    world.end(call)
    # The address that answered last is tried first from now on.
    assert world.addresses.entry(Host("node-1", IPV4)).addresses == ("10.0.0.1", "10.0.0.2")


def test_an_attempt_names_the_other_addresses_of_its_host(world):
    world.advertise(host="node-1", near=False)
    call = world.call()
    world.addresses.found(world.lookups(call).hosts[0], ["10.0.0.1", "169.254.169.254", "10.0.0.2"])
    attempt = world.attempt(call)
    assert (attempt.ip, attempt.others) == ("10.0.0.1", ["10.0.0.2"])
    call.close()
    again = world.attempt(world.call())
    assert (again.ip, again.others) == ("10.0.0.1", ["10.0.0.2"])


def test_after_a_misdirected_answer_the_other_names_are_tried(world):
    """The host's name may lead to the wrong host."""
    world.advertise(host="node-1", near=False, addresses=["10.0.0.9"])
    call = world.call("POST")
    world.addresses.found(world.lookups(call).hosts[0], ["10.0.0.1"])
    world.fail(call, Outcome.MISDIRECTED)
    world.addresses.failed(world.lookups(call).hosts[0], "Name or service not known")
    assert world.attempt(call).ip == "10.0.0.9"


def test_a_slow_look_up_is_left_for_other_instances(world):
    slow = world.advertise(host="slow", near=False)
    call = world.call()
    host = world.lookups(call).hosts[0]
    world.clock.now += 0.5
    quick = world.advertise()
    # First the name that replaces the slow one, which has no address.
    world.addresses.failed(world.lookups(call).hosts[0], "Name or service not known")
    assert world.answer(call) == quick
    # Others don't wait for it at all.
    assert {world.answer(world.call()) for _ in range(20)} == {quick}
    world.addresses.found(host, ["10.0.0.1"])
    world.clock.now += 2
    assert {world.answer(world.call()) for _ in range(20)} == {quick}
    for instance in world.balancer.take_due():
        assert instance.name == slow
        world.balancer.probed(slow, passed=True)
    anywhere = CallOptions(near=False)
    assert slow in {world.answer(world.call(options=anywhere)) for _ in range(20)}


def test_a_slow_look_up_is_waited_for_where_there_is_nothing_else(world):
    world.advertise(host="slow", near=False, instance_id="no host name")
    call = world.call()
    host = world.lookups(call).hosts[0]
    world.clock.now += 0.5
    step = call.next()
    assert step == Lookups((host,), 1.0)
    # It may hang, so that another one is begun after a second.
    world.clock.now += 1
    assert world.lookups(call) == Lookups((host,), 1.0)
    world.addresses.found(host, ["10.0.0.1"])
    assert world.attempt(call).ip == "10.0.0.1"


def test_the_wait_for_a_slow_look_up_is_bounded(world):
    world.advertise(host="slow", near=False, instance_id="no host name")
    call = world.call()
    world.lookups(call)
    world.clock.now += 0.5
    world.lookups(call)
    world.clock.now += 5
    end = world.end(call)
    assert end.ending is Ending.NOT_DISCOVERED
    assert "slow:80 (it wasn't looked up within 0.5 s)" in end.message


def test_a_failed_look_up_is_remembered_unless_there_is_nothing_else(world):
    world.advertise(host="gone", near=False, instance_id="no host name")
    call = world.call()
    host = world.lookups(call).hosts[0]
    world.addresses.failed(host, "Name or service not known")
    end = world.end(call)
    assert end.ending is Ending.NOT_DISCOVERED
    assert "none of their hosts has an address: gone:80 (Name or service not known)" in end.message
    again = world.call()
    world.addresses.found(world.lookups(again).hosts[0], ["10.0.0.1"])
    assert world.attempt(again).ip == "10.0.0.1"


@pytest.mark.parametrize(("bound", "family"), [("0.0.0.0", IPV4), ("::", IPV6)])
def test_a_host_is_looked_up_in_the_family_that_it_listens_in(world, bound, family):
    world.advertise(host="node-1", near=False, web=[[bound, 80]])
    assert world.lookups(world.call()).hosts == (Host("node-1", family),)


def test_an_address_that_may_not_be_called_is_left_out(world):
    world.advertise(host="metadata.internal", near=False, instance_id="no host name")
    call = world.call()
    world.addresses.found(world.lookups(call).hosts[0], ["169.254.169.254", "10.0.0.1"])
    assert world.attempt(call).ip == "10.0.0.1"
    call.close()
    world.directory.networks = read_networks("192.168.0.0/16")
    end = world.end(world.call())
    assert "10.0.0.1 is in none of the allowed_networks" in end.message


# Several endpoints


def test_the_endpoint_of_the_right_scheme_is_chosen(world):
    world.advertise(web=[["0.0.0.0", 8443], ["0.0.0.0", 8080]], schemes={"8443": "https", "8080": "http"})
    assert world.attempt(world.call(scheme="http")).port == 8080
    assert world.attempt(world.call(scheme="wss")).port == 8443


def test_a_connection_that_broke_leads_to_the_next_endpoint_that_does_not_say_its_scheme(world):
    world.advertise(web=[["0.0.0.0", 8443], ["0.0.0.0", 8080]])
    call = world.call("GET")
    first = world.attempt(call)
    assert first.port == 8443
    call.done(first, Outcome.CONNECTION_LOST, "disconnected")
    second = world.attempt(call)
    assert second.port == 8080
    call.done(second, Outcome.ANSWERED)
    call.close()
    second.pick.done(Outcome.ANSWERED, world.clock())
    # What was learned holds for methods that may not be repeated, for a while.
    assert world.attempt(world.call("POST")).port == 8080
    world.clock.now += 3601
    assert world.attempt(world.call("POST")).port == 8443


@pytest.mark.parametrize("speaks_tls", [True, False])
def test_a_request_that_may_not_be_repeated_goes_on_if_it_met_a_tls_port(world, speaks_tls):
    world.advertise(web=[["0.0.0.0", 8443], ["0.0.0.0", 8080]])
    call = world.call("POST")
    assert world.attempt(call).port == 8443
    call.close()
    call = world.call("POST")
    world.fail(call, Outcome.CONNECTION_LOST)
    probe = call.next()
    assert isinstance(probe, TlsProbe)
    assert probe.attempt.port == 8443
    probe.speaks_tls = speaks_tls
    if speaks_tls:
        assert world.attempt(call).port == 8080
        call.close()
    else:
        assert world.end(call).ending is Ending.AS_IT_IS
    # Either way the other port is tried first next time.
    call = world.call("POST")
    assert world.attempt(call).port == 8080
    call.close()


def test_what_a_plain_request_taught_does_not_hold_for_tls(world):
    world.advertise(web=[["0.0.0.0", 8443], ["0.0.0.0", 8080]])
    for scheme, failing, then in (("http", 8443, 8080), ("https", 8443, 8080)):
        call = world.call(scheme=scheme)
        first = world.attempt(call)
        assert first.port == failing
        call.done(first, Outcome.CONNECTION_LOST, "disconnected")
        assert world.attempt(call).port == then
        call.close()


def test_a_port_that_refuses_tls_comes_last_as_well(world):
    world.advertise(web=[["0.0.0.0", 8080], ["0.0.0.0", 8443]])
    call = world.call(scheme="https")
    world.fail(call, Outcome.CONNECT_FAILED)
    assert world.answer(call)
    assert world.attempt(world.call(scheme="https")).port == 8443


def test_instances_of_the_other_scheme_are_no_candidates(world):
    for _ in range(5):
        world.advertise(scheme="https")
    plain = world.advertise(scheme="http")
    assert {world.answer(world.call()) for _ in range(20)} == {plain}


def test_only_the_other_scheme_is_an_error_that_says_so(world):
    world.advertise(scheme="https")
    end = world.end(world.call())
    assert end.ending is Ending.NOT_DISCOVERED
    assert "speaks https, not http: write https:// in the URL" in end.message


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


@given(
    data=st.data(),
    instances=st.lists(st.tuples(st.booleans(), st.booleans()), max_size=6),
    has_key=st.booleans(),
)
def test_every_call_ends_and_leaves_no_count_whatever_happens(data, instances, has_key):
    """Its trace and the counters agree on what it did."""
    world = World()
    for near, two in instances:
        web = [["0.0.0.0", 80], ["::", 81]] if two else None
        world.advertise(near=near, host=f"node-{near}-{two}", web=web)
    outcomes = Counter[str]()
    for _ in range(3):
        trace = begin_trace(("service_id", "orders"), "POST")
        call = world.call("POST", has_key=has_key, trace=trace)
        answered = drive(world, call, data)
        call.close()
        if answered is not None:
            call.over(answered, Outcome.ANSWERED)
        assert world.balancer.outstanding == {}
        outcomes.update(attempt.outcome for attempt in trace.attempts)
        asked = {attempt.record for attempt in trace.attempts}
        assert not asked & {each.record for each in trace.left_out}
        waits = [wait.seconds for wait in trace.waits]
        assert None not in (*waits, trace.seconds, *(attempt.seconds for attempt in trace.attempts))
    assert world.balancer.observer.counts().attempts == outcomes


def drive(world, call, data):
    """Carry out *call* with outcomes from *data*; return the attempt that was answered, if one was."""
    for _ in range(200):
        step = call.next()
        if isinstance(step, GiveUp):
            return None
        world.clock.now += data.draw(st.sampled_from([0.0, 0.3, 1.5]))
        if isinstance(step, Pause | Relieve):
            continue
        if isinstance(step, TlsProbe):
            step.speaks_tls = data.draw(st.booleans())
            continue
        if isinstance(step, Lookups):
            for host in step.hosts:
                look_up(world, host, data.draw(st.sampled_from(["found", "failed", "slow"])))
            continue
        assert isinstance(step, Attempt)
        outcome = data.draw(st.sampled_from([*Outcome, None]))
        if outcome is None:
            return None
        call.done(step, outcome, "failed", replayable=data.draw(st.booleans()))
        if outcome is Outcome.ANSWERED:
            return step
    raise AssertionError("it goes on for ever")


def look_up(world, host, result):
    if world.addresses.entry(host).started is None:
        world.addresses.started(host)
    if result == "found":
        world.addresses.found(host, ["10.0.0.1" if host.family == IPV4 else "fd00::1"])
    elif result == "failed":
        world.addresses.failed(host, "no")
    else:
        world.clock.now += 0.5


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
