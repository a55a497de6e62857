"""What is known about the addresses of hosts; pure: look-ups are made elsewhere, and recorded here.

While look-ups fail, the last good answer of the name service stays in use: an outage of the name service must
not prevent calls to addresses that were right a moment ago. RFC 8767 ("Serving Stale Data to Improve DNS
Resiliency") recommends the same to resolvers. A failure is remembered for a second, and for longer each time
it repeats, so that a name that doesn't resolve doesn't delay other calls.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

from cachetools import LRUCache

#: Seconds that a call waits for one look-up before it tries the next name.
HOST_SECONDS: Final = 0.5

#: Seconds after which an answer is renewed in the background, when it is used.
_FRESH: Final = 10.0

#: Seconds for which a first failure is remembered, and at most.
_FAILURE: Final = 1.0
_LONGEST_FAILURE: Final = 30.0

#: Hosts that are remembered.
_REMEMBERED: Final = 16384


class Host(NamedTuple):
    """What is looked up."""

    name: str
    """Host name in the form in which it is looked up."""
    family: int
    """``socket.AF_INET`` or ``socket.AF_INET6``: the family in which the instance listens."""


class HostEntry:
    """What is known about one host."""

    __slots__ = ("addresses", "failures", "problem", "renew_at", "retry_at", "started", "unreachable")

    def __init__(self) -> None:
        self.addresses: tuple[str, ...] = ()
        """The addresses of the last good answer; empty before the first."""
        self.unreachable: frozenset[str] = frozenset()
        """The addresses to which no connection could be made; they come last, also in later answers."""
        self.renew_at = 0.0
        """When they are to be looked up again."""
        self.problem = ""
        """Why the last look-up failed."""
        self.failures = 0
        """Failed look-ups since the last good answer."""
        self.retry_at = 0.0
        """Until when the failure is remembered."""
        self.started: float | None = None
        """When the look-up began that is under way; None if none is."""

    def slow(self, now: float) -> bool:
        """Whether a look-up is under way that takes longer than calls wait for one."""
        return self.started is not None and now - self.started >= HOST_SECONDS


class Addresses:
    """The addresses of hosts, by name and family.

    Args:
        clock: monotonic time in seconds.
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self.clock = clock
        self._entries: LRUCache[Host, HostEntry] = LRUCache(_REMEMBERED)
        self.due: set[Host] = set()
        """Hosts to be looked up in the background; see :meth:`take_due`."""

    def entry(self, host: Host) -> HostEntry:
        """Return what is known about *host*, and note that it is used."""
        entry = self._entries.get(host)
        if entry is None:
            entry = self._entries[host] = HostEntry()
        elif entry.addresses and entry.started is None and self.clock() >= entry.renew_at:
            self.due.add(host)
        return entry

    def take_due(self) -> Iterable[Host]:
        """Return the hosts to be looked up in the background, each once."""
        due, self.due = self.due, set()
        return sorted(due)

    def connect_failed(self, host: Host, address: str) -> None:
        """Take note that no connection to *address* was made: try others first, and look *host* up again."""
        entry = self._entries.get(host)
        if entry is None or address not in entry.addresses:
            return
        entry.addresses = (*(each for each in entry.addresses if each != address), address)
        entry.unreachable |= {address}
        if len(entry.unreachable) == len(entry.addresses):
            # None of them is better than the others.
            entry.unreachable = frozenset({address})
        if entry.started is None and self.clock() >= entry.retry_at:
            self.due.add(host)

    def renew(self, host: Host) -> None:
        """Let *host* be looked up again, if it is known: it may have moved."""
        entry = self._entries.get(host)
        if entry is not None and entry.started is None:
            self.due.add(host)

    # The results of look-ups

    def started(self, host: Host) -> None:
        """Take note that a look-up of *host* begins."""
        self.entry(host).started = self.clock()
        self.due.discard(host)

    def found(self, host: Host, addresses: Iterable[str]) -> None:
        """Record the result of a look-up of *host*; without addresses it failed."""
        entry, found = self.entry(host), tuple(dict.fromkeys(addresses))
        if not found:
            self.failed(host, "it has no address of the family wanted")
            return
        entry.started, entry.failures, entry.problem = None, 0, ""
        entry.unreachable = entry.unreachable.intersection(found)
        entry.addresses = tuple(sorted(found, key=entry.unreachable.__contains__))
        entry.renew_at, entry.retry_at = self.clock() + _FRESH, 0.0

    def failed(self, host: Host, problem: str) -> None:
        """Take note that a look-up of *host* failed; the known addresses stay in use."""
        entry = self.entry(host)
        entry.started, entry.problem = None, problem
        pause = min(_LONGEST_FAILURE, _FAILURE * 2.0 ** min(entry.failures, 10))
        entry.failures += 1
        entry.retry_at = entry.renew_at = self.clock() + pause
