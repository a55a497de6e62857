"""One advertised record, validated: tolerant of what others write.

A record is JSON written by any program of the cluster. What is wrong with it costs the entry it is in, or the
record, and nothing else: :func:`decode` never raises, it returns what can be used and says what can't.
Fields: ASAB's Discovery Service; whatever peerage adds stands under the one key ``peerage``.
"""

import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from sys import intern
from typing import Any, Final, NamedTuple

from peerage.records.addresses import Address, read_address
from peerage.records.names import BUILTIN_KEYS, fold_key, fold_value
from peerage.records.networks import ANYWHERE, Networks
from peerage.records.text import parse_record, printable, shorten

__all__ = ["DRAINING", "Decoded", "Endpoint", "Instance", "decode"]

#: ``peerage.state`` of an instance that is about to stop.
DRAINING: Final = "draining"

#: What can be a host in a URL without quoting: no delimiters, space or brackets.
_HOST = re.compile(r"[^\s/?#@\\\[\]:%<>\"'`{}|^\x00-\x1f\x7f]+")

#: Characters of a host name, at most (RFC 1035).
_LONGEST_HOST: Final = 253

_MAX_PORT: Final = 65535
_SCHEMES: Final = ("http", "https")

#: Problems told of one record; a record of noise could have thousands.
_TOLD: Final = 8

#: Problems of one record that are put into words, to see which are the same.
_LOOKED_AT: Final = 64

_LOOPBACK: Final[dict[int, str]] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}
_ID_TYPES: Final = (str, int, float)

#: An id as it may stand in a record.
Id = str | int | float


class Endpoint(NamedTuple):
    """One place where an instance answers."""

    host: str
    """The name to resolve, or a literal address (IPv6 without brackets)."""
    port: int
    family: int
    """``socket.AF_INET`` or ``socket.AF_INET6``, as bound by the instance."""
    address: str | None = None
    """The literal address to connect to instead of resolving *host*: loopback, if it runs on this host."""
    scheme: str | None = None
    """``http`` or ``https`` if the record says so."""

    @property
    def authority(self) -> str:
        """``host:port`` as it stands in a URL."""
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(slots=True, eq=False, repr=False)
class Instance:
    """A running process that advertises itself.

    Two are equal only if they are the same object: a changed record is another Instance. The parsed record
    isn't kept (it is several times the size of its text); :meth:`record` parses it anew. Nobody changes one
    once it is made, which type checkers see to: at run time it would be a tenth of what reading one costs.
    """

    name: Final[str]
    """Name of its record in the registry."""
    data: Final[bytes]
    """The record as advertised."""
    sequence: Final[int]
    """Grows with the time of creation of the record."""
    ephemeral: Final[bool]
    """False for a record that no process owns: shown, never called."""
    host: Final[str | None]
    """Name by which peers resolve its machine."""
    appclass: Final[str | None]
    ids: Final[tuple[tuple[str, str], ...]]
    """All its ``(key, value)`` pairs, both folded, each once."""
    endpoints: Final[tuple[Endpoint, ...]]
    """Where this process can reach it; empty if nowhere."""
    urls: Final[tuple[str, ...]]
    """``scheme://host:port`` of each endpoint, each once."""
    scheme: Final[str | None]
    """``http`` or ``https`` if the record says so."""
    state: Final[str | None]
    """``draining`` when it is about to stop, else None or a word of its own."""
    weight: Final[float]
    """Its share of the requests relative to its peers'; 1 unless advertised."""
    addresses: Final[tuple[str, ...]]
    """Literal addresses of its machine, to be tried when *host* doesn't resolve."""
    spelling: Final[tuple[Id, ...] | None]
    """The values of *ids* as advertised, None if folding changed none."""

    @property
    def callable(self) -> bool:
        """Whether requests can go to it at all."""
        return self.ephemeral and bool(self.endpoints)

    @property
    def draining(self) -> bool:
        """Whether it is about to stop and wants no new requests."""
        return self.state == DRAINING

    @property
    def instance_id(self) -> str | None:
        """Its ``instance_id`` as advertised."""
        return self.id("instance_id")

    @property
    def service_id(self) -> str | None:
        """Its ``service_id`` as advertised."""
        return self.id("service_id")

    @property
    def node_id(self) -> str | None:
        """Its ``node_id`` as advertised."""
        return self.id("node_id")

    def id(self, key: str) -> str | None:
        """Its first value of *key* (folded) as text, spelled as advertised, or None."""
        return next((str(value) for name, value in self.advertised_ids() if name == key), None)

    def advertised_ids(self) -> Iterator[tuple[str, Id]]:
        """Iterate over ``(key, value)``, keys folded, values as advertised: 1 and "1" differ."""
        if self.spelling is None:
            return iter(self.ids)
        return ((key, value) for (key, _), value in zip(self.ids, self.spelling, strict=True))

    def record(self) -> dict[str, Any]:
        """Parse the record: everything advertised, unknown fields included; fresh at each call."""
        return parse_record(self.data)

    def __repr__(self) -> str:
        label = self.instance_id or self.service_id or self.appclass or "?"
        return f"<Instance {label!r} {self.name!r} {' '.join(self.urls) or 'not callable'}>"


