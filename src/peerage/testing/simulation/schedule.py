"""What is done to a simulated cluster, and when: drawn from a seed, or read from a token; pure.

A schedule determines a simulation completely, so its token replays what happened. The token contains all of
the schedule instead of the seed it was drawn from: a shrunk schedule isn't drawn from any seed, and a token
goes on meaning the same when the way of drawing changes.
"""

import base64
import binascii
import json
import math
import zlib
from dataclasses import dataclass, replace
from itertools import combinations_with_replacement
from random import Random
from typing import Final, Literal, NamedTuple

from peerage.directory import SUSPECT_SECONDS
from peerage.testing.simulation.trace import REGISTRY

#: The share of schedules that end with a rest, and its seconds, in which suspects are dropped.
_RESTING: Final = 0.05
_LONG_REST: Final = SUSPECT_SECONDS + 30.0

#: The share of actions that take a long time for certain. Others take a short one as often as a longer one.
_LONG: Final = 0.25

#: Which registry the simulated cluster has.
RegistryKind = Literal["embedded", "zookeeper"]

_REGISTRIES: Final[tuple[RegistryKind, ...]] = ("embedded", "zookeeper")

#: What a token begins with; another number when its content changes.
_PREFIX: Final = "peerage1."

#: The servers of the registry, if it is ZooKeeper.
SERVERS: Final = ("zk-1", "zk-2", "zk-3")

#: How many machines a cluster with ZooKeeper has, besides those of the registry.
_MACHINES: Final = 3

#: Seconds from the start of the cluster to the first action, in which all processes have found each other.
CALM: Final = 3.0

#: Seconds after the end of a fault in which the next one still meets a cluster that hasn't settled.
AFTERMATH: Final = 10.0


class Kind(NamedTuple):
    """What an action of one kind is aimed at, and how long it lasts."""

    target: Literal["instance", "process", "machine", "link", "registry", "server"]
    """``instance``: a process that serves; ``process``: one that serves or calls; ``machine``: a machine with
    all its processes; ``link``: two machines, or one and the registry; ``registry``: the registry as a whole;
    ``server``: one of its servers."""
    shortest: float
    """The duration in seconds is drawn between this and *longest*, short ones more often than long ones."""
    longest: float
    registries: tuple[RegistryKind, ...] = _REGISTRIES
    """The registries with which it can happen."""
    amounts: tuple[float, ...] = (0.0,)
    """What :attr:`Action.amount` is drawn from."""
    unit: str = " s"
    """That of the amount."""


_CLUSTER: Final[tuple[RegistryKind, ...]] = ("zookeeper",)

#: All kinds of actions. With the embedded registry all processes are on one machine.
KINDS: Final[dict[str, Kind]] = {
    # The process is killed, and another one started when the time is over.
    "crash": Kind("instance", 0.01, 30.0),
    # The process is killed, and none is started in its place.
    "loss": Kind("instance", 0.0, 0.0),
    # The process is asked to end, which it does after draining, and then another one is started.
    "deploy": Kind("instance", 0.01, 5.0),
    # The process breaks connections instead of answering, or answers 503.
    "fail": Kind("instance", 0.5, 10.0),
    # The process isn't run (SIGSTOP), and goes on when the time is over.
    "stop": Kind("process", 0.05, 30.0),
    # The machine loses its power, so that the other ends of its connections aren't told.
    "power off": Kind("machine", 0.5, 30.0, _CLUSTER),
    # Nothing that is sent over the link arrives, in either direction; TCP sends it again afterwards.
    "partition": Kind("link", 0.05, 30.0, _CLUSTER),
    # Everything takes longer over the link.
    "delay": Kind("link", 0.1, 10.0, _CLUSTER, (0.05, 0.5, 2.0)),
    # The wall clock of a process jumps.
    "clock jump": Kind("process", 0.0, 0.0, _REGISTRIES, (-86_400.0, -60.0, 2.0, 60.0, 86_400.0)),
    # What is advertised is changed in place, again and again.
    "update": Kind("instance", 0.1, 3.0),
    # Each change of the registry takes so many seconds.
    "slow disk": Kind("registry", 0.1, 10.0, _REGISTRIES, (0.1, 1.0, 3.0)),
    # No process can read the registry, or write to it: all its servers are down.
    "outage": Kind("registry", 0.1, 60.0),
    # The same, and the servers begin again with empty disks.
    "data loss": Kind("registry", 0.1, 30.0, _CLUSTER),
    # One server of the registry is killed; the others go on.
    "server crash": Kind("server", 0.1, 30.0, _CLUSTER),
    # One server of the registry isn't run.
    "server stop": Kind("server", 0.1, 30.0, _CLUSTER),
    # One server of the registry shows what was written so many seconds later.
    "lag": Kind("server", 0.5, 10.0, _CLUSTER, (0.5, 2.0, 5.0)),
    # A share of the changes is carried out, and the connection breaks instead of the reply.
    "lost reply": Kind("registry", 0.5, 5.0, _CLUSTER, (0.3, 1.0), ""),
    # One server of the registry leaves a share of the requests undone, because it has too much to do.
    "throttling": Kind("server", 0.5, 10.0, _CLUSTER, (0.3, 0.9), ""),
    # The registry ends the sessions of the machine.
    "expiry": Kind("machine", 0.0, 0.0, _CLUSTER),
}


