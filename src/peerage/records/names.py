"""The grammar of logical names: ``<value>.<key>.asab``.

``orders.service_id.asab`` is the host of a URL that means "any instance whose ``service_id`` is ``orders``".
Ids match without regard to case, because a URL's host arrives lower-cased; numbers match their text. Source:
ASAB's Discovery Service, "Call using aiohttp".
"""

import unicodedata
from functools import lru_cache
from typing import Final

from peerage.errors import NotDiscoveredError

__all__ = ["BUILTIN_KEYS", "DOMAIN", "fold_key", "fold_value", "is_logical", "parse_host"]

DOMAIN: Final = "asab"
_SUFFIX: Final = "." + DOMAIN

#: Top-level ids of a record. Each is a key of its own and wins over the same key under ``discovery``.
BUILTIN_KEYS: Final = ("instance_id", "service_id", "node_id", "site_id")

# OpenSSL doesn't match a wildcard with an underscore and Java's URI has no host then, so hyphens are
# understood too.
_ALIASES: Final = {key.replace("_", "-"): key for key in BUILTIN_KEYS}

#: How many parsed hosts are remembered; a client calls few names, a crawler through our client may call many.
_REMEMBERED: Final = 4096


def fold_value(value: object) -> str:
    """Return the form of an id under which it is compared: text, NFC, case folded.

    >>> fold_value("Orders-1"), fold_value(17)
    ('orders-1', '17')
    """
    text = value if isinstance(value, str) else str(value)
    if text.isascii():
        return text.lower()
    # Folding can denormalise again (U+0345), hence NFC on both sides of it.
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", text).casefold())


def fold_key(key: str) -> str:
    """Return the form of a key under which it is compared; hyphen aliases of the built-in keys are resolved.

    >>> fold_key("service-id"), fold_key("Shard")
    ('service_id', 'shard')
    """
    folded = fold_value(key)
    return _ALIASES.get(folded, folded)


def is_logical(host: str | None) -> bool:
    """Tell whether *host* belongs to the domain ``asab``, whether or not it is a complete name.

    >>> is_logical("orders.service_id.asab"), is_logical("asab"), is_logical("example.org"), is_logical(None)
    (True, True, False, False)
    """
    if not host:
        return False
    # Called for every request: the common answers come without folding.
    tail = host[-6:].lower()
    return tail.endswith(_SUFFIX) or tail == _SUFFIX + "." or host.lower() in (DOMAIN, DOMAIN + ".")


@lru_cache(maxsize=_REMEMBERED)
def parse_host(host: str) -> tuple[str, str]:
    """Split a logical host into ``(key, value)``, both folded.

    It is split from the right, so *value* may contain dots. One trailing dot is allowed.

    >>> parse_host("Orders.eu.service_id.asab")
    ('service_id', 'orders.eu')

    Raises:
        NotDiscoveredError: *host* has no ``<value>.<key>`` in front of ``.asab``.
    """
    parts = host.removesuffix(".").rsplit(".", 2)
    if len(parts) != 3 or fold_value(parts[2]) != DOMAIN or not parts[0] or not parts[1]:  # noqa: PLR2004 - value, key, domain
        raise NotDiscoveredError(
            f"{host!r} is no complete name: write <value>.<key>.asab, "
            "for example orders.service_id.asab or orders-1.instance_id.asab."
        )
    return fold_key(parts[1]), fold_value(parts[0])
