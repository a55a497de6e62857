"""Literal IP addresses and hosts, and what they mean to a process on another machine."""

import re
import socket
import unicodedata
from functools import lru_cache
from ipaddress import IPv6Address, ip_address
from typing import Final, NamedTuple

from peerage.records.names import LONGEST_HOST
from peerage.records.networks import LONGEST_ADDRESS, meanings, never_called

#: What can be a host in a URL without quoting: no delimiters, space or brackets.
_HOST: Final = re.compile(r"[^\s/?#@\\\[\]:%<>\"'`{}|^\x00-\x1f\x7f]+")

#: The characters of all notations of an IPv4 address.
_NUMBERS: Final = re.compile(r"[0-9A-Fa-fXx.]+")


class Address(NamedTuple):
    """A literal address."""

    literal: str
    """The usual notation; an IPv4 address mapped into IPv6 is the IPv4 address."""
    family: int
    """``socket.AF_INET`` or ``socket.AF_INET6``."""
    unspecified: bool
    """Whether it means all interfaces: ``0.0.0.0`` or ``::``."""
    loopback: bool
    routable: bool
    """Whether another machine can reach it: it isn't loopback, all interfaces, or never called."""


def authority(host: str, port: int) -> str:
    """Return *host* and *port* as they are written in a URL.

    >>> authority("node-1", 80), authority("::1", 80)
    ('node-1:80', '[::1]:80')
    """
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def read_address(text: str) -> Address | None:
    """Return what the address *text* means; None if it is no address.

    >>> read_address("::ffff:10.0.0.1").literal, read_address("127.0.0.1").routable, read_address("node-1")
    ('10.0.0.1', False, None)
    """
    return _read_address(text) if len(text) <= LONGEST_ADDRESS else None


# At most 300 kB.
@lru_cache(maxsize=1024)
def _read_address(text: str) -> Address | None:
    try:
        address = ip_address(text)
    except ValueError:
        return None
    if isinstance(address, IPv6Address):
        # A scope (fe80::1%eth0) is an interface of the machine that wrote it, and may be any text.
        if address.scope_id is not None and not address.is_link_local:
            return None
        address = address.ipv4_mapped or address
    unspecified, loopback = address.is_unspecified, any(each.is_loopback for each in meanings(address))
    return Address(
        literal=str(address),
        family=socket.AF_INET6 if isinstance(address, IPv6Address) else socket.AF_INET,
        unspecified=unspecified,
        loopback=loopback,
        routable=not (unspecified or loopback or never_called(address)),
    )


def is_host(text: str) -> bool:
    """Tell whether *text* can be the host of a URL: a name, or an address in its usual notation.

    Resolvers also read ``0x7f000001``, ``2130706433`` and ``127.1`` as addresses. These are refused, because
    they would evade the rules for addresses.
    """
    return len(text) <= LONGEST_HOST and _is_host(text)


# At most 2 MB.
@lru_cache(maxsize=2048)
def _is_host(text: str) -> bool:
    # A host is part of URLs, and these are printed: no invisible characters, no lone surrogates.
    if not text.isprintable():
        return False
    name = bool(_HOST.fullmatch(text))
    if name and text.isascii() and not _NUMBERS.fullmatch(text):
        return True
    if "%" not in text and read_address(text) is not None:
        return True
    return name and not _is_disguised(text)


def _is_disguised(text: str) -> bool:
    """Tell whether resolvers read *text*, which is in no usual notation, as an address."""
    # Digits and full stops have other forms, too, which the encoding of domain names (IDNA) replaces.
    plain = unicodedata.normalize("NFKC", text).replace("\u3002", ".").removesuffix(".")
    try:
        socket.inet_aton(plain)
    except (OSError, ValueError):
        return False
    return True
