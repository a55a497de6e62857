"""The ports on which this process serves an application, found out by asking them.

A server doesn't tell its application where it listens, and it may have got its sockets from a supervisor. So
the listening sockets of the process are looked up, and each is sent a ``HEAD /`` that only the application
answers as expected. The answer also proves that the port is served by now.
"""

import asyncio
from contextlib import suppress
from typing import Final, NamedTuple
from urllib.parse import quote

from peerage.client.head import asked
from peerage.serving.listeners import listeners

#: The header of the request and of its answer; its value names the service.
IDENTIFY: Final = "Peerage-Identify"

#: The method of the request. Few others have it, so adapters look at it before they look for the header.
METHOD: Final = "HEAD"

#: The status of the answer.
IDENTIFIED: Final = 204

#: Seconds that one answer may take. Connections to a socket that a supervisor opened wait for its workers.
_SECONDS: Final = 5.0

#: Where a socket can be reached that listens on every interface.
_LOOPBACK: Final = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - nothing is bound here


class Bound(NamedTuple):
    """A TCP socket of this process that listens."""

    address: str
    """As bound: ``0.0.0.0``."""
    port: int


class Served(NamedTuple):
    """A TCP socket at which the application answers; an entry of ``web`` of :class:`peerage.Advert`."""

    address: str
    """As bound: ``0.0.0.0``."""
    port: int
    scheme: str
    """``http`` or ``https``."""


def identification(*names: str | None) -> str:
    """Return the value of the header for an application, from the first of *names* that isn't empty."""
    return quote(next(filter(None, names), ""), safe="")


def listening() -> list[Bound]:
    """Return the TCP sockets of this process that listen, each address and port once, in order."""
    names = listeners().values()
    # Those of Unix sockets are text.
    return sorted({Bound(*name[:2]) for name in names if isinstance(name, tuple)})


async def find_served(name: str, port: int | None = None) -> list[Served]:
    """Return the sockets of this process at which the application *name* answers.

    Args:
        name: its :func:`identification`.
        port: only this one is asked, on loopback if no socket of this process listens there.
    """
    sockets = listening()
    if port is not None:
        anywhere = Bound("0.0.0.0", port)  # noqa: S104 - nothing is bound here
        sockets = [each for each in sockets if each.port == port] or [anywhere]
    schemes = await asyncio.gather(*(_scheme(name, *each) for each in sockets))
    return [
        Served(*each, scheme) for each, scheme in zip(sockets, schemes, strict=True) if scheme is not None
    ]


async def _scheme(name: str, address: str, port: int) -> str | None:
    """Return the scheme in which the application *name* answers at this port, None if it doesn't."""
    for scheme in ("http", "https"):
        with suppress(OSError, EOFError, ValueError):
            async with asyncio.timeout(_SECONDS):
                if await _identifies(name, _LOOPBACK.get(address, address), port, secure=scheme == "https"):
                    return scheme
    return None


async def _identifies(name: str, address: str, port: int, *, secure: bool) -> bool:
    async with asked(address, port, f"{IDENTIFY}: {name}", secure=secure) as reader:
        status, *headers = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    wanted = f"{IDENTIFY}: {name}".lower()
    return status.split()[1:2] == [str(IDENTIFIED)] and wanted in map(str.lower, headers)
