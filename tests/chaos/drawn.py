"""Faults of a real cluster, drawn from a seed; pure."""

from dataclasses import dataclass
from random import Random
from typing import Final, Literal

#: What a fault befalls: a server of the registry, the connections of several processes to the registry, one
#: process, or one machine.
Target = Literal["server", "link", "process", "machine"]


@dataclass(frozen=True, slots=True)
class Kind:
    """What faults of one kind befall, and how long they last."""

    target: Target
    shortest: float = 0.0
    """Seconds; a fault without duration happens in a moment."""
    longest: float = 0.0


#: The kinds of faults. The longest ones last longer than a session.
KINDS: Final[dict[str, Kind]] = {
    "server killed": Kind("server", 0.1, 1.0),
    "server stopped": Kind("server", 0.2, 2.5),
    "cut": Kind("link"),
    "half-open": Kind("link", 0.2, 3.0),
    "lost answers": Kind("link", 0.2, 1.5),
    "slow": Kind("link", 0.2, 1.5),
    "partition": Kind("link", 0.2, 4.0),
    "expiry": Kind("link"),
    "crash": Kind("process"),
    "crash and move": Kind("process"),
    "stop": Kind("process", 0.2, 4.0),
    "deploy": Kind("process"),
    "machine lost": Kind("machine", 0.2, 3.0),
}


@dataclass(frozen=True, slots=True)
class Fault:
    """One fault."""

    kind: str
    target: str
    seconds: float

    def __str__(self) -> str:
        return f"{self.kind} {self.target}" + (f" {self.seconds:g} s" if self.seconds else "")


def draw(seed: int, count: int, targets: dict[Target, list[str]]) -> list[Fault]:
    """Return *count* faults of the *targets* by kind of target; those without targets don't happen."""
    random = Random(seed)
    possible = [kind for kind, about in KINDS.items() if targets.get(about.target)]
    kinds: list[str] = []
    while len(kinds) < count:
        # Each kind before any comes again.
        kinds += random.sample(possible, len(possible))
    return [_fault(random, kind, targets) for kind in kinds[:count]]


def _fault(random: Random, kind: str, targets: dict[Target, list[str]]) -> Fault:
    about = KINDS[kind]
    seconds = about.longest and about.shortest * (about.longest / about.shortest) ** random.random()
    return Fault(kind, random.choice(targets[about.target]), round(seconds, 2))
