"""Where an attempt goes: look-ups of hosts, and instances with several endpoints."""

import socket

import pytest

from peerage.balancing import Outcome
from peerage.calling import (
    CallOptions,
    Ending,
    Host,
    Lookups,
    Pause,
    TlsProbe,
)
from peerage.records.networks import read_networks

IPV4, IPV6 = socket.AF_INET, socket.AF_INET6


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
    assert isinstance(call.next(), Pause)
    # Those of the other family aren't the instance's.
    assert world.end(call).ending is Ending.UNREACHABLE


def test_a_name_that_resolves_is_not_replaced_by_another(world):
    world.advertise(host="node-1", near=False, addresses=["10.0.0.9"])
    call = world.call()
    world.addresses.found(world.lookups(call).hosts[0], ["10.0.0.1", "10.0.0.2"])
    assert [world.attempt_and_fail(call) for _ in range(2)] == ["10.0.0.1", "10.0.0.2"]
    assert isinstance(call.next(), Pause)
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
def test_a_request_that_may_not_be_retried_goes_on_if_it_met_a_tls_port(world, speaks_tls):
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
