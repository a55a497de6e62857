"""Refusing requests that are meant for another service.

The record of a process that died stays in the registry for a while. If this process takes over its port, it
receives the dead one's requests, with their tokens. Only requests of peerage's own clients are refused, which
name the record they chose and the address they dialled: :mod:`peerage.calling.misdirected`.
"""

import logging
from collections.abc import Collection
from ipaddress import IPv4Address, IPv6Address, ip_address
from typing import Any, Final, Protocol

from aiohttp import web
from aiohttp.typedefs import Handler, Middleware
from yarl import URL

from peerage.calling.misdirected import DIALLED, MARK, STATUS, Dialled, read_dialled
from peerage.errors import NotDiscoveredError
from peerage.records.names import parse_host
from peerage.records.text import shorten

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


def refuse_misdirected(callee: Callee, *others: Callee) -> Middleware:
    """Return a middleware that refuses requests which are meant for another service.

    ::

        app = web.Application(middlewares=[refuse_misdirected(discovery), …])

    Put it first, before anything reads the request. It answers with a marked 421 (RFC 9110, 15.5.20), and the
    client, which is always one of peerage's, asks another instance. Everything else is let through: see
    :func:`is_for_another`.

    Args:
        callee: the :class:`peerage.Discovery` by which this process is found.
        others: further ones, if it is found by several.
    """
    callees = (callee, *others)
    logged: set[str] = set()

    @web.middleware
    async def refuse(request: web.Request, handler: Handler) -> web.StreamResponse:
        headers = request.headers.getall(DIALLED, ())
        dialled = read_dialled(headers[0]) if len(headers) == 1 else None
        local = request.get_extra_info("sockname")
        if dialled is None or not all(is_for_another(each, dialled, local, request.host) for each in callees):
            return await handler(request)
        if dialled.name not in logged and len(logged) < _MOST_LOGGED:
            logged.add(dialled.name)
            log.info(
                "Requests for %s are refused: they are for the record %s, which isn't of this process",
                *(shorten(request.host), shorten(dialled.name)),
            )
        return web.Response(status=STATUS, headers={MARK: request.headers[DIALLED]}, text=_TEXT)

    return refuse


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
