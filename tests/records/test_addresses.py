"""What literal addresses mean to somebody on another machine."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.records import addresses
from peerage.records.addresses import read_address


@pytest.mark.parametrize(
    ("text", "literal", "meaning"),
    [
        ("10.0.0.1", "10.0.0.1", "routable"),
        ("2001:DB8:0::1", "2001:db8::1", "routable"),
        ("::ffff:10.0.0.1", "10.0.0.1", "routable"),
        ("0.0.0.0", "0.0.0.0", "everywhere"),
        ("::", "::", "everywhere"),
        ("::ffff:0.0.0.0", "0.0.0.0", "everywhere"),
        ("127.0.0.1", "127.0.0.1", "loopback"),
        ("::1", "::1", "loopback"),
        ("::ffff:127.9.9.9", "127.9.9.9", "loopback"),
        ("169.254.0.1", "169.254.0.1", None),
        ("fe80::1%eth0", "fe80::1%eth0", None),
        ("224.0.0.1", "224.0.0.1", None),
        ("ff02::1", "ff02::1", None),
    ],
)
def test_an_address_means_one_thing_at_most(text, literal, meaning):
    """Reachable from elsewhere, every interface, the machine itself, or nothing to others."""
    address = read_address(text)
    assert address is not None
    assert address.literal == literal
    assert address.family == (socket.AF_INET6 if ":" in literal else socket.AF_INET)
    for name in ("routable", "everywhere", "loopback"):
        assert getattr(address, name) is (name == meaning)


@pytest.mark.parametrize(
    "text", ["", "node-1", "10.0.0", "10.0.0.1:80", "[::1]", "2001:db8::1%x", "::%x", "10.0.0.0/8"]
)
def test_everything_else_is_no_address(text):
    """A scope belongs to link-local addresses only: elsewhere it would carry any text into a URL."""
    assert read_address(text) is None


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_raises(text):
    """Records hold anything."""
    address = read_address(text)
    assert address is None or address.literal


def test_noise_isnt_remembered():
    """What is too long for an address fills no cache."""
    before = addresses._read.cache_info()
    assert read_address("1" * 1_000_000) is None
    assert addresses._read.cache_info() == before