class Decoded(NamedTuple):
    """What :func:`decode` made of a record."""

    instance: Instance | None
    """None if the data is no JSON object."""
    problems: tuple[str, ...]
    """What couldn't be used, a sentence each."""


def decode(
    name: str,
    data: bytes,
    sequence: int = 0,
    *,
    ephemeral: bool = True,
    host_key: str | None = None,
    networks: Networks = ANYWHERE,
) -> Decoded:
    """Read a record; never raises.

    Args:
        name: of the record in the registry.
        data: its text.
        sequence: its place in the order of creation.
        ephemeral: whether a process owns it.
        host_key: the host this process runs on; loopback addresses of other hosts aren't reachable.
        networks: where it may be called.
    """
    try:
        record = parse_record(data)
    except ValueError as error:
        return Decoded(None, (f"The record is {error}.",))
    reader = _Reader(record, host_key, networks)
    ids = reader.ids()
    endpoints, urls = reader.places()
    # By position and in the order of the fields: by name it takes twice as long.
    instance = Instance(
        name,
        data,
        sequence,
        ephemeral,
        reader.host,
        reader.text("appclass"),
        tuple(ids),
        endpoints,
        urls,
        reader.scheme,
        reader.state,
        reader.weight,
        reader.addresses,
        tuple(ids.values()) if reader.respelled else None,
    )
    return Decoded(instance, reader.told())


