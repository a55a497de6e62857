"""Where one instance may be reached: its endpoints, and the hosts of each, in the order to try."""

import re
from collections.abc import Iterator
from functools import lru_cache
from ipaddress import ip_address
from socket import AF_INET6
from typing import Final

from peerage.records.addresses import is_host
from peerage.records.instance import Endpoint, Instance
from peerage.records.names import fold_value

# What can be a host name in lower case, with at least one letter.
_HOST_NAME: Final = re.compile(r"(?=.*[a-z])[a-z0-9_][a-z0-9_.-]{0,252}")

#: Endpoints of one instance that are tried at most; a record can name thousands.
_MOST_ENDPOINTS: Final = 16


@lru_cache(maxsize=4096)
def is_literal(host: str) -> bool:
    """Tell whether *host* is an address that needs no look-up."""
    try:
        ip_address(host)
    except ValueError:
        return False
    return True


def fits(instance: Instance, *, secure: bool) -> bool:
    """Tell whether *instance* may speak TLS, or plain HTTP if not *secure*; one that doesn't say so may."""
    scheme = instance.scheme
    return scheme is None or (scheme == "https") is secure


def endpoints_of(instance: Instance, *, secure: bool) -> Iterator[Endpoint]:
    """Iterate over the endpoints to try: those that advertise the scheme, then those that advertise none.

    Args:
        instance: the instance.
        secure: whether TLS is wanted.
    """
    wanted = "https" if secure else "http"
    endpoints = instance.endpoints
    if len(endpoints) > 1:
        endpoints = endpoints[:_MOST_ENDPOINTS]
        yield from (each for each in endpoints if each.scheme == wanted)
        yield from (each for each in endpoints if each.scheme is None)
    elif endpoints and endpoints[0].scheme in (wanted, None):
        yield endpoints[0]


def hosts_of(instance: Instance, endpoint: Endpoint) -> Iterator[str]:
    """Iterate over the hosts by which *endpoint* may be reached; each is tried if those before don't resolve.

    ASAB's documentation says that INSTANCE_ID is resolvable, its code resolves ``host``. Both occur. The
    advertised addresses come last, as far as they are of the endpoint's family.
    """
    if endpoint.address is not None:
        yield endpoint.address
        return
    host = endpoint.host
    yield host
    if is_literal(host):
        return
    instance_id = fold_value(instance.instance_id or "")
    if instance_id != host and _HOST_NAME.fullmatch(instance_id) and is_host(instance_id):
        yield instance_id
    for address in instance.addresses:
        if (":" in address) == (endpoint.family == AF_INET6):
            yield address
