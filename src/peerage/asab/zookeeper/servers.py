"""Which registry a container uses: said by its arguments, the configuration or the environment."""

import os
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from peerage.asab.config import Config

__all__ = ["Choice", "choose"]

DEFAULT_PATH: Final = "asab"

_EMBEDDED: Final = "embedded:"

_TLS: Final = "zookeeper+tls"

#: A URL, or a path alone: scheme, hosts, path, options. Not urlsplit: a password may have anything in it.
_URL: Final = re.compile(r"(?:(?:([^:/?#]+):)?//([^/?#]*))?([^?#]*)(.*)", re.DOTALL)


class Choice(NamedTuple):
    """What a container uses."""

    url: str
    """Of the registry; may have credentials."""
    path: str
    """The container's, without a slash at either end."""
    chroot: str
    """Path at the servers below which the container's is; empty or with a slash at its beginning."""
    configured: bool
    """Whether anybody said where the registry is."""


def choose(settings: Mapping[str, str], z_path: str | None) -> Choice:
    """Return the registry of a container.

    Args:
        settings: its ``servers`` and ``path``; what is empty there is looked for in ``[zookeeper]``, the
            servers in ``ASAB_ZOOKEEPER_SERVERS`` and the whole URL in ``PEERAGE_REGISTRY`` as well.
        z_path: ``zookeeper://servers/path``, ``/path``; wins over everything else.
    """
    scheme, authority, own_path, options = _split(_first(z_path))
    servers = _first(
        authority,
        settings.get("servers"),
        Config.get("zookeeper", "servers", fallback=""),
        os.environ.get("ASAB_ZOOKEEPER_SERVERS"),
    )
    path = _first(own_path, settings.get("path"), Config.get("zookeeper", "path", fallback=""))
    if servers:
        return _of_servers(
            _TLS if authority and scheme == _TLS else "zookeeper",
            servers,
            path or DEFAULT_PATH,
            options if authority else "",
        )
    if url := _first(os.environ.get("PEERAGE_REGISTRY")):
        return _of_url(url, path)
    return _of_embedded(_EMBEDDED, path, configured=False)


def _first(*places: str | None) -> str:
    """Return what the first place says that says something."""
    return next((said for place in places if (said := (place or "").strip())), "")


def _split(url: str) -> tuple[str, str, str, str]:
    found = _URL.fullmatch(url)
    scheme, authority, path, options = found.groups(default="") if found else ("", "", url, "")
    return scheme, authority, path, options


def _of_servers(scheme: str, servers: str, path: str, options: str) -> Choice:
    hosts, slash, chroot = servers.partition("/")
    # Lists are written over several lines, too.
    hosts = ",".join(hosts.replace(",", " ").split())
    chroot = f"{slash}{chroot.strip('/')}".rstrip("/")
    path = path.strip("/")
    url = f"{scheme}://{hosts}{quote(_joined(chroot, path))}{options}"
    return Choice(url, path, chroot, configured=True)


def _of_url(url: str, path: str) -> Choice:
    scheme, authority, own_path, options = _split(url)
    if scheme not in {"zookeeper", _TLS}:
        return _of_embedded(url, path, configured=True)
    if not path:
        # As the registry itself has it: no path at all is the default one, '/' is the root.
        return Choice(url, unquote(own_path or DEFAULT_PATH).strip("/"), "", configured=True)
    path = path.strip("/")
    return Choice(f"{scheme}://{authority}{quote(_joined('', path))}{options}", path, "", configured=True)


def _of_embedded(url: str, path: str, *, configured: bool) -> Choice:
    if not url.startswith(_EMBEDDED):
        # A registry of another kind has no folders to choose from: its URL says all.
        return Choice(url, path.strip("/") or DEFAULT_PATH, "", configured)
    base, _, query = url.partition("?")
    path = (path or dict(parse_qsl(query)).get("path", "")).strip("/") or DEFAULT_PATH
    return Choice(base if path == DEFAULT_PATH else f"{base}?path=/{quote(path)}", path, "", configured)


def _joined(chroot: str, path: str) -> str:
    return f"{chroot}/{path}" if path else chroot or "/"
