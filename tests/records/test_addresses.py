"""What addresses and hosts mean to a process on another machine."""

import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from peerage.records import addresses
from peerage.records.addresses import is_host, read_address


@pytest.mark.parametrize(
    ("text", "literal", "meaning"),
    [
        ("10.0.0.1", "10.0.0.1", "routable"),
        ("2001:DB8:0::1", "2001:db8::1", "routable"),
        ("::ffff:10.0.0.1", "10.0.0.1", "routable"),
        ("0.0.0.0", "0.0.0.0", "unspecified"),
        ("::", "::", "unspecified"),
        ("::ffff:0.0.0.0", "0.0.0.0", "unspecified"),
        ("127.0.0.1", "127.0.0.1", "loopback"),
        ("::1", "::1", "loopback"),
        ("::ffff:127.9.9.9", "127.9.9.9", "loopback"),
        ("169.254.0.1", "169.254.0.1", None),
        ("fe80::1%eth0", "fe80::1%eth0", None),
        ("224.0.0.1", "224.0.0.1", None),
        ("ff02::1", "ff02::1", None),
        ("64:ff9b::7f00:1", "64:ff9b::7f00:1", "loopback"),
        ("::ffff:0:7f00:1", "::ffff:0:7f00:1", "loopback"),
        ("64:ff9b::a00:1", "64:ff9b::a00:1", "routable"),
    ],
)
def test_an_address_means_one_thing_at_most(text, literal, meaning):
    """It can be reached from other machines, or is all interfaces, or loopback, or none of these."""
    address = read_address(text)
    assert address is not None
    assert address.literal == literal
    assert address.family == (socket.AF_INET6 if ":" in literal else socket.AF_INET)
    for name in ("routable", "unspecified", "loopback"):
        assert getattr(address, name) is (name == meaning)


@pytest.mark.parametrize(
    "text", ["", "node-1", "10.0.0", "10.0.0.1:80", "[::1]", "2001:db8::1%x", "::%x", "10.0.0.0/8"]
)
def test_other_texts_are_no_addresses(text):
    """Only a link-local address may have a scope: with another one, a URL could contain any text."""
    assert read_address(text) is None


@given(st.text(st.characters(exclude_categories=())))
def test_no_text_raises(text):
    """Records may contain anything."""
    address = read_address(text)
    assert address is None or address.literal


@pytest.mark.parametrize("text", ["127.0.0.1", "2130706433", "0x7f000001", "10.0.0.1"])
def test_no_text_of_any_length_is_remembered(text):
    """Texts that are too long for an address or a host don't fill the caches."""
    before = addresses._read_address.cache_info(), addresses._is_host.cache_info()
    assert read_address(text + " " * 100) is None
    assert not is_host(text + "." + "a" * 300)
    assert (addresses._read_address.cache_info(), addresses._is_host.cache_info()) == before


@pytest.mark.parametrize(
    "text",
    [
        *("node-1", "node_1.example.org", "localhost", "caf\u00e9", "10.0.0.1", "2001:db8::1", "x" * 253),
        # Docker names a container after its id, which may consist of digits. Resolvers read it as a name.
        *("123456789012", "4294967296", "1.2.3.4.5", "10.node", "0x7g"),
    ],
)
def test_names_and_addresses_are_hosts(text):
    """A host is what URLs can contain without quoting."""
    assert is_host(text)


@pytest.mark.parametrize(
    "text",
    [
        *("2130706433", "0x7f000001", "0x7F.1", "127.1", "10.1", "0177.0.0.1", "017700000001", "1", "127.1."),
        *("\uff11\uff12\uff17.\uff11", "127\u30021", "\u2460\u2461\u2462", "0x\uff17f000001"),
    ],
    ids=ascii,
)
def test_an_address_in_another_notation_is_no_host(text):
    """Resolvers would read it as an address, which the rules for addresses haven't seen."""
    assert not is_host(text)


@given(st.integers(0, 2**32 - 1), st.sampled_from("dxo"), st.integers(0, 3))
def test_no_notation_of_an_ipv4_address_is_a_host(number, base, dots):
    """Decimal, hexadecimal and octal numbers, with any number of full stops."""
    head = [(number >> 24) & 255, (number >> 16) & 255, (number >> 8) & 255][:dots]
    parts = [*head, number & (2 ** (32 - 8 * dots) - 1)]
    text = ".".join({"d": "{}", "x": "{:#x}", "o": "0{:o}"}[base].format(part) for part in parts)
    assert socket.inet_aton(text) == number.to_bytes(4)
    assert is_host(text) == (base == "d" and dots == 3)


@given(st.text(st.characters(exclude_categories=())))
def test_no_host_has_what_a_url_would_quote(text):
    """No text raises."""
    if is_host(text):
        assert text.isprintable()
        assert not set(text) & set(" /?#@\\[]%<>\"'`{}|^")