@dataclass(frozen=True, slots=True)
class Action:
    """One thing that is done to the cluster: a fault, or something that operators do every day."""

    at: float
    """Seconds from the start of the cluster."""
    kind: str
    """One of :data:`KINDS`."""
    targets: tuple[str, ...] = ()
    """The processes or machines that it affects, by the names that the schedule gives them."""
    seconds: float = 0.0
    """How long it lasts."""
    amount: float = 0.0
    """By how much: seconds, or a share of 1."""

    @property
    def end(self) -> float:
        """When it is over, in seconds from the start of the cluster."""
        return self.at + self.seconds


@dataclass(frozen=True, slots=True)
class Schedule:
    """A cluster and what is done to it."""

    seed: int
    """Of everything that neither the schedule nor a rule determines: the order of events, delays, choices."""
    registry: RegistryKind
    services: tuple[tuple[str, int], ...]
    """The services, and how many instances each has."""
    callers: int
    """How many processes call the services."""
    actions: tuple[Action, ...] = ()
    """In the order of their times."""
    rest: float = 0.0
    """Seconds that nothing is done after the cluster has settled."""

    @property
    def instances(self) -> tuple[str, ...]:
        """The names of the processes that serve, such as ``orders-1``."""
        return tuple(
            f"{service}-{number}" for service, count in self.services for number in range(1, count + 1)
        )

    @property
    def processes(self) -> tuple[str, ...]:
        """The names of all processes, those that call, such as ``shop-1``, included."""
        return (*self.instances, *(f"shop-{number}" for number in range(1, self.callers + 1)))

    @property
    def machines(self) -> dict[str, tuple[str, ...]]:
        """The names of the machines, and the processes of each. There is one with the embedded registry."""
        count = 1 if self.registry == "embedded" else _MACHINES
        return {f"node-{number + 1}": self.processes[number::count] for number in range(count)}

    @property
    def end(self) -> float:
        """When the last action is over, in seconds from the start of the cluster."""
        return max((action.end for action in self.actions), default=CALM)

    @property
    def token(self) -> str:
        """The text from which :func:`read_token` makes an equal schedule."""
        actions = [[each.at, each.kind, each.targets, each.seconds, each.amount] for each in self.actions]
        content = [self.seed, self.registry, self.services, self.callers, actions, self.rest]
        packed = zlib.compress(json.dumps(content, separators=(",", ":")).encode(), 9)
        return _PREFIX + base64.urlsafe_b64encode(packed).decode().rstrip("=")

    def __str__(self) -> str:
        services = ", ".join(f"{count} × {service}" for service, count in self.services)
        lines = [f"{self.registry} registry, {services}, {self.callers} × shop, seed {self.seed}"]
        for action in self.actions:
            what = " and ".join([action.kind, *action.targets][1:])
            amount = f" by {action.amount:g}{KINDS[action.kind].unit}" if action.amount else ""
            duration = f" for {action.seconds:g} s" if action.seconds else ""
            lines.append(f"  {action.at:7.3f} s  {action.kind} {what}".rstrip() + amount + duration)
        if self.rest:
            lines.append(f"  then a rest of {self.rest:g} s")
        return "\n".join(lines)


