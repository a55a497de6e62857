"""Chooses the registry of a container, by its arguments, the configuration and the environment."""

import os
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from peerage.asab.config import Config

DEFAULT_PATH: Final = "asab"

_EMBEDDED: Final = "embedded:"

_TLS: Final = "zookeeper+tls"

#: A URL, or a path alone: scheme, hosts, path, options. Not urlsplit: a password may have anything in it.
_URL: Final = re.compile(r"(?:(?:([^:/?#]+):)?//([^/?#]*))?([^?#]*)(.*)", re.DOTALL)


class Choice(NamedTuple):
    """The registry of a container."""

    url: str
    """The URL of the registry; may have credentials."""
    path: str
    """The path of the container, without a slash at either end."""
    chroot: str
    """Path at the servers below which that path is; empty, or with a slash at its beginning."""
    configured: bool
    """Whether the registry was configured at all."""


def choose(settings: Mapping[str, str], z_path: str | None) -> Choice:
    """Return the registry of a container.

    Args:
        settings: its ``servers`` and ``path``. An empty one is taken from ``[zookeeper]``, the servers also
            from ``ASAB_ZOOKEEPER_SERVERS``, and the whole URL from ``PEERAGE_REGISTRY``.
        z_path: ``zookeeper://servers/path`` or ``/path``; wins over the settings.
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


def _first(*values: str | None) -> str:
    """Return the first value that isn't empty."""
    return next((text for value in values if (text := (value or "").strip())), "")


def _split(url: str) -> tuple[str, str, str, str]:
    found = _URL.fullmatch(url)
    scheme, authority, path, options = found.groups(default="") if found else ("", "", url, "")
    return scheme, authority, path, options


def _of_servers(scheme: str, servers: str, path: str, options: str) -> Choice:
    hosts, slash, chroot = servers.partition("/")
    # A list may have several lines.
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
        # As in the registry's URL: no path is the default one, '/' is the root.
        return Choice(url, unquote(own_path or DEFAULT_PATH).strip("/"), "", configured=True)
    path = path.strip("/")
    return Choice(f"{scheme}://{authority}{quote(_joined('', path))}{options}", path, "", configured=True)


def _of_embedded(url: str, path: str, *, configured: bool) -> Choice:
    if not url.startswith(_EMBEDDED):
        # A registry of another kind has no folders to choose from.
        return Choice(url, path.strip("/") or DEFAULT_PATH, "", configured)
    base, _, query = url.partition("?")
    path = (path or dict(parse_qsl(query)).get("path", "")).strip("/") or DEFAULT_PATH
    return Choice(base if path == DEFAULT_PATH else f"{base}?path=/{quote(path)}", path, "", configured)


def _joined(chroot: str, path: str) -> str:
    return f"{chroot}/{path}" if path else chroot or "/"
