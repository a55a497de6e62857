"""An instance of a service: what its record says, ready to be asked."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from peerage.records.addresses import authority
from peerage.records.text import parse_record

#: The state of an instance that is about to stop.
DRAINING: Final = "draining"

#: The state of an instance whose record vanished together with others, and which may be alive.
SUSPECT: Final = "suspect"

#: An id in the spelling of the record.
Id = str | int | float


class Endpoint(NamedTuple):
    """An address and port on which an instance listens."""

    host: str
    """The name to resolve, or a literal address (IPv6 without brackets)."""
    port: int
    family: int
    """``socket.AF_INET`` or ``socket.AF_INET6``: the family on which the instance listens."""
    address: str | None = None
    """The address to connect to instead of resolving *host*: loopback, if the instance runs on this host."""
    scheme: str | None = None
    """``http`` or ``https``; None if the record doesn't say which."""

    @property
    def authority(self) -> str:
        """``host:port`` in the form of a URL."""
        return authority(self.host, self.port)


@dataclass(slots=True, eq=False, repr=False)
class Instance:
    """A running process that advertises itself.

    Two are equal only if they are the same object: a changed record is another Instance. The parsed record
    isn't kept, because it is several times the size of its text; :meth:`record` parses it again. Instances
    never change. Type checkers see to that: a check at run time would make decoding a tenth slower.
    """

    name: Final[str]
    """Name of its record in the registry."""
    data: Final[bytes]
    """The record as advertised."""
    sequence: Final[int]
    """A number that is higher the later the record was created."""
    ephemeral: Final[bool]
    """False for a record that no process owns: it is shown, and never called."""
    host: Final[str | None]
    """Name by which peers resolve its machine; None if the record has no usable one."""
    appclass: Final[str | None]
    ids: Final[tuple[tuple[str, str], ...]]
    """All ``(key, value)`` pairs, both folded, each once."""
    endpoints: Final[tuple[Endpoint, ...]]
    """Where this process can reach it; empty if it can't be called."""
    urls: Final[tuple[str, ...]]
    """``scheme://host:port`` of each endpoint, each once."""
    scheme: Final[str | None]
    """``http`` or ``https`` if all endpoints have this scheme; None if they differ or aren't known."""
    state: Final[str | None]
    """``draining`` if it is about to stop; ``suspect`` if its record vanished, and it may be alive, see
    :mod:`peerage.directory.guard`; otherwise None or another word of the record."""
    weight: Final[float]
    """The share of the requests relative to other instances; 1 unless advertised."""
    addresses: Final[tuple[str, ...]]
    """Literal addresses of its machine, to try when *host* doesn't resolve."""
    spelling: Final[tuple[Id, ...] | None]
    """The values of *ids* in the spelling of the record; None if folding changed none."""
    same_host: Final[bool]
    """Whether it runs on the host of this process."""

    @property
    def callable(self) -> bool:
        """Whether requests can be sent to it."""
        return self.ephemeral and bool(self.endpoints)

    @property
    def draining(self) -> bool:
        """Whether it is about to stop and should get no new requests."""
        return self.state == DRAINING

    @property
    def suspect(self) -> bool:
        """Whether its record vanished together with others: it is called only if there is no other."""
        return self.state == SUSPECT

    @property
    def instance_id(self) -> str | None:
        """The ``instance_id`` in the spelling of the record."""
        return self.id("instance_id")

    @property
    def service_id(self) -> str | None:
        """The ``service_id`` in the spelling of the record."""
        return self.id("service_id")

    @property
    def node_id(self) -> str | None:
        """The ``node_id`` in the spelling of the record."""
        return self.id("node_id")

    def id(self, key: str) -> str | None:
        """Return the first value of *key* (folded) as text, in the spelling of the record, or None."""
        return next((str(value) for name, value in self.advertised_ids() if name == key), None)

    def advertised_ids(self) -> Iterator[tuple[str, Id]]:
        """Iterate over ``(key, value)``: keys folded, values as in the record, where 1 and "1" differ."""
        if self.spelling is None:
            return iter(self.ids)
        return ((key, value) for (key, _), value in zip(self.ids, self.spelling, strict=True))

    def record(self) -> dict[str, Any]:
        """Return the parsed record, unknown fields included; a new dictionary at each call."""
        return parse_record(self.data)

    def __repr__(self) -> str:
        label = self.instance_id or self.service_id or self.appclass or "?"
        return f"<Instance {label!r} {self.name!r} {' '.join(self.urls) or 'not callable'}>"
