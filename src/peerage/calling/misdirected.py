"""The headers of a request, and of its refusal, if it may have reached the wrong service.

The record of a process that died stays in the registry for a while. If another service takes over its port,
it receives the dead one's requests. So a caller names the record that it chose and the address that it
dialled (:data:`DIALLED`). The server compares both with its own, and refuses with a marked 421 (RFC 9110,
15.5.20) what can only be meant for another process. The caller then knows that the request was not processed,
and asks another instance, whatever the method.

The address tells a direct request from one that a proxy handed on with all its headers: there it is the
proxy's address, which isn't the server's.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from peerage.records.addresses import authority

STATUS: Final = 421

#: The response header that marks our refusal: a 421 without it may be of a proxy that processed the request.
MARK: Final = "Peerage-Misdirected"

#: The request header in which a caller names what it dialled: ``Orders.0000000042 10.0.0.5:8080``.
DIALLED: Final = "Peerage-Dialled"


class Dialled(NamedTuple):
    """What a caller says it dialled."""

    name: str
    """Name of the record in the registry."""
    address: str
    """The literal IP address, IPv6 without brackets."""
    port: int


def dialled_header(name: str, address: str, port: int) -> str:
    """Return the value of :data:`DIALLED`.

    >>> dialled_header("Orders.0000000042", "::1", 8080)
    'Orders.0000000042 [::1]:8080'
    """
    return f"{name} {authority(address, port)}"


def read_dialled(value: str) -> Dialled | None:
    """Read the value of :data:`DIALLED`; None if it isn't one.

    >>> read_dialled("Orders.0000000042 [::1]:8080")
    Dialled(name='Orders.0000000042', address='::1', port=8080)
    """
    name, _, authority = value.rpartition(" ")
    address, _, port = authority.rpartition(":")
    if not name or not address or len(port) > 5 or not (port.isascii() and port.isdecimal()):  # noqa: PLR2004 - 65535
        return None
    return Dialled(name, address.removeprefix("[").removesuffix("]"), int(port))


def is_marked(status: int, headers: Mapping[str, str], sent: Mapping[str, str]) -> bool:
    """Tell whether a response says that the request with the headers *sent* was not processed.

    The mark repeats :data:`DIALLED`. A service that processed the request, and hands on the answer of another
    one that it called, with all its headers, hands on another value.
    """
    return status == STATUS and MARK in headers and headers[MARK] == sent.get(DIALLED)
