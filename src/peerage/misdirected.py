"""A request that reached the wrong service, and how that is said.

The record of a process that has died stays in the registry for a while. Takes another service its port
meanwhile, requests for the dead one reach that other, token and all. It answers 421 (RFC 9110, 15.5.20) and
marks the answer, so that the client knows: this wasn't processed, whatever the method, and asks elsewhere.
"""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Final

from yarl import URL

from peerage.errors import NotDiscoveredError
from peerage.records.names import BUILTIN_KEYS, LONGEST_HOST, fold_key, fold_value, is_logical, parse_host

__all__ = ["OwnIds"]

_VARIABLES: Final = {key: key.upper() for key in BUILTIN_KEYS}


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

        Whatever is no complete logical name may: it didn't come by discovery. A process that knows no id of
        its own answers to all: it is found by means that aren't known here.
        """
        name = _decoded(_without_port(host))
        if not is_logical(name):
            return True
        try:
            key, value = parse_host(name)
        except NotDiscoveredError:
            return True
        knows_any = False
        for own in self._pairs():
            if own == (key, value):
                return True
            knows_any = True
        return not knows_any

    def _pairs(self) -> Iterator[tuple[str, str]]:
        for key, variable in _VARIABLES.items():
            if value := os.environ.get(variable):
                yield key, fold_value(value)
        for claimed in self._claims.values():
            yield from _pairs_of(claimed())


def _without_port(host: str) -> str:
    name, colon, port = host.rpartition(":")
    return name if colon and (port.isdecimal() or not port) else host


def _decoded(host: str) -> str:
    """Return *host* as people write it: what isn't ASCII is encoded on its way (IDNA)."""
    if len(host) > LONGEST_HOST or "xn--" not in host.lower():
        return host
    # As clients decode it.
    with suppress(ValueError):
        return URL.build(scheme="http", host=host).host or host
    return host


def _pairs_of(ids: Mapping[str, object]) -> Iterator[tuple[str, str]]:
    for key, values in ids.items():
        if not isinstance(values, Iterable) or isinstance(values, str | bytes | Mapping):
            values = (values,)  # noqa: PLW2901 - one is a list of one
        for value in values:
            if value is not None and value != "":
                yield fold_key(key), fold_value(value)
