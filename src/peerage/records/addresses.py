"""Literal IP addresses, by what they mean to somebody on another machine."""

import socket
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from peerage.records.networks import never_called

__all__ = ["Address", "read_address"]

#: Characters of an address, at most: 45, and a scope. What is longer isn't worth remembering.
_LONGEST: Final = 64


class Address(NamedTuple):
    """A literal address."""

    literal: str
    """As others should spell it; an IPv4 address mapped into IPv6 is the IPv4 address."""
    family: int
    """``socket.AF_INET`` or ``socket.AF_INET6``."""
    everywhere: bool
    """Whether it means all interfaces: ``0.0.0.0`` or ``::``."""
    loopback: bool
    routable: bool
    """Whether another machine may reach it: not loopback, all interfaces, or what is never called."""


def read_address(text: str) -> Address | None:
    """Return what *text* means, None if it is no address.

    >>> read_address("::ffff:10.0.0.1").literal, read_address("127.0.0.1").routable, read_address("node-1")
    ('10.0.0.1', False, None)
    """
    return _read(text) if len(text) <= _LONGEST else None


@lru_cache(maxsize=1024)
def _read(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # A scope (fe80::1%eth0) is a name on the machine of who wrote it, and may be any text.
        if address.scope_id is not None and not address.is_link_local:
            return None
        address = address.ipv4_mapped or address
    everywhere, loopback = address.is_unspecified, address.is_loopback
    return Address(
        literal=str(address),
        family=socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET,
        everywhere=everywhere,
        loopback=loopback,
        routable=not (everywhere or loopback or never_called(address)),
    )
