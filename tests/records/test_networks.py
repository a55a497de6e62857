"""Addresses that nobody can be made to call."""

import pytest
from tests.support import record

from peerage.errors import ConfigurationError
from peerage.records.instance import decode
from peerage.records.networks import ANYWHERE, read_networks

NEVER = [
    "169.254.169.254",
    "169.254.0.1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "0.0.0.0",
    "0.1.2.3",
    "::",
    "224.0.0.1",
    "ff02::1",
    "255.255.255.255",
    # The same in other words
    "::ffff:169.254.169.254",
    "::ffff:a9fe:a9fe",
    "::169.254.169.254",
    "64:ff9b::a9fe:a9fe",
    "2002:a9fe:a9fe::1",
]


@pytest.mark.parametrize("text", NEVER)
def test_some_addresses_are_never_called(text):
    assert not ANYWHERE.allows(text)
    assert not read_networks("0.0.0.0/0, ::/0").allows(text)
    assert "never" in ANYWHERE.why_not(text)


@pytest.mark.parametrize(
    "text",
    ["10.0.0.1", "127.0.0.1", "::1", "fd12::1", "2001:db8::1", "::ffff:10.0.0.1", "node-1", "1.name", ""],
)
def test_whatever_else_may_be(text):
    assert ANYWHERE.allows(text)


def test_no_others_than_the_allowed_ones():
    networks = read_networks("10.0.0.0/8, fd00:1::/32")
    assert all(map(networks.allows, ["10.1.2.3", "::ffff:10.1.2.3", "fd00:1::5", "node-1"]))
    for text in ("11.0.0.1", "127.0.0.1", "::1", "fd00:2::5", "64:ff9b::b00:1"):
        assert "allowed_networks" in networks.why_not(text)
    assert read_networks(["10.0.0.0/8"]).allows("10.0.0.1")
    assert read_networks(None) is ANYWHERE


@pytest.mark.parametrize("given", ["", " , ", [], "10.0.0.1/8", "node-1", "10.0.0.0/33", [None]])
def test_what_cant_be_a_network_is_told(given):
    with pytest.raises(ConfigurationError, match="allowed_networks"):
        read_networks(given)


@pytest.mark.parametrize("address", NEVER)
def test_nor_does_an_address_in_it(address):
    own = {"addresses": [address], "host_key": "k"}
    found = decode("n", record("a", web=[[address, 80]], peerage=own).data, host_key="other").instance
    assert not found.addresses
    assert [each.host for each in found.endpoints] in ([], ["node-1"])


@pytest.mark.parametrize("address", ["169.254.169.254", "0.0.0.0", "::ffff:169.254.169.254", "fd00:ec2::254"])
def test_a_record_leads_nobody_there(address):
    decoded = decode("n", record("a", host=address).data)
    assert not decoded.instance.callable
    assert not decoded.instance.urls
    assert "never called" in " ".join(decoded.problems)
    own = {"addresses": ["100.100.100.200"]}
    nowhere = decode("n", record("a", web=[["fd00:ec2::254", 80]], peerage=own).data)
    assert not nowhere.instance.endpoints
    assert not nowhere.instance.addresses
    assert "100.100.100.200" in " ".join(nowhere.problems)


def test_a_record_that_knows_the_key_of_this_host_leads_to_loopback_only_where_that_is_allowed():
    web = [["0.0.0.0", 80], ["::", 80], ["127.0.0.1", 81]]
    data = record("a", web=web, peerage={"host_key": "k"}).data
    for given, addresses in (
        (None, ["127.0.0.1", "::1", "127.0.0.1"]),
        ("10.0.0.0/8", [None, None]),
        ("::1/128", [None, "::1"]),
    ):
        found = decode("n", data, host_key="k", networks=read_networks(given)).instance
        assert [each.address for each in found.endpoints] == addresses
