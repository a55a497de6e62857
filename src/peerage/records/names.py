"""The grammar of logical names: ``<value>.<key>.asab``.

``orders.service_id.asab`` is the host of a URL that means "any instance whose ``service_id`` is ``orders``".
Ids match without regard to case, because a URL's host arrives lower-cased; numbers match their text. Source:
ASAB's Discovery Service, "Call using aiohttp".
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

from peerage.errors import NotDiscoveredError
from peerage.records.text import shorten

DOMAIN: Final = "asab"
_SUFFIX: Final = "." + DOMAIN

#: Top-level ids of a record. Each is the key of an id, and wins over the same key under ``discovery``.
BUILTIN_KEYS: Final = ("instance_id", "service_id", "node_id", "site_id")

# OpenSSL doesn't match a wildcard with an underscore, and Java's URI has no host then. Hence the hyphens.
_ALIASES: Final = {key.replace("_", "-"): key for key in BUILTIN_KEYS}

_UNDERSCORE: Final = re.compile(r"(?<=[a-z])_id(\.asab\.?(?::\d+)?)\Z", re.IGNORECASE)

#: Characters of a host (RFC 1035). A longer one is refused before it costs time or memory.
LONGEST_HOST: Final = 253

#: Characters of an id or of a key.
_LONGEST_ID: Final = 1000

# Normalisation sorts combining marks in quadratic time. No language needs more than 30 in a row (Unicode
# Standard Annex 15, "Stream-Safe Text Format"); a decomposed letter before them adds up to three more.
# Marks are neither letters nor digits, which a regular expression finds quickest.
_TOO_MANY_MARKS: Final = re.compile(r"(?<!\W)\W{31}")
_TOO_MANY_DECOMPOSED: Final = re.compile(r"(?<!\W)\W{34}")


def fold_value(value: object) -> str:
    """Return the form of an id in which it is compared: text, NFC, case folded.

    What can't be an id becomes the empty text: more than 1,000 characters, or, unless it is ASCII, more than
    30 characters in a row that are neither letters nor digits.

    >>> fold_value("Orders-1"), fold_value(17)
    ('orders-1', '17')
    """
    text = value if isinstance(value, str) else str(value)
    if len(text) > _LONGEST_ID:
        return ""
    if text.isascii():
        return text.lower()
    if _TOO_MANY_DECOMPOSED.search(text):
        return ""
    normal = unicodedata.normalize("NFC", text)
    folded = normal.casefold()
    if folded != normal:
        # Folding can undo the normalisation (U+0345).
        folded = unicodedata.normalize("NFC", folded)
    return "" if _TOO_MANY_MARKS.search(folded) else folded


def fold_key(key: str) -> str:
    """Return the form of a key in which it is compared; hyphen aliases of the built-in keys are resolved.

    >>> fold_key("service-id"), fold_key("Shard")
    ('service_id', 'shard')
    """
    folded = fold_value(key)
    return _ALIASES.get(folded, folded)


def with_hyphens(host: str) -> str:
    """Return a logical host, with or without a port, with the hyphen alias of a built-in key.

    >>> with_hyphens("orders.service_id.asab"), with_hyphens("example.org:8080")
    ('orders.service-id.asab', 'example.org:8080')
    """
    return _UNDERSCORE.sub(r"-id\1", host)


def is_logical(host: str | None) -> bool:
    """Tell whether *host* belongs to the domain ``asab``, whether or not it is a complete name.

    >>> is_logical("orders.service_id.asab"), is_logical("asab"), is_logical("example.org"), is_logical(None)
    (True, True, False, False)
    """
    if not host:
        return False
    # Called for every request: the usual spelling comes first, and then the last six characters decide.
    if host.endswith(_SUFFIX):
        return True
    tail = host[-6:].lower().removesuffix(".")
    return tail == DOMAIN or tail.endswith(_SUFFIX)


# As many as services are remembered: programs call thousands of instances by their ids.
@lru_cache(maxsize=4096)
def logical_name(host: str | None) -> tuple[str, str] | None:
    """Return :func:`parse_host` of a host that belongs to the domain ``asab``, and None for another.

    Asked for every request.

    >>> logical_name("orders.service_id.asab"), logical_name("example.org")
    (('service_id', 'orders'), None)

    Raises:
        NotDiscoveredError: *host* is no complete name, or is too long.
    """
    return parse_host(host) if host is not None and is_logical(host) else None


# At most 4 MB.
@lru_cache(maxsize=1024)
def parse_host(host: str) -> tuple[str, str]:
    """Split a logical host into ``(key, value)``, both folded.

    It is split from the right, so *value* may contain dots. One trailing dot is allowed.

    >>> parse_host("Orders.eu.service_id.asab")
    ('service_id', 'orders.eu')

    Raises:
        NotDiscoveredError: *host* has no ``<value>.<key>`` in front of ``.asab``, or is too long.
    """
    name = host.removesuffix(".")
    if len(name) > LONGEST_HOST:
        raise NotDiscoveredError(
            f"{shorten(host)} has {len(host)} characters, and hosts have at most {LONGEST_HOST}: "
            "find longer ids by locate()."
        )
    parts = name.rsplit(".", 2)
    key, value = (fold_key(parts[1]), fold_value(parts[0])) if len(parts) == 3 else ("", "")  # noqa: PLR2004 - value, key, domain
    if not key or not value or fold_value(parts[2]) != DOMAIN:
        raise NotDiscoveredError(
            f"{shorten(host)} is no complete name: write <value>.<key>.asab, "
            "for example orders.service_id.asab or orders-1.instance_id.asab."
        )
    return key, value
