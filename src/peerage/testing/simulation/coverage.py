"""What a number of simulations have covered: how often each action, and each pair of actions, happened."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

from peerage.testing.simulation.schedule import KINDS, RegistryKind, pairs


@dataclass(slots=True)
class Coverage:
    """The sums over all simulations so far."""

    schedules: int = 0
    calls: int = 0
    seconds: float = 0.0
    """Virtual time."""
    kinds: Counter[str] = field(default_factory=Counter)
    pairs: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Pairs of actions of which one began before the cluster had settled from the other."""

    def add(self, other: "Coverage") -> None:
        """Add what other simulations have covered."""
        self.schedules += other.schedules
        self.calls += other.calls
        self.seconds += other.seconds
        self.kinds.update(other.kinds)
        self.pairs.update(other.pairs)

    def missing(self, registry: RegistryKind | None = None) -> list[str]:
        """Return what hasn't happened, with this registry or with any."""
        possible = pairs(registry)
        kinds = {kind for pair in possible for kind in pair}
        return [
            *sorted(kinds - self.kinds.keys()),
            *(" + ".join(pair) for pair in sorted(possible - self.pairs.keys())),
        ]

    def table(self) -> str:
        """Return how often each kind of action happened, alone and together with each other kind."""
        kinds = [kind for kind in KINDS if self.kinds[kind]]
        width = max(map(len, kinds), default=0)
        digits = (
            max((len(str(count)) for count in (*self.kinds.values(), *self.pairs.values())), default=1) + 2
        )
        lines = [
            " " * (width + digits) + "".join(f"{number:>{digits}}" for number in range(1, len(kinds) + 1))
        ]
        for number, kind in enumerate(kinds):
            together = (str(self._together(kind, other)) for other in kinds[: number + 1])
            label = f"{kind:<{width}}{self.kinds[kind]:>{digits}}"
            lines.append(label + "".join(f"{count:>{digits}}" for count in together) + f"   {number + 1}")
        return "\n".join(lines)

    def _together(self, one: str, other: str) -> int:
        return self.pairs[min(one, other), max(one, other)]


def covered(kinds: Mapping[str, int], found: set[tuple[str, str]], calls: int, seconds: float) -> Coverage:
    """Return what one simulation has covered."""
    return Coverage(1, calls, seconds, Counter(kinds), Counter(dict.fromkeys(found, 1)))
