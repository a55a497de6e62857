"""The addresses of the hosts of instances, as far as one request or resolver needs them; pure.

Each method is a generator of :class:`Lookups`: its caller waits for them and resumes it.
"""

from collections.abc import Generator, Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from peerage.calling.addresses import HOST_SECONDS, Addresses, Host
from peerage.calling.candidates import is_literal
from peerage.records.instance import Endpoint, Instance
from peerage.records.networks import Networks

if TYPE_CHECKING:
    from peerage.calling.messages import Note

#: Seconds that a call waits for look-ups if there is no other name left to try.
PATIENCE: Final = 5.0

#: Seconds after which a look-up that isn't answered is begun once more, beside the first. The system repeats
#: its question to a name server after five seconds only, and the server may be back long before.
AGAIN_SECONDS: Final = 1.0


class Lookups(NamedTuple):
    """Wait until one of these hosts is looked up, for so many seconds at most."""

    hosts: tuple[Host, ...]
    seconds: float


class Resolution:
    """Finds addresses, and keeps what failed and what takes long.

    Args:
        addresses: what is known about all hosts.
        networks: where instances may be called.
    """

    __slots__ = ("_addresses", "_networks", "insist", "notes", "pending")

    def __init__(self, addresses: Addresses, networks: Networks) -> None:
        self._addresses = addresses
        self._networks = networks
        self.insist = False
        """Whether to repeat look-ups that failed a moment ago, because there is nothing else to try."""
        self.notes: list[Note] = []
        """What failed: ``(host with port, problem)``."""
        self.pending: dict[Host, str] = {}
        """Hosts whose look-up takes longer than a call waits for one, with the record whose host each is."""

    def find(
        self, instance: Instance, name: str, endpoint: Endpoint
    ) -> Generator[Lookups, None, Sequence[str]]:
        """Return the addresses of the host *name* that may be called; see *notes* if there are none."""
        if is_literal(name):
            return (name,)
        host = Host(name, endpoint.family)
        entry = self._addresses.entry(host)
        if not entry.addresses:
            now = self._addresses.clock()
            if not entry.slow(now):
                if now < entry.retry_at and not self.insist:
                    self.note(name, endpoint, entry.problem)
                    return ()
                yield Lookups((host,), HOST_SECONDS)
            if not entry.addresses:
                if entry.started is not None:
                    self.pending[host] = instance.name
                    self.note(name, endpoint, f"it wasn't looked up within {HOST_SECONDS:g} s")
                else:
                    self.note(name, endpoint, entry.problem)
                return ()
        return self._allowed(name, endpoint, entry.addresses)

    def wait_for_pending(self) -> Generator[Lookups, None, set[str]]:
        """Wait for the pending look-ups, and return the names of the records whose hosts were found."""
        entries = {host: self._addresses.entry(host) for host in self.pending}
        until = self._addresses.clock() + PATIENCE
        while True:
            found = {self.pending[host] for host, entry in entries.items() if entry.addresses}
            under_way = [host for host, entry in entries.items() if entry.started is not None]
            left = until - self._addresses.clock()
            if found or not under_way or left <= 0:
                self.pending.clear()
                return found
            yield Lookups(tuple(under_way), min(left, AGAIN_SECONDS))

    def note(self, name: str, endpoint: Endpoint, problem: str) -> None:
        """Remember *problem* with a host, for the message of an error."""
        self.notes.append((f"{name}:{endpoint.port}", problem))

    def _allowed(self, name: str, endpoint: Endpoint, addresses: Sequence[str]) -> Sequence[str]:
        reasons = [self._networks.why_not(address) for address in addresses]
        if not any(reasons):
            return addresses
        for address, reason in zip(addresses, reasons, strict=True):
            if reason is not None:
                self.note(name, endpoint, f"{address} {reason}")
        return [address for address, reason in zip(addresses, reasons, strict=True) if reason is None]
