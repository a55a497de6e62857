"""A request that reached the wrong service, and how that is said.

The record of a process that has died stays in the registry for a while. Takes another service its port
meanwhile, requests for the dead one reach that other, token and all. It answers 421 (RFC 9110, 15.5.20) and
marks the answer, so that the client knows: this wasn't processed, whatever the method, and asks elsewhere.
"""

import os
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Final

from yarl import URL

from peerage.errors import NotDiscoveredError
from peerage.names import BUILTIN_KEYS, fold_key, fold_value, is_logical, parse_host

__all__ = ["MARK", "STATUS", "OwnIds", "is_marked"]

STATUS: Final = 421

#: The header by which such an answer is told from one of a proxy's, which may have processed the request.
MARK: Final = "Peerage-Misdirected"

_VARIABLES: Final = {key: key.upper() for key in BUILTIN_KEYS}


def is_marked(status: int, headers: Mapping[str, str]) -> bool:
    """Tell whether an answer says that the request wasn't processed."""
    return status == STATUS and MARK in headers


class OwnIds:
    """The ids by which this process is called.

    ``SERVICE_ID`` and so on are read from the environment whenever somebody calls by them, as they are at
    each advertisement.

    Args:
        ids: further ids, ``{"shard": [1, 2]}``.
    """

    def __init__(self, ids: Mapping[str, object] | None = None) -> None:
        self._claims: dict[str, Callable[[], Mapping[str, object]]] = {}
        if ids is not None:
            self.claim("", lambda: ids)

    def claim(self, who: str, ids: Callable[[], Mapping[str, object]]) -> None:
        """Have *ids* asked for what else this process is called by.

        Args:
            who: who claims them; claiming again replaces what that one claimed before.
            ids: returns ``{key: value or [value, …]}``.
        """
        self._claims[who] = ids

    def answers_to(self, host: str) -> bool:
        """Tell whether a request with this ``Host`` header may be meant for this process.

        Whatever is no complete logical name may: it didn't come by discovery.
        """
        name = _decoded(_without_port(host))
        if not is_logical(name):
            return True
        try:
            key, value = parse_host(name)
        except NotDiscoveredError:
            return True
        variable = _VARIABLES.get(key)
        if variable is not None and fold_value(os.environ.get(variable, "")) == value:
            return True
        return any(value in _values(key, claimed()) for claimed in self._claims.values())


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and (port.isdecimal() or not port) else host


def _decoded(host: str) -> str:
    """Return *host* as people write it: what isn't ASCII is encoded on its way (IDNA)."""
    if "xn--" not in host.lower():
        return host
    # As clients decode it.
    with suppress(ValueError):
        return URL.build(scheme="http", host=host).host or host
    return host


def _values(key: str, ids: Mapping[str, object]) -> set[str]:
    found: set[str] = set()
    for own, values in ids.items():
        if fold_key(own) != key:
            continue
        if isinstance(values, Iterable) and not isinstance(values, str | bytes | Mapping):
            found.update(map(fold_value, values))
        else:
            found.add(fold_value(values))
    return found
