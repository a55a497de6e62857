"""Where one instance may be reached: hosts and ports in the order to try them."""

import re
from functools import lru_cache
from ipaddress import ip_address
from typing import Final, NamedTuple

from yarl import URL

from peerage.instance import Endpoint, Instance
from peerage.names import fold_value

__all__ = ["Place", "is_literal", "names_of", "places_of"]

# What can be a host name. At least one letter: resolvers read a bare number as an IPv4 address.
_HOST_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9_][a-z0-9_.-]{0,252}")


class Place(NamedTuple):
    """A host and port to connect to."""

    host: str
    """A name to resolve, or a literal address (IPv6 without brackets)."""
    port: int
    stand_in: bool = False
    """Whether it is tried only because the host in front of it doesn't resolve."""

    @property
    def authority(self) -> str:
        """``host:port`` as it stands in a URL.

        Raises:
            ValueError: the host can't stand in a URL.
        """
        return _authority(self.host, self.port)


@lru_cache(maxsize=4096)
def is_literal(host: str) -> bool:
    """Tell whether *host* is an address that needs no resolving."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


@lru_cache(maxsize=4096)
def _authority(host: str, port: int) -> str:
    if ":" in host:
        return f"[{host}]:{port}"
    # yarl brings the name into the form the wire wants, IDNA included.
    return f"{URL.build(scheme='http', host=host).raw_host}:{port}"


def names_of(instance: Instance, endpoint: Endpoint) -> tuple[str, ...]:
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


def places_of(instance: Instance) -> list[Place]:
    """Return where *instance* may be reached, in the order to try; each once, whatever the family."""
    endpoints = instance.endpoints
    if len(endpoints) == 1 and (address := endpoints[0].address) is not None:
        return [Place(address, endpoints[0].port)]
    by_authority: dict[tuple[str, int], Endpoint] = {}
    for endpoint in endpoints:
        by_authority.setdefault((endpoint.host, endpoint.port), endpoint)
    return [
        Place(name, endpoint.port, stand_in=number > 0)
        for endpoint in by_authority.values()
        for number, name in enumerate(names_of(instance, endpoint))
    ]
