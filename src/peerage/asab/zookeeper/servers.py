"""Which registry a container uses: said by its arguments, the configuration or the environment."""

import os
import re
from collections.abc import Mapping
from typing import Final, NamedTuple
from urllib.parse import parse_qsl, quote, unquote, urlsplit

from peerage.asab.config import Config

__all__ = ["Choice", "choose"]

DEFAULT_PATH: Final = "asab"

_EMBEDDED: Final = "embedded:"

#: A ZooKeeper URL: up to its hosts, its path, its options. Not urlsplit: a password may have anything in it.
_ZOOKEEPER: Final = re.compile(r"(zookeeper(?:\+tls)?://[^/?#]*)([^?#]*)(.*)", re.DOTALL)


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
    parts = urlsplit(z_path or "")
    servers = (
        parts.netloc
        or settings.get("servers")
        or Config.get("zookeeper", "servers", fallback="")
        or os.environ.get("ASAB_ZOOKEEPER_SERVERS")
    )
    path = parts.path or settings.get("path") or Config.get("zookeeper", "path", fallback="") or ""
    if servers:
        tls = parts.netloc and parts.scheme == "zookeeper+tls"
        return _of_servers("zookeeper+tls" if tls else "zookeeper", servers, path or DEFAULT_PATH)
    if url := os.environ.get("PEERAGE_REGISTRY"):
        return _of_url(url, path)
    return _of_embedded(_EMBEDDED, path, configured=False)


def _of_servers(scheme: str, servers: str, path: str) -> Choice:
    hosts, slash, chroot = servers.partition("/")
    # Lists are written over several lines, too.
    hosts = ",".join(host.strip() for host in hosts.split(",") if host.strip())
    chroot = f"{slash}{chroot.strip().strip('/')}".rstrip("/")
    path = path.strip("/")
    return Choice(f"{scheme}://{hosts}{quote(_joined(chroot, path))}", path, chroot, configured=True)


def _of_url(url: str, path: str) -> Choice:
    found = _ZOOKEEPER.fullmatch(url)
    if found is None:
        return _of_embedded(url, path, configured=True)
    if not path:
        # As the registry itself has it: no path at all is the default one, '/' is the root.
        return Choice(url, unquote(found[2] or DEFAULT_PATH).strip("/"), "", configured=True)
    path = path.strip("/")
    return Choice(f"{found[1]}{quote(_joined('', path))}{found[3]}", path, "", configured=True)


def _of_embedded(url: str, path: str, *, configured: bool) -> Choice:
    if not url.startswith(_EMBEDDED):
        # A registry of another kind has no folders to choose from: its URL says all.
        return Choice(url, path.strip("/") or DEFAULT_PATH, "", configured)
    base, _, query = url.partition("?")
    path = (path or dict(parse_qsl(query)).get("path", "")).strip("/") or DEFAULT_PATH
    return Choice(base if path == DEFAULT_PATH else f"{base}?path=/{quote(path)}", path, "", configured)


def _joined(chroot: str, path: str) -> str:
    return f"{chroot}/{path}" if path else chroot or "/"
