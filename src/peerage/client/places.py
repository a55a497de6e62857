"""Where one instance may be reached: hosts and ports in the order to try them."""

import re
from functools import lru_cache
from ipaddress import ip_address
from itertools import islice
from typing import Final, NamedTuple

from yarl import URL

from peerage.records.instance import Endpoint, Instance
from peerage.records.names import fold_value

__all__ = ["Place", "first_place_of", "is_literal", "make_place", "places_of"]

# What can be a host name. At least one letter: resolvers read a bare number as an IPv4 address.
_HOST_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9_][a-z0-9_.-]{0,252}")

#: Places of one instance that are tried at most; a record can name thousands.
_MOST_PLACES: Final = 16


class Place(NamedTuple):
    """A host and port to connect to."""

    host: str
    """A name to resolve, or a literal address (IPv6 without brackets)."""
    port: int
    authority: str | None
    """Both as they stand in a URL; None if the host can't stand in one."""
    stand_in: bool = False
    """Whether it is tried only because the host in front of it doesn't resolve."""

    @property
    def wire(self) -> str:
        """The host as it is looked up: in IDNA's form."""
        return self.host if self.authority is None else self.authority.rsplit(":", 1)[0].strip("[]")


@lru_cache(maxsize=4096)
def is_literal(host: str) -> bool:
    """Tell whether *host* is an address that needs no resolving."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def make_place(host: str, port: int, *, stand_in: bool = False) -> Place:
    """Return the place at *host* and *port*, remembered from the last time."""
    if ":" in host:
        return Place(host, port, f"[{host}]:{port}", stand_in)
    try:
        # yarl brings the name into the form the wire wants, IDNA included.
        wire = URL.build(scheme="http", host=host).raw_host or ""
    except ValueError:
        return Place(host, port, None, stand_in)
    if wire.replace(".", "").isdecimal() and not is_literal(host):
        # An address in disguise (10.1, or digits of another script): the record was judged without seeing it.
        return Place(host, port, None, stand_in)
    return Place(host, port, f"{wire}:{port}", stand_in)


def first_place_of(instance: Instance) -> Place:
    """Return the first of the places of *instance*, quickly: it is the only one nearly always."""
    endpoint = instance.endpoints[0]
    return make_place(endpoint.address or endpoint.host, endpoint.port)


def places_of(instance: Instance) -> list[Place]:
    """Return where *instance* may be reached, in the order to try; each once, whatever the family."""
    by_authority: dict[tuple[str, int], Endpoint] = {}
    for endpoint in islice(instance.endpoints, _MOST_PLACES):
        by_authority.setdefault((endpoint.host, endpoint.port), endpoint)
    places = [
        make_place(name, endpoint.port, stand_in=True) if number else make_place(name, endpoint.port)
        for endpoint in by_authority.values()
        for number, name in enumerate(_names_of(instance, endpoint))
    ]
    return places[:_MOST_PLACES]


def _names_of(instance: Instance, endpoint: Endpoint) -> tuple[str, ...]:
    """Return the hosts by which *endpoint* may be found: its own, ``instance_id``, advertised addresses.

    ASAB's documentation says that INSTANCE_ID is resolvable, its code resolves ``host``. Both occur.
    """
    if endpoint.address is not None:
        return (endpoint.address,)
    if is_literal(endpoint.host):
        return (endpoint.host,)
    instance_id = fold_value(instance.instance_id or "")
    if _HOST_NAME.fullmatch(instance_id) and instance_id != endpoint.host:
        return (endpoint.host, instance_id, *instance.addresses)
    return (endpoint.host, *instance.addresses)
