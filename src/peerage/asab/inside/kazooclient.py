"""The URL of the registry to which a container of the real asab is connected."""

import logging
import os
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import quote, urlencode

from peerage.errors import ConfigurationError
from peerage.records.addresses import authority

log = logging.getLogger("peerage.asab.zookeeper")

_DIGEST: Final = "digest"
_SASL: Final = "sasl"


def chroot_of(container: Any) -> str:
    """Return the chroot of *container*; empty for the root."""
    chroot = (container.ZooKeeper.Client.chroot or "").strip("/")
    return f"/{chroot}" if chroot else ""


def registry_url(container: Any) -> str:
    """Return the URL of the registry of *container*, with the credentials of its kazoo client.

    It raises ConfigurationError if the client doesn't verify certificates.
    """
    client = container.ZooKeeper.Client
    credentials = _credentials(client)
    options: dict[str, str] = {}
    if credentials is not None:
        options["auth"] = credentials[0]
        if client.default_acl is None and not os.environ.get("PEERAGE_ZOOKEEPER_ACL"):
            # Like the client, whose nodes are open; other services of the cluster rely on that.
            options["acl"] = "open"
    if client.use_ssl:
        options.update(_tls(client))
    userinfo = "" if credentials is None else ":".join(quote(part, safe="") for part in credentials[1:]) + "@"
    hosts = ",".join(authority(host, port) for host, port in client.hosts)
    path = f"{chroot_of(container)}/{container.Path.strip('/')}".strip("/")
    query = f"?{urlencode(options, quote_via=quote)}" if options else ""
    return f"zookeeper{'+tls' if client.use_ssl else ''}://{userinfo}{hosts}/{quote(path)}{query}"


def _tls(client: Any) -> Iterator[tuple[str, str]]:
    if not client.verify_certs:
        raise ConfigurationError(
            "The container's kazoo client doesn't verify the servers' certificates (verify_certs=False), but "
            "discovery does: set ca= to the authority that signed them, and check_hostname=False if they "
            "have other names."
        )
    # The password of the key comes from PEERAGE_ZOOKEEPER_KEY_PASSWORD, so that no log shows it.
    for option, value in (("ca", client.ca), ("cert", client.certfile), ("key", client.keyfile)):
        if value:
            yield option, value
    yield "check_hostname", "yes" if client.check_hostname else "no"


def _credentials(client: Any) -> tuple[str, str, str] | None:
    """Return mechanism, user and password; None without credentials."""
    # Private: kazoo keeps the options of its constructor there.
    sasl = getattr(getattr(client, "_connection", None), "sasl_options", None) or {}
    if sasl.get("username") and sasl.get("password"):
        return _SASL, sasl["username"], sasl["password"]
    digests = sorted(text for scheme, text in client.auth_data if scheme == _DIGEST)
    others = {scheme for scheme, _ in client.auth_data} - {_DIGEST}
    if len(digests) > 1 or others or sasl:
        log.warning(
            "The container's kazoo client has credentials that discovery can't use. It uses one of the "
            "scheme digest, or SASL with username and password; ZooKeeper may refuse it access"
        )
    if not digests:
        return None
    user, _, password = digests[0].partition(":")
    return _DIGEST, user, password
