"""One request to a logical name: a state machine that decides what to do next, and does nothing itself.

::

    call = Call(context, ("service_id", "orders"), "http", "GET", repeatable=True)
    try:
        while True:
            match call.next():
                case Attempt() as attempt:  # send the request there, then call.done(attempt, outcome, ...)
                case Lookups() as lookups:  # wait for them
                case TlsProbe() as probe:   # connect, and set probe.speaks_tls
                case GiveUp() as end:       # raise
    finally:
        call.close()

It has neither I/O nor a clock, and doesn't know which HTTP library carries it out. The next step may
be asked for while an attempt is still under way: then it is an attempt elsewhere.
"""

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from typing import Final

from cachetools import TTLCache

from peerage.balancing import Balancer, Outcome, Pick
from peerage.calling.addresses import Addresses, Host
from peerage.calling.candidates import fits, is_literal
from peerage.calling.messages import Note
from peerage.calling.search import Search
from peerage.calling.steps import Attempt, Step
from peerage.directory import Directory

#: Seconds for which an endpoint comes last that broke a connection and may speak another scheme. That costs
#: nothing: the instance is called at another of its ports, and has another record once it is restarted.
_DOUBT_SECONDS: Final = 3600.0

_SECURE: Final = frozenset({"https", "wss"})


@dataclass(slots=True)
class CallContext:
    """What all calls of one client share."""

    directory: Directory
    balancer: Balancer
    addresses: Addresses
    clock: Callable[[], float]
    """Monotonic time in seconds."""
    doubtful: TTLCache[tuple[str, int, bool], bool] = field(init=False)
    """Endpoints that may speak another scheme than was tried: record, port, whether TLS was tried."""

    def __post_init__(self) -> None:
        """Make what is empty at first."""
        self.doubtful = TTLCache(1024, _DOUBT_SECONDS, self.clock)


class Call:
    """Decides where one request goes next.

    The first attempt, which is the only one of most calls, is made without the machinery of a
    :class:`~peerage.calling.search.Search`.

    Args:
        context: what all calls share.
        name: ``(key, value)`` of the instances, both folded.
        scheme: ``http``, ``https``, ``ws`` or ``wss``.
        method: of the request.
        repeatable: whether it does no harm if two instances process the request.
    """

    __slots__ = ("_first", "_search", "context", "method", "name", "repeatable", "scheme", "secure")

    def __init__(
        self, context: CallContext, name: tuple[str, str], scheme: str, method: str, *, repeatable: bool
    ) -> None:
        self.context = context
        self.name = name
        self.scheme = scheme
        self.secure = scheme in _SECURE
        """Whether the scheme wants TLS."""
        self.method = method
        self.repeatable = repeatable
        self._first: Attempt | None = None
        self._search: Search | None = None

    @property
    def notes(self) -> Sequence[Note]:
        """What failed so far: ``(where, what)``."""
        return () if self._search is None else self._search.notes

    def next(self) -> Step:
        """Return what to do next; after :class:`GiveUp` it isn't asked again."""
        search = self._search
        if search is None:
            if self._first is None:
                pick = self.pick()
                if pick is not None and (first := self._first_attempt(pick)) is not None:
                    self._first = first
                    return first
                search = self._search = Search(self, pick, None)
            else:
                search = self._begin_search(self._first)
        return search.next()

    def done(self, attempt: Attempt, outcome: Outcome, problem: str = "", *, replayable: bool = True) -> None:
        """Record how *attempt* ended, before the next step is asked for.

        An attempt that was answered stays counted at its instance: the adapter calls ``attempt.pick.done()``
        when the response is over.

        Args:
            attempt: the attempt.
            outcome: how it ended.
            problem: what happened, for the message of an error.
            replayable: whether the body can be sent again.
        """
        attempt.outcome = outcome
        if outcome is Outcome.ANSWERED:
            attempt.pick.connected()
            return
        search = self._search or self._begin_search(attempt)
        search.failed(attempt, outcome, problem, replayable=replayable)

    def pick(self, tried: Collection[str] = (), *, last_resort: bool = False) -> Pick | None:
        """Choose an instance; see :meth:`Balancer.pick`."""
        context = self.context
        targets, balancer = context.directory.targets(*self.name), context.balancer
        pick = balancer.pick(targets, tried, last_resort=last_resort)
        if pick is None or (scheme := pick.instance.scheme) is None or (scheme == "https") is self.secure:
            return pick
        pick.done(Outcome.CANCELLED, 0.0)
        # Only services that speak both schemes have to be looked through.
        fitting = [target for target in targets if fits(target, secure=self.secure)]
        return balancer.pick(fitting, tried, last_resort=last_resort)

    def close(self) -> None:
        """End the call: attempts under way count as cancelled. May be called twice."""
        first = self._first
        if self._search is not None:
            self._search.close()
        elif first is not None and first.outcome is None:
            first.pick.done(Outcome.CANCELLED, self.context.clock() - first.started)

    def _begin_search(self, first: Attempt) -> Search:
        self._search = Search(self, first.pick, first)
        return self._search

    def _first_attempt(self, pick: Pick) -> Attempt | None:
        """Return the attempt at the first address of the instance; None if it must be searched for."""
        instance, context = pick.instance, self.context
        endpoint = instance.endpoints[0]
        if len(instance.endpoints) > 1 and (instance.scheme is None or context.doubtful):
            return None
        host = endpoint.address or endpoint.host
        if endpoint.address is None and not is_literal(host):
            known = context.addresses.entry(Host(host, endpoint.family)).addresses
            if len(known) != 1 or context.directory.networks.why_not(known[0]) is not None:
                return None
            return Attempt(pick, endpoint, known[0], host, context.clock())
        return Attempt(pick, endpoint, host, host, context.clock())
