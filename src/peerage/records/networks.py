"""Which addresses may be called because a record names them.

Anyone who can write records chooses where others send requests. Some addresses belong to the caller's own
machine or to its cloud and answer with credentials, so they are never called. A service can also configure
the networks of its peers, and then calls no others.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from peerage.errors import ConfigurationError

_Address = IPv4Address | IPv6Address

#: Characters of an address: 45, and an interface name after a percent sign.
LONGEST_ADDRESS: Final = 64

_NEVER: Final = (
    # Link-local: on one link only, and the metadata service of most clouds.
    *("169.254.0.0/16", "fe80::/10"),
    # The metadata services of AWS, Google, Alibaba, Azure and Oracle.
    *("fd00:ec2::/32", "fd20:ce::254/128", "100.100.100.200/32", "168.63.129.16/32", "192.0.0.0/24"),
    # The address of no host: this network, multicast and broadcast.
    *("0.0.0.0/8", "::/128", "224.0.0.0/4", "ff00::/8", "255.255.255.255/32"),
)

#: Names of these metadata services.
_NEVER_NAMES: Final = frozenset(("metadata.google.internal", "metadata.goog", "instance-data.ec2.internal"))

#: The networks as numbers, by IP version: each address of each record is compared with them.
_NUMBERS: Final = {
    version: [
        (int(each.netmask), int(each.network_address))
        for each in map(ip_network, _NEVER)
        if each.version == version
    ]
    for version in (4, 6)
}

#: IPv6 prefixes whose addresses contain an IPv4 address, and behind how many bits.
_EMBEDDED: Final = (
    (IPv6Network("::ffff:0:0/96"), (96,)),  # IPv4-mapped (RFC 4291)
    (IPv6Network("::/96"), (96,)),  # IPv4-compatible (RFC 4291)
    (IPv6Network("::ffff:0:0:0/96"), (96,)),  # IPv4-translated (RFC 7915)
    (IPv6Network("64:ff9b::/96"), (96,)),  # NAT64 (RFC 6052)
    (IPv6Network("64:ff9b:1::/48"), (48, 56, 64, 96)),  # NAT64 of any length (RFC 8215)
    (IPv6Network("2002::/16"), (16,)),  # 6to4 (RFC 3056)
)

_LOOPBACK: Final = IPv6Address("::1")
_THIS_NETWORK: Final = IPv4Network("0.0.0.0/8")


class Networks:
    """Decides which addresses may be called; *allowed* are the networks of the peers, None: any."""

    def __init__(self, allowed: tuple[IPv4Network | IPv6Network, ...] | None = None) -> None:
        self._allowed = allowed
        # The longest addresses fill it with 300 kB.
        self._judge = lru_cache(maxsize=1024)(self._judge_address)

    def allows(self, text: str) -> bool:
        """Tell whether *text*, an address or a name, may be called; a name may, until it is resolved."""
        return self.why_not(text) is None

    def why_not(self, text: str) -> str | None:
        """Return why *text* isn't called, as the end of a sentence; None if it may be."""
        if ":" not in text and not text.replace(".", "").isdecimal():
            never = text.lower().removesuffix(".") in _NEVER_NAMES
            return "is the metadata service of a cloud, which is never called" if never else None
        text = text.partition("%")[0]
        return self._judge(text) if len(text) <= LONGEST_ADDRESS else None

    def _judge_address(self, text: str) -> str | None:
        try:
            address = ip_address(text)
        except ValueError:
            return None
        if never_called(address):
            return "is link-local, of a cloud's metadata service or of no host, which is never called"
        # A packet to an address that contains IPv4 addresses arrives at those.
        reached = meanings(address)[1:] or (address,)
        if self._allowed is None or all(any(each in one for one in self._allowed) for each in reached):
            return None
        return "is in none of the allowed_networks"


def never_called(address: _Address) -> bool:
    """Tell whether *address*, or an IPv4 address embedded in it, is one that is never called."""
    return any(
        int(each) & mask == network for each in meanings(address) for mask, network in _NUMBERS[each.version]
    )


def meanings(address: _Address) -> tuple[_Address, ...]:
    """Return *address* and the IPv4 addresses that a gateway, or the system, may make of it."""
    if isinstance(address, IPv4Address) or address == _LOOPBACK:
        return (address,)
    if address.teredo is not None:  # the server and the client, of which the client receives
        return (address, address.teredo[1])
    for prefix, lengths in _EMBEDDED:
        if address in prefix:
            found = [_embedded(int(address), length) for length in lengths]
            # Where the length is unknown, most readings are in 0.0.0.0/8, and those aren't meant.
            plausible = [each for each in found if each not in _THIS_NETWORK]
            return (address, *(plausible or found[-1:]))
    return (address,)


def _embedded(number: int, length: int) -> IPv4Address:
    """Return the IPv4 address behind a prefix of *length* bits; bits 64 to 71 aren't part of it."""
    if length in {48, 56, 64}:
        number = (number >> 64 << 56) | (number & ((1 << 56) - 1))
        return IPv4Address((number >> (88 - length)) & 0xFFFFFFFF)
    return IPv4Address((number >> (96 - length)) & 0xFFFFFFFF)


#: All networks but those that are never called.
ANYWHERE: Final = Networks()


def read_networks(given: str | Iterable[str] | None) -> Networks:
    """Read ``"10.0.0.0/8, fd00::/8"``, or a list of such networks; None: :data:`ANYWHERE`.

    Raises:
        ConfigurationError: one of them is no network, or there is none.
    """
    if given is None:
        return ANYWHERE
    texts = given.replace(",", " ").split() if isinstance(given, str) else [*given]
    if not texts:
        raise ConfigurationError(
            "allowed_networks is empty, so no instance could be called: write 10.0.0.0/8, or leave it out."
        )
    try:
        return Networks(tuple(ip_network(text) for text in texts))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"allowed_networks can't be used: {error}. Write networks such as 10.0.0.0/8 or fd00::/8, and "
            "127.0.0.0/8 for peers on this machine."
        ) from None
