"""Refusing requests that are meant for another service.

The record of a process that died stays in the registry for a while. If this process takes over its port, it
receives the dead one's requests, with their tokens. Only requests of peerage's own clients are refused, which
name the record they chose and the address they dialled: :mod:`peerage.calling.misdirected`.
"""

import logging
from collections.abc import Collection, Sequence
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, Protocol

from yarl import URL

from peerage.calling.misdirected import MARK, STATUS, Dialled, read_dialled
from peerage.errors import NotDiscoveredError
from peerage.records.names import parse_host
from peerage.records.text import shorten
from peerage.serving.refusal import Refusal

log = logging.getLogger(__name__)

_TEXT: Final = (
    "This request is for another service, which isn't at this address any more. It was not processed: look "
    "the name up again.\n"
)

#: Characters of an encoded host, at most (RFC 1035), and its port; decoding takes quadratic time.
_LONGEST_HOST: Final = 253 + len(":65535")

#: Records of other processes that are logged, once each.
_MOST_LOGGED: Final = 100


class Callee(Protocol):
    """How this process is called: a :class:`peerage.Discovery`."""

    def own_ids(self) -> Collection[tuple[str, str]]:
        """Return the ``(key, value)`` pairs, folded, by which this process is called."""

    def own_records(self) -> Collection[str]:
        """Return the names that its records in the registry have or had."""


class Misdirected:
    """Refuses requests which are meant for another service.

    Args:
        callees: the :class:`peerage.Discovery` objects by which this process is found.
    """

    def __init__(self, callees: Sequence[Callee]) -> None:
        self._callees = callees
        self._logged: set[str] = set()

    def refuse(self, dialled: Sequence[str], local: Any, host: str) -> Refusal | None:
        """Return the refusal of a request; None if it is accepted.

        Args:
            dialled: the values of its header ``Peerage-Dialled``. If there are several, a proxy added one.
            local: this end of the connection, as ``getsockname()`` returns it; None if it isn't known.
            host: its header ``Host``.
        """
        found = read_dialled(dialled[0]) if len(dialled) == 1 else None
        if found is None or not all(is_for_another(each, found, local, host) for each in self._callees):
            return None
        if found.name not in self._logged and len(self._logged) < _MOST_LOGGED:
            self._logged.add(found.name)
            log.info(
                "Requests for %s are refused: they are for the record %s of another process",
                *(shorten(host), shorten(found.name)),
            )
        return Refusal(STATUS, {MARK: dialled[0]}, _TEXT)


def is_for_another(callee: Callee, dialled: Dialled, local: Any, host: str) -> bool:
    """Return whether a request can only be meant for another process; all of this must hold.

    The record that the client chose is none that this process has or had. The address that it dialled is
    this end of the connection, so no proxy handed the request on. The ``Host`` is a logical name,
    ``<value>.<key>.asab``, and none of this process's. A process that has neither ids nor records accepts
    everything: it is found by means that aren't known here. *local* is this end of the connection, as
    ``getsockname()`` returns it; None if it isn't known.
    """
    records = callee.own_records()
    if dialled.name in records:
        return False
    # Of a Unix socket it is a path.
    if not isinstance(local, tuple) or (_address(dialled.address), dialled.port) != (
        _address(local[0]),
        local[1],
    ):
        return False
    if len(host) > _LONGEST_HOST:
        return False
    try:
        # What isn't ASCII is encoded on its way (IDNA), which URL undoes.
        called = parse_host(URL.build(scheme="http", authority=host).host or "")
    except (ValueError, NotDiscoveredError):
        return False
    ids = callee.own_ids()
    return bool(ids or records) and called not in ids


def _address(text: str) -> IPv4Address | IPv6Address | str:
    """Return an address in the form in which two are compared."""
    try:
        address = ip_address(text.partition("%")[0])
    except ValueError:
        return text
    return (isinstance(address, IPv6Address) and address.ipv4_mapped) or address