def read_token(token: str) -> Schedule:
    """Return the schedule that has this token.

    Raises:
        ValueError: it isn't a token of a schedule.
    """
    try:
        _, packed = token.split(_PREFIX)
        content = zlib.decompress(base64.urlsafe_b64decode(packed + "=="))
        seed, registry, services, callers, actions, rest = json.loads(content)
        schedule = Schedule(
            seed,
            registry,
            tuple((service, count) for service, count in services),
            callers,
            tuple(
                Action(at, kind, tuple(targets), seconds, amount)
                for at, kind, targets, seconds, amount in actions
            ),
            rest,
        )
    except (binascii.Error, TypeError, ValueError, zlib.error) as error:
        raise ValueError(
            f"This is no token of a schedule: {token[:80]!r}. Copy all of it, from {_PREFIX!r} to the end "
            "of the line."
        ) from error
    if registry not in _REGISTRIES or any(action.kind not in KINDS for action in schedule.actions):
        raise ValueError("This token has kinds of actions that this version of peerage doesn't know.")
    return schedule


def draw(seed: int, registry: RegistryKind | None = None) -> Schedule:
    """Return the schedule of this seed: a small cluster, and two to five actions close to each other.

    Args:
        seed: any number.
        registry: which registry the cluster has; drawn as well by default.
    """
    random = Random(seed)
    drawn = random.choice(_REGISTRIES)
    services = (("orders", random.choice((1, 2, 2, 3))), ("prices", 1))
    schedule = Schedule(seed, registry or drawn, services, random.choice((1, 1, 2)))
    actions, at = [], CALM
    for _ in range(random.choice((2, 3, 4, 5))):
        # Some begin together, and most before the cluster has settled from the one before.
        at += random.choice((0.0, 0.01, 0.1, 1.0, 5.0, AFTERMATH)) * random.random()
        actions.append(_draw_action(random, schedule, round(at, 3)))
    rest = _LONG_REST if random.random() < _RESTING else 0.0
    return replace(schedule, actions=tuple(actions), rest=rest)


def _draw_action(random: Random, schedule: Schedule, at: float) -> Action:
    kind = random.choice([kind for kind, each in KINDS.items() if schedule.registry in each.registries])
    about = KINDS[kind]
    seconds = _draw_duration(random, about.shortest, about.longest)
    targets = _draw_targets(random, schedule, about)
    return Action(at, kind, targets, seconds, random.choice(about.amounts))


def _draw_duration(random: Random, shortest: float, longest: float) -> float:
    if not longest:
        return 0.0
    if random.random() < _LONG:
        return round(longest * (1.0 + random.random()) / 2, 3)
    exponent: float = random.random()
    return round(shortest * math.pow(longest / shortest, exponent), 3)


def _draw_targets(random: Random, schedule: Schedule, about: Kind) -> tuple[str, ...]:
    match about.target:
        case "instance":
            return (random.choice(schedule.instances),)
        case "process":
            return (random.choice(schedule.processes),)
        case "machine":
            return (random.choice([*schedule.machines]),)
        case "link":
            one, other = random.sample([*schedule.machines], 2)
            return one, random.choice((other, REGISTRY))
        case "registry":
            return (REGISTRY,)
        case "server":
            return (random.choice(SERVERS),)


def pairs(registry: RegistryKind | None = None) -> set[tuple[str, str]]:
    """Return all pairs of kinds of actions that can happen together, each in the order of the alphabet.

    Args:
        registry: with this registry only.
    """
    found: set[tuple[str, str]] = set()
    for each in _REGISTRIES if registry is None else (registry,):
        kinds = sorted(kind for kind, about in KINDS.items() if each in about.registries)
        found.update(combinations_with_replacement(kinds, 2))
    return found


def pairs_of(schedule: Schedule) -> set[tuple[str, str]]:
    """Return the pairs of kinds of which one began before the cluster had settled from the other."""
    actions = schedule.actions
    return {
        (min(one.kind, other.kind), max(one.kind, other.kind))
        for number, one in enumerate(actions)
        for other in actions[number + 1 :]
        if other.at <= one.end + AFTERMATH
    }