class _Reader:
    """Reads the fields of one record and collects what is wrong with them."""

    def __init__(self, record: dict[str, Any], host_key: str | None, networks: Networks) -> None:
        # A dictionary, because some entries are repeated, and so is what is wrong with them.
        self._problems: dict[str, None] = {}
        self._found = self._untold = 0
        self._record, self._networks = record, networks
        self.respelled = False
        """Whether folding changed an id."""
        self.host = self._host()
        self.scheme: str | None = None
        self.state: str | None = None
        self.weight = 1.0
        self.addresses: tuple[str, ...] = ()
        self._same_host = False
        own = self._section("peerage")
        if own:
            self._same_host = host_key is not None and own.get("host_key") == host_key
            self._read_own(own)

    def _read_own(self, own: dict[str, Any]) -> None:
        scheme = own.get("scheme")
        if scheme in _SCHEMES:
            self.scheme = scheme
        elif scheme is not None:
            self._bad("peerage.scheme", scheme, "'http' or 'https'")
        state = own.get("state")
        if isinstance(state, str) and printable(state):
            self.state = intern(state)
        weight = own.get("weight")
        if weight is not None:
            self.weight = self._weight(weight)
        addresses = own.get("addresses")
        if addresses is not None:
            self.addresses = self._addresses(addresses)

    def _bad(self, what: str, value: object, wanted: str, *, custom: str | None = None) -> None:
        """Note that *what*, or the key *custom* in it, is no good."""
        # A hostile record has thousands: from some number on they are counted only.
        self._found += 1
        if self._found > _LOOKED_AT:
            self._untold += 1
        else:
            place = what if custom is None else f"{what}.{shorten(custom)}"
            self._tell(f"{place} is {shorten(value)}, not {wanted}.")

    def _tell(self, problem: str) -> None:
        if problem not in self._problems:
            if len(self._problems) < _TOLD:
                self._problems[problem] = None
            else:
                self._untold += 1

    def told(self) -> tuple[str, ...]:
        """Return what is wrong, a sentence each, and how much more there is."""
        problems = tuple(self._problems)
        return (*problems, f"There are {self._untold} more problems.") if self._untold else problems

    def _section(self, key: str) -> dict[str, Any]:
        value = self._record.get(key)
        if isinstance(value, dict):
            return value
        if value is not None:
            self._bad(key, value, "an object")
        return {}

    def text(self, key: str) -> str | None:
        value = self._record.get(key)
        if value is None:
            return None
        if isinstance(value, str) and printable(value):
            return intern(value)
        self._bad(key, value, "a text")
        return None

    def _host(self) -> str | None:
        value = self._record.get("host")
        if value is None:
            return None
        if isinstance(value, str) and len(value) <= _LONGEST_HOST and _is_host(value):
            return intern(value) if self._may_be_called("host", value) else None
        self._bad("host", value, "a host name")
        return None

    def _may_be_called(self, what: str, text: str) -> bool:
        # Other addresses were judged when they were read.
        asked = what == "host" or self._networks is not ANYWHERE
        reason = self._networks.why_not(text) if asked else None
        if reason is not None:
            self._tell(f"{what} {shorten(text)} {reason}.")
        return reason is None

    def ids(self) -> dict[tuple[str, str], Id]:
        """Return ``{(key, folded value): value as advertised}``."""
        found: dict[tuple[str, str], Id] = {}
        for key in BUILTIN_KEYS:
            value = self._record.get(key)
            if value is not None and value != "":
                self._id(found, None, key, value)
        custom = self._section("discovery")
        if not custom:
            return found
        top = {key for key, _ in found}
        for key, values in custom.items():
            folded = fold_key(key)
            if folded in top or values is None:
                continue
            if not isinstance(values, list) or not folded or not printable(folded):
                self._bad("discovery", values, "a list of ids under a named key", custom=key)
                continue
            folded = intern(folded)
            for value in values:
                if value is not None:
                    self._id(found, key, folded, value)
        return found

    def _id(self, found: dict[tuple[str, str], Id], custom: str | None, key: str, value: Any) -> None:
        """Add one id; *custom* is its key as it stands under ``discovery``."""
        if type(value) in _ID_TYPES:
            folded = fold_value(value)
            if folded == value:
                # One text is kept, not two.
                folded = value
            else:
                self.respelled = True
            if folded and printable(folded):
                found.setdefault((key, folded), value)
                return
        what = key if custom is None else "discovery"
        self._bad(what, value, "an id (text or number)", custom=custom)

    def places(self) -> tuple[tuple[Endpoint, ...], tuple[str, ...]]:
        """Return where it can be called, and the URLs of that."""
        web = self._record.get("web")
        if web is None:
            return (), ()
        if not isinstance(web, list):
            self._bad("web", web, "a list of [address, port]")
            return (), ()
        scheme = self.scheme or "http"
        endpoints: dict[Endpoint, None] = {}
        urls: dict[str, None] = {}
        for entry in web:
            # ASAB 25.15 may write null for an address that it couldn't tell.
            endpoint = None if entry is None else self._endpoint(entry)
            if endpoint is not None:
                endpoints[endpoint] = None
                urls[f"{scheme}://{endpoint.authority}"] = None
        return tuple(endpoints), tuple(urls)

    def _endpoint(self, entry: object) -> Endpoint | None:
        # The types of JSON are exact, and True is no port.
        if type(entry) is list and len(entry) > 1 and type(entry[0]) is str and type(entry[1]) is int:
            address, port = read_address(entry[0]), entry[1]
            if address is not None and 0 < port <= _MAX_PORT:
                return self._place(address, port)
        self._bad("an entry of web", entry, "[address, port] with a port from 1 to 65535")
        return None

    def _place(self, address: Address, port: int) -> Endpoint | None:
        literal, family, everywhere, loopback, routable = address
        if everywhere:
            if self.host is None:
                self._tell("There is no usable host, so nobody can call it.")
                return None
            # Whoever forges a record knows the key of this host, too: loopback may be excluded.
            nearby = self._same_host and self._networks.allows(_LOOPBACK[family])
            return Endpoint(self.host, port, family, _LOOPBACK[family] if nearby else None, self.scheme)
        if (routable or (loopback and self._same_host)) and self._may_be_called("an entry of web", literal):
            return Endpoint(literal, port, family, literal if loopback else None, self.scheme)
        return None

    def _weight(self, value: object) -> float:
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < 1e6:  # noqa: PLR2004 - keeps sums finite
            return float(value)
        self._bad("peerage.weight", value, "a positive number")
        return 1.0

    def _addresses(self, values: object) -> tuple[str, ...]:
        if not isinstance(values, list):
            self._bad("peerage.records.addresses", values, "a list of addresses")
            return ()
        found: dict[str, None] = {}
        for value in values:
            address = read_address(value) if isinstance(value, str) else None
            if address is None or not address.routable:
                self._bad("an entry of peerage.records.addresses", value, "an address others can reach")
            elif self._may_be_called("an entry of peerage.records.addresses", address.literal):
                found[address.literal] = None
        return tuple(found)


@lru_cache(maxsize=4096)
def _is_host(text: str) -> bool:
    # It is part of every URL, and those are printed: nothing invisible in it, no lone surrogates.
    if not text.isprintable():
        return False
    return bool(_HOST.fullmatch(text) or ("%" not in text and read_address(text)))
