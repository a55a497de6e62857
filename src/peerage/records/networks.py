"""Which addresses are called because a record says so.

Whoever may write records chooses where others send requests. Some addresses mean the caller's own machine or
its cloud, and answer with credentials: those are never called. A service can say which networks it has its
peers in, and then calls no others.
"""

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from peerage.errors import ConfigurationError

__all__ = ["ANYWHERE", "Networks", "never_called", "read_networks"]

_Address = IPv4Address | IPv6Address
_Network = IPv4Network | IPv6Network

#: Link-local, where clouds have their metadata; their other addresses; what is nobody's; multicast.
_NEVER: Final = tuple(
    map(
        ip_network,
        (
            "169.254.0.0/16",
            "fe80::/10",
            "fd00:ec2::/32",
            "fd20:ce::254/128",
            "100.100.100.200/32",
            "168.63.129.16/32",
            "192.0.0.0/24",
            "0.0.0.0/8",
            "::/128",
            "224.0.0.0/4",
            "ff00::/8",
            "255.255.255.255/32",
        ),
    )
)

#: The same as numbers, by version: each address of each record is compared with them.
_NUMBERS: Final = {
    version: [(int(each.netmask), int(each.network_address)) for each in _NEVER if each.version == version]
    for version in (4, 6)
}

#: IPv6 addresses whose last 32 bits are an IPv4 address that a gateway, or the system, makes of them.
_TRANSLATED: Final = (IPv6Network("64:ff9b::/96"), IPv6Network("::/96"))

_LOOPBACK: Final = IPv6Address("::1")


class Networks:
    """Tells which literal addresses may be called.

    Args:
        allowed: the networks peers are in; None: any.
    """

    __slots__ = ("_allowed",)

    def __init__(self, allowed: tuple[_Network, ...] | None = None) -> None:
        self._allowed = allowed

    def allows(self, text: str) -> bool:
        """Tell whether *text*, an address or a name, may be called; a name may, until it is resolved."""
        return self.why_not(text) is None

    def why_not(self, text: str) -> str | None:
        """Return why *text* isn't called; None if it may be."""
        if ":" not in text and not text.replace(".", "").isdecimal():
            return None  # a name; this is asked for each record
        return _why_not(self._allowed, text)


@lru_cache(maxsize=4096)
def _why_not(allowed: tuple[_Network, ...] | None, text: str) -> str | None:
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return None
    meanings = _meanings(address)
    if any(map(_is_nobodys, meanings)):
        return "is link-local, of a cloud's metadata or of nobody, which is never called"
    if allowed is not None and not any(meanings[-1] in network for network in allowed):
        return "is in none of the allowed_networks"
    return None


def never_called(address: _Address) -> bool:
    """Tell whether *address*, or what it stands for, is one that nobody calls."""
    return any(map(_is_nobodys, _meanings(address)))


def _is_nobodys(address: _Address) -> bool:
    number = int(address)
    return any(number & mask == network for mask, network in _NUMBERS[address.version])


def _meanings(address: _Address) -> tuple[_Address, ...]:
    """Return *address* and the IPv4 address that it stands for, if it does; that one last."""
    if isinstance(address, IPv4Address):
        return (address,)
    inner = address.ipv4_mapped or address.sixtofour
    if inner is None and address != _LOOPBACK and any(address in network for network in _TRANSLATED):
        inner = IPv4Address(int(address) & 0xFFFFFFFF)
    return (address,) if inner is None else (address, inner)


#: Wherever a peer may be.
ANYWHERE: Final = Networks()


def read_networks(given: str | Iterable[str] | None) -> Networks:
    """Read ``"10.0.0.0/8, fd00::/8"``, or a list of such networks; None: any.

    Raises:
        ConfigurationError: one of them is no network, or there is none.
    """
    if given is None:
        return ANYWHERE
    texts = given.replace(",", " ").split() if isinstance(given, str) else [*given]
    if not texts:
        raise ConfigurationError(
            "allowed_networks has no network in it, so nobody could be called: write 10.0.0.0/8, "
            "or leave it out."
        )
    try:
        return Networks(tuple(ip_network(text) for text in texts))
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            f"allowed_networks can't be used: {error}. Write networks such as 10.0.0.0/8 or fd00::/8, and "
            "127.0.0.0/8 for peers on this machine."
        ) from None
