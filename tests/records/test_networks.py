"""Addresses that no record can make a process call."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support import record

from peerage.errors import ConfigurationError
from peerage.records.decode import decode
from peerage.records.networks import ANYWHERE, meanings, never_called, read_networks

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
    "::ffff:0:169.254.169.254",
    "64:ff9b:1::a9fe:a9fe",
    "64:ff9b:1:a9fe:a9:fe00::",
    "64:ff9b:1:a9:fe:a9fe::",
    "64:ff9b:1:ab:a9:fea9:fe00:0",
    "2001:0:0a00:1::5601:5601",
]


@pytest.mark.parametrize("text", NEVER)
def test_some_addresses_are_never_called(text):
    assert not ANYWHERE.allows(text)
    assert not read_networks("0.0.0.0/0, ::/0").allows(text)
    assert "never" in ANYWHERE.why_not(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "10.0.0.1",
            "127.0.0.1",
            "::1",
            "fd12::1",
            "2001:db8::1",
            "::ffff:10.0.0.1",
            "node-1",
            "1.name",
            "",
        ),
        *("64:ff9b:1::a00:1", "64:ff9b:1:a00:0:100::", "::ffff:0:10.0.0.1", "2001:0:0a00:1::f5ff:fffe"),
    ],
)
def test_all_other_addresses_may_be_called(text):
    assert ANYWHERE.allows(text)


@pytest.mark.parametrize("name", ["metadata.google.internal", "Metadata.Google.Internal.", "metadata.goog"])
def test_the_names_of_metadata_services_are_never_called(name):
    assert "never" in ANYWHERE.why_not(name)
    assert "never" in read_networks("10.0.0.0/8").why_not(name)


@given(st.ip_addresses(v=4), st.sampled_from([48, 56, 64, 96]))
def test_an_address_in_an_ipv6_address_is_found(inner, length):
    """RFC 6052: the IPv4 address is behind the prefix, and bits 64 to 71 are left out."""
    number = int(inner)
    if length == 96:
        bits = number
    else:
        bits = number << (88 - length)
        bits = (bits >> 56 << 64) | (bits & ((1 << 56) - 1))
    address = ip_address((0x0064FF9B0001 << 80) | bits)
    assert inner in meanings(address) or inner in ip_network("0.0.0.0/8")
    assert never_called(inner) <= never_called(address) or inner in ip_network("0.0.0.0/8")


@given(st.text(st.characters(exclude_categories=())))
def test_every_text_has_an_answer(text):
    """No text raises, and a text that is too long for an address isn't remembered."""
    assert ANYWHERE.allows(text) in {True, False}
    remembered = ANYWHERE._judge.cache_info()
    assert ANYWHERE.allows("x" * 65 + text)
    assert ANYWHERE._judge.cache_info() == remembered


def test_only_the_allowed_networks_are_called():
    networks = read_networks("10.0.0.0/8, fd00:1::/32")
    assert all(
        map(networks.allows, ["10.1.2.3", "::ffff:10.1.2.3", "64:ff9b:1::a01:203", "fd00:1::5", "node-1"])
    )
    for text in (
        *("11.0.0.1", "127.0.0.1", "::1", "fd00:2::5", "64:ff9b::b00:1", "64:ff9b:1::b00:1"),
        *("::ffff:0:11.0.0.1", "2001:0:0a00:1::f4ff:fffe"),
    ):
        assert "allowed_networks" in networks.why_not(text)
    assert read_networks(["10.0.0.0/8"]).allows("10.0.0.1")
    assert read_networks(None) is ANYWHERE


@pytest.mark.parametrize("networks", ["", " , ", [], "10.0.0.1/8", "node-1", "10.0.0.0/33", [None]])
def test_a_wrong_network_is_an_error_that_names_the_option(networks):
    with pytest.raises(ConfigurationError, match="allowed_networks"):
        read_networks(networks)


@pytest.mark.parametrize("address", NEVER)
def test_such_an_address_in_a_record_is_left_out(address):
    own = {"addresses": [address], "host_key": "k"}
    found = decode("n", record("a", web=[[address, 80]], peerage=own).data, host_key="other").instance
    assert not found.addresses
    assert [each.host for each in found.endpoints] in ([], ["node-1"])


@pytest.mark.parametrize(
    "address", ["169.254.169.254", "0.0.0.0", "::ffff:169.254.169.254", "fd00:ec2::254", "metadata.goog"]
)
def test_a_record_with_such_a_host_is_not_called(address):
    decoded = decode("n", record("a", host=address).data)
    assert not decoded.instance.callable
    assert not decoded.instance.urls
    assert "never called" in " ".join(decoded.problems)
    own = {"addresses": ["100.100.100.200"]}
    nowhere = decode("n", record("a", web=[["fd00:ec2::254", 80]], peerage=own).data)
    assert not nowhere.instance.endpoints
    assert not nowhere.instance.addresses
    assert "100.100.100.200" in " ".join(nowhere.problems)


def test_loopback_is_called_only_if_it_is_allowed():
    """A forged record can contain the key of this host."""
    web = [["0.0.0.0", 80], ["::", 80], ["127.0.0.1", 81]]
    data = record("a", web=web, peerage={"host_key": "k"}).data
    for networks, addresses in (
        (None, ["127.0.0.1", "::1", "127.0.0.1"]),
        ("10.0.0.0/8", [None, None]),
        ("::1/128", [None, "::1"]),
    ):
        found = decode("n", data, host_key="k", networks=read_networks(networks)).instance
        assert [each.address for each in found.endpoints] == addresses
