"""Reading one advertised record, tolerant of what others write.

A record is JSON written by any program of the cluster. A wrong entry is skipped, and so is a record that is
no JSON object; everything else is used.
"""

import socket
from sys import intern
from typing import Any, Final, NamedTuple

from peerage.records.addresses import Address, is_host, read_address
from peerage.records.instance import Endpoint, Id, Instance
from peerage.records.names import BUILTIN_KEYS, fold_key, fold_value
from peerage.records.networks import ANYWHERE, Networks
from peerage.records.text import parse_record, printable, shorten

SCHEMES: Final = ("http", "https")

#: Ids of one record. In memory each takes forty times its size in the record.
_MOST_IDS: Final = 1000

#: Endpoints of one record, and its further addresses.
_MOST_ENDPOINTS: Final = 64

#: Weights from here on are refused, so that sums stay exact enough.
_MAX_WEIGHT: Final = 1e6
_MAX_PORT: Final = 65535

#: Different problems of one record that are kept, and problems that are put into words to find these.
_MOST_PROBLEMS: Final = 8
_MOST_WORDED: Final = 64

_LOOPBACK: Final[dict[int, str]] = {socket.AF_INET: "127.0.0.1", socket.AF_INET6: "::1"}


class Decoded(NamedTuple):
    """An instance, None if the data is no JSON object, and a sentence about each thing that can't be used."""

    instance: Instance | None
    problems: tuple[str, ...]


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

    *name*, *data*, *sequence* and *ephemeral* become the fields of the instance. *host_key* is the host this
    process runs on: loopback addresses of other hosts can't be reached. *networks* decides which addresses
    may be called.
    """
    try:
        record = parse_record(data)
    except ValueError as error:
        return Decoded(None, (f"The record is {error}.",))
    reader = _Reader(record, host_key, networks)
    ids = reader.read_ids()
    endpoints, urls = reader.read_web()
    # By position and in the order of the fields: by name it takes twice as long.
    instance = Instance(
        name,
        data,
        sequence,
        ephemeral,
        reader.host,
        reader.read_text("appclass"),
        tuple(ids),
        endpoints,
        urls,
        reader.common_scheme(endpoints),
        reader.state,
        reader.weight,
        reader.addresses,
        tuple(ids.values()) if reader.respelled else None,
    )
    return Decoded(instance, reader.problems())


class _Reader:
    """Reads the fields of one record and collects the problems."""

    def __init__(self, record: dict[str, Any], host_key: str | None, networks: Networks) -> None:
        # A dictionary, because entries may be repeated, and so are their problems.
        self._problems: dict[str, None] = {}
        self._found = self._unworded = 0
        self._record, self._networks = record, networks
        self.respelled = False
        """Whether folding changed an id."""
        self.host = self._read_host()
        own = self._read_object(record, "peerage")
        self._same_host = host_key is not None and own.get("host_key") == host_key
        self._scheme: str | None = self._read_scheme(own.get("scheme"), "peerage.scheme")
        self._schemes = self._read_object(own, "schemes", "peerage.schemes")
        state = own.get("state")
        self.state = intern(state) if isinstance(state, str) and printable(state) else None
        self.weight = self._read_weight(own.get("weight"))
        self.addresses = self._read_addresses(own.get("addresses"))

    def _add_bad(self, what: str, value: object, wanted: str, *, key: str | None = None) -> None:
        """Note that *what*, or *key* in it, has a wrong value."""
        # A hostile record has thousands of them: the first ones are put into words, the others are counted.
        self._found += 1
        if self._found > _MOST_WORDED:
            self._unworded += 1
        else:
            name = what if key is None else f"{what}.{shorten(key)}"
            self._add_problem(f"{name} is {shorten(value)}, not {wanted}.")

    def _add_problem(self, problem: str) -> None:
        if problem in self._problems or len(self._problems) < _MOST_PROBLEMS:
            self._problems[problem] = None
        else:
            self._unworded += 1

    def problems(self) -> tuple[str, ...]:
        """Return the problems, a sentence each, and how many more there are."""
        found = tuple(self._problems)
        return (*found, f"There are {self._unworded} more problems.") if self._unworded else found

    def _read_object(self, parent: dict[str, Any], key: str, name: str | None = None) -> dict[str, Any]:
        value = parent.get(key)
        if value is not None and not isinstance(value, dict):
            self._add_bad(name or key, value, "an object")
        return value if isinstance(value, dict) else {}

    def read_text(self, key: str) -> str | None:
        """Return a field that is a text."""
        value = self._record.get(key)
        if isinstance(value, str) and printable(value):
            return intern(value)
        if value is not None:
            self._add_bad(key, value, "a text")
        return None

    def _read_host(self) -> str | None:
        value = self._record.get("host")
        if isinstance(value, str) and is_host(value):
            return intern(value) if self._may_be_called("host", value) else None
        if value is not None:
            self._add_bad("host", value, "a host name, or an IP address in its usual notation")
        return None

    def _may_be_called(self, what: str, text: str) -> bool:
        # Addresses that are never called have been left out: only the configured networks remain.
        reason = self._networks.why_not(text) if what == "host" or self._networks is not ANYWHERE else None
        if reason is not None:
            self._add_problem(f"{what} {shorten(text)} {reason}.")
        return reason is None

    def _read_scheme(self, value: Any, name: str, key: str | None = None) -> str | None:
        if value in SCHEMES:
            return str(value)
        if value is not None:
            self._add_bad(name, value, "'http' or 'https'", key=key)
        return None

    def _read_weight(self, value: object) -> float:
        if value is None:
            return 1.0
        if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < _MAX_WEIGHT:
            return float(value)
        self._add_bad("peerage.weight", value, "a positive number below a million")
        return 1.0

    def _read_addresses(self, values: object) -> tuple[str, ...]:
        if values is None:
            return ()
        if not isinstance(values, list):
            self._add_bad("peerage.addresses", values, "a list of addresses")
            return ()
        found: dict[str, None] = {}
        for value in self._first(values, "peerage.addresses"):
            address = read_address(value) if isinstance(value, str) else None
            if address is None or not address.routable:
                self._add_bad("an entry of peerage.addresses", value, "an address others can reach")
            elif self._may_be_called("an entry of peerage.addresses", address.literal):
                found[address.literal] = None
        return tuple(found)

    def _first(self, values: list[Any], name: str) -> list[Any]:
        if len(values) > _MOST_ENDPOINTS:
            first = f"the first {_MOST_ENDPOINTS} are used"
            self._add_problem(f"{name} has {len(values)} entries, of which {first}.")
        return values[:_MOST_ENDPOINTS]

    def read_ids(self) -> dict[tuple[str, str], Id]:
        """Return ``{(key, folded value): value in the record}``."""
        found: dict[tuple[str, str], Id] = {}
        for key in BUILTIN_KEYS:
            value = self._record.get(key)
            if value is not None and value != "":
                self._read_id(found, None, key, value)
        builtin = {key for key, _ in found}
        free = _MOST_IDS - len(found)
        for key, values in self._read_object(self._record, "discovery").items():
            folded = fold_key(key)
            if folded in builtin or values is None:
                continue
            if not isinstance(values, list) or not folded or not printable(folded):
                self._add_bad("discovery", values, "a list of ids under a key that can be used", key=key)
                continue
            folded = intern(folded)
            for value in values[:free]:
                if value is not None:
                    self._read_id(found, key, folded, value)
            if len(values) > free:
                self._add_problem(f"It has more than {_MOST_IDS} ids; readers ignore the others.")
                break
            free -= len(values)
        return found

    def _read_id(self, found: dict[tuple[str, str], Id], custom: str | None, key: str, value: Any) -> None:
        """Add one id; *custom* is its key in the spelling of ``discovery``."""
        if type(value) in (str, int, float):
            folded = fold_value(value)
            if folded == value:
                folded = value  # the same object, so that the text is in memory once
            else:
                self.respelled = True
            if folded and printable(folded):
                found.setdefault((key, folded), value)
                return
        what = key if custom is None else "discovery"
        self._add_bad(what, value, "an id (text or number, up to 1000 characters)", key=custom)

    def read_web(self) -> tuple[tuple[Endpoint, ...], tuple[str, ...]]:
        """Return where the instance can be called, and the URLs of that."""
        web = self._record.get("web")
        if web is None:
            return (), ()
        if not isinstance(web, list):
            self._add_bad("web", web, "a list of [address, port]")
            return (), ()
        endpoints: dict[Endpoint, None] = {}
        urls: dict[str, None] = {}
        for entry in self._first(web, "web"):
            endpoint = self._read_endpoint(entry)
            if endpoint is not None:
                endpoints[endpoint] = None
                urls[f"{endpoint.scheme or 'http'}://{endpoint.authority}"] = None
        return tuple(endpoints), tuple(urls)

    def _read_endpoint(self, entry: object) -> Endpoint | None:
        # The types of JSON are exact, and True is no port.
        if type(entry) is list and len(entry) > 1 and type(entry[0]) is str and type(entry[1]) is int:
            address, port = read_address(entry[0]), entry[1]
            if address is not None and 0 < port <= _MAX_PORT:
                return self._make_endpoint(address, port)
        if entry is not None:  # ASAB 25.15 writes null for an address that it doesn't know
            self._add_bad("an entry of web", entry, "[address, port] with a port from 1 to 65535")
        return None

    def _make_endpoint(self, address: Address, port: int) -> Endpoint | None:
        literal, family, unspecified, loopback, routable = address
        scheme = self._scheme
        if self._schemes:
            scheme = self._read_scheme(self._schemes.get(str(port)), "peerage.schemes", str(port)) or scheme
        if unspecified:
            if self.host is None:
                self._add_problem("It has no usable host, so it can't be called.")
                return None
            # A forged record can contain the key of this host, and loopback may be excluded by configuration.
            nearby = self._same_host and self._networks.allows(_LOOPBACK[family])
            return Endpoint(self.host, port, family, _LOOPBACK[family] if nearby else None, scheme)
        if (routable or (loopback and self._same_host)) and self._may_be_called("an entry of web", literal):
            return Endpoint(literal, port, family, literal if loopback else None, scheme)
        return None

    def common_scheme(self, endpoints: tuple[Endpoint, ...]) -> str | None:
        """Return the scheme of all *endpoints*; None if they differ."""
        if not self._schemes or not endpoints:
            return self._scheme
        scheme = endpoints[0].scheme
        return scheme if all(endpoint.scheme == scheme for endpoint in endpoints) else None
