import socket

from tests.support import Clock

from peerage.calling import Addresses, Host

NODE = Host("node-1", socket.AF_INET)


def test_an_answer_is_due_for_renewal_after_a_while_and_used_meanwhile():
    clock = Clock()
    addresses = Addresses(clock)
    addresses.started(NODE)
    addresses.found(NODE, ["10.0.0.1", "10.0.0.2", "10.0.0.1"])
    assert addresses.entry(NODE).addresses == ("10.0.0.1", "10.0.0.2")
    assert not [*addresses.take_due()]
    clock.now += 10
    assert addresses.entry(NODE).addresses
    assert [*addresses.take_due()] == [NODE]
    assert not [*addresses.take_due()]


def test_nothing_is_due_while_a_look_up_is_under_way():
    clock = Clock()
    addresses = Addresses(clock)
    addresses.found(NODE, ["10.0.0.1"])
    clock.now += 10
    addresses.started(NODE)
    assert addresses.entry(NODE).addresses
    assert not addresses.take_due()


def test_the_last_good_answer_survives_failures_which_are_remembered_longer_each_time():
    clock = Clock()
    addresses = Addresses(clock)
    addresses.found(NODE, ["10.0.0.1"])
    pauses = []
    for _ in range(8):
        addresses.failed(NODE, "no name service")
        entry = addresses.entry(NODE)
        assert entry.addresses == ("10.0.0.1",)
        pauses.append(entry.retry_at - clock.now)
    assert pauses == [1, 2, 4, 8, 16, 30, 30, 30]
    addresses.found(NODE, ["10.0.0.2"])
    entry = addresses.entry(NODE)
    assert (entry.addresses, entry.failures, entry.problem) == (("10.0.0.2",), 0, "")
    addresses.failed(NODE, "no name service")
    assert addresses.entry(NODE).retry_at - clock.now == 1


def test_an_answer_without_addresses_is_a_failure():
    addresses = Addresses(Clock())
    addresses.found(NODE, [])
    assert "no address of the family" in addresses.entry(NODE).problem


def test_a_look_up_is_slow_after_half_a_second():
    clock = Clock()
    addresses = Addresses(clock)
    assert not addresses.entry(NODE).slow(clock.now)
    addresses.started(NODE)
    assert not addresses.entry(NODE).slow(clock.now + 0.4)
    assert addresses.entry(NODE).slow(clock.now + 0.5)
    addresses.failed(NODE, "no")
    assert not addresses.entry(NODE).slow(clock.now + 9)


def test_an_address_that_refused_comes_last_and_the_host_is_looked_up_again():
    addresses = Addresses(Clock())
    addresses.found(NODE, ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    addresses.connect_failed(NODE, "10.0.0.1")
    assert addresses.entry(NODE).addresses == ("10.0.0.2", "10.0.0.3", "10.0.0.1")
    assert [*addresses.take_due()] == [NODE]
    addresses.connect_failed(NODE, "10.9.9.9")
    addresses.connect_failed(Host("unknown", socket.AF_INET), "10.0.0.1")
    assert not addresses.take_due()


def test_an_unreachable_address_stays_last_in_later_answers():
    addresses = Addresses(Clock())
    addresses.found(NODE, ["10.0.0.1", "10.0.0.2"])
    addresses.connect_failed(NODE, "10.0.0.1")
    addresses.found(NODE, ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    assert addresses.entry(NODE).addresses == ("10.0.0.2", "10.0.0.3", "10.0.0.1")
    addresses.connect_failed(NODE, "10.0.0.2")
    addresses.connect_failed(NODE, "10.0.0.3")
    addresses.found(NODE, ["10.0.0.1", "10.0.0.2", "10.0.0.3"])
    assert addresses.entry(NODE).addresses == ("10.0.0.1", "10.0.0.2", "10.0.0.3")


def test_an_address_that_the_host_no_longer_has_is_forgotten():
    addresses = Addresses(Clock())
    addresses.found(NODE, ["10.0.0.1", "10.0.0.2"])
    addresses.connect_failed(NODE, "10.0.0.1")
    addresses.found(NODE, ["10.0.0.2"])
    addresses.found(NODE, ["10.0.0.1", "10.0.0.2"])
    assert addresses.entry(NODE).addresses == ("10.0.0.1", "10.0.0.2")


def test_only_known_hosts_are_renewed():
    addresses = Addresses(Clock())
    addresses.found(NODE, ["10.0.0.1"])
    addresses.renew(NODE)
    addresses.renew(Host("unknown", socket.AF_INET))
    assert [*addresses.take_due()] == [NODE]


def test_what_is_remembered_is_bounded():
    addresses = Addresses(Clock())
    for number in range(40_000):
        addresses.found(Host(f"node-{number}", socket.AF_INET), ["10.0.0.1"])
    assert addresses.entry(Host("node-39999", socket.AF_INET)).addresses
    assert not addresses.entry(Host("node-0", socket.AF_INET)).addresses
