"""Where a web container listens, and what is spoken there."""

from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from aiohttp import web


__all__ = ["Bound", "bound_web"]

#: The address and the port, and ``http`` or ``https``.
Bound = tuple[str, int, str]


def bound_web(runner: "web.AppRunner") -> list[Bound]:
    """Return the address, the port and the scheme of each socket on which the sites of *runner* listen."""
    # A site knows one port; of a line with port 0 and several addresses each socket has another one.
    schemes = {getattr(site, "port", None): urlsplit(site.name).scheme for site in runner.sites}
    default = next(iter(schemes.values()), "http")
    return [(address, port, schemes.get(port, default)) for address, port, *_ in runner.addresses]
