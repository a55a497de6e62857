"""The way of one request through the instances of a service."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from peerage.balancing import Balancer
from peerage.client import explain
from peerage.client.errors import UnreachableError
from peerage.client.places import Place, first_place_of, places_of
from peerage.client.recent import Recent
from peerage.directory import Directory
from peerage.errors import NotDiscoveredError
from peerage.records.instance import Instance

if TYPE_CHECKING:
    from peerage.client.explain import Attempt

__all__ = ["Route", "Router"]

_SECURE: Final = frozenset({"https", "wss"})


class Route:
    """What is known about one request: where it goes, where it has been, and what happened there.

    Args:
        key: of the logical name, folded.
        value: likewise.
        scheme: of the URL.
    """

    __slots__ = (
        "attempts",
        "instance",
        "key",
        "outwaited",
        "place",
        "reached",
        "replays",
        "returned",
        "scheme",
        "secure",
        "tried",
        "unresolved",
        "upcoming",
        "value",
    )

    instance: Instance
    """Where it goes now."""
    place: Place
    """Which of the instance's places that is."""

    def __init__(self, key: str, value: str, scheme: str) -> None:
        self.key = key
        self.value = value
        self.scheme = scheme
        self.secure = scheme in _SECURE
        self.upcoming: Sequence[Place] | None = ()
        """Further places of the instance, the next one last; None if not looked at yet."""
        self.tried: set[str] = set()
        """Nodes of the instances that were tried."""
        self.attempts: list[Attempt] = []
        self.reached = False
        """Whether a host of anybody had an address."""
        self.unresolved: set[tuple[str, str]] = set()
        """Hosts without an address so far, each with the node whose it is."""
        self.outwaited = False
        """Whether look-ups that take their time were waited for."""
        self.replays = 0
        """How often it was repeated after bytes of it had gone out."""
        self.returned = False
        """Whether it went back to instances that were tried before."""

    def note(self, what: str) -> None:
        """Remember that *what* happened where it is."""
        self.attempts.append((f"{self.place.host}:{self.place.port}", what))

    def note_unresolved(self) -> None:
        """Remember that the host has no address, for the case that there is nowhere else to go."""
        self.unresolved.add((self.place.wire, self.instance.name))

    def retry_unresolved(self) -> None:
        """Let those instances be tried again whose hosts had no address."""
        self.tried.difference_update(node for _, node in self.unresolved)
        self.upcoming = ()

    def skip_stand_ins(self) -> None:
        """The host resolves, so the names that stand in for it lead nowhere else."""
        self.upcoming = [place for place in self.spell_out() if not place.stand_in]

    def spell_out(self) -> Sequence[Place]:
        """Return the further places of the instance, the next one last."""
        if self.upcoming is None:
            self.upcoming = places_of(self.instance)[:0:-1]
        return self.upcoming

    def may_return(self) -> bool:
        """Tell whether instances that were tried before may be tried again; once.

        A kept-alive connection may have been closed by the peer just as it was used. Where there is no other
        instance, a new connection to the same one is what aiohttp would try, too.
        """
        if self.returned:
            return False
        self.returned = True
        self.tried.clear()
        return True


class Router:
    """Decides where a request goes next.

    Args:
        directory: who is there.
        balancer: chooses among them.
        refused: nodes that let nobody connect in the last moments; they come last.
        unresolved: hosts that had no address in the last moments; they are left out.
    """

    def __init__(
        self, directory: Directory, balancer: Balancer, *, refused: Recent, unresolved: Recent
    ) -> None:
        self._directory = directory
        self._balancer = balancer
        self._refused = refused
        self._unresolved = unresolved

    def advance(self, route: Route) -> bool:
        """Lead *route* to its next place.

        Returns:
            False if there is none.
        """
        while True:
            if upcoming := route.spell_out():
                *route.upcoming, route.place = upcoming
            else:
                instance = self._pick(route)
                if instance is None:
                    return False
                route.instance = instance
                route.tried.add(instance.name)
                route.place = first_place_of(instance)
                route.upcoming = None
            if self._usable(route):
                return True

    def _usable(self, route: Route) -> bool:
        if self._unresolved and route.place.wire in self._unresolved:
            route.note("had no address a moment ago")
            route.note_unresolved()
            return False
        if route.place.authority is None:
            route.note("is no host name")
            return False
        return True

    def _pick(self, route: Route) -> Instance | None:
        targets = self._directory.targets(route.key, route.value)
        instance = self._pick_from(targets, route.tried)
        if instance is None or _fits(instance, secure=route.secure):
            return instance
        # Only services that speak both have to be looked through.
        return self._pick_from(
            [target for target in targets if _fits(target, secure=route.secure)], route.tried
        )

    def _pick_from(self, targets: Sequence[Instance], tried: set[str]) -> Instance | None:
        if self._refused:
            unsuspected = self._balancer.pick(targets, {*tried, *self._refused})
            if unsuspected is not None:
                return unsuspected
        return self._balancer.pick(targets, tried)

    def explain_nowhere(self, route: Route) -> NotDiscoveredError:
        """Explain why there is no place at all for *route*."""
        if route.attempts:
            return explain.unresolved(route.key, route.value, route.attempts)
        if self._directory.targets(route.key, route.value):
            return explain.other_scheme(route.key, route.value, route.scheme)
        return explain.not_discovered(self._directory, route.key, route.value)

    def explain_failure(self, route: Route, *, timed_out: bool) -> NotDiscoveredError | UnreachableError:
        """Explain why *route* led nowhere after it was tried."""
        if not route.reached:
            return explain.unresolved(route.key, route.value, route.attempts)
        return explain.unreachable(route.key, route.value, route.attempts, timed_out=timed_out)


def _fits(instance: Instance, *, secure: bool) -> bool:
    """Whether *instance* speaks TLS if the URL does; one that doesn't say so is believed to."""
    return instance.scheme is None or (instance.scheme == "https") is secure
