"""Many calls to instances that behave badly, simulated on a clock of their own."""

import heapq
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import count
from random import Random
from statistics import mean
from typing import Any

from tests.calling.conftest import World

from peerage.balancing import Outcome
from peerage.calling import Attempt, CallOptions, GiveUp, Pause

#: How an instance deals with a request that arrives: the outcome, and after how many seconds.
Behaviour = Callable[[float, Random], tuple[Outcome, float]]


def answers(seconds: float) -> Behaviour:
    """After times that are distributed exponentially."""
    return lambda _, rng: (Outcome.ANSWERED, rng.expovariate(1 / seconds))


def fails(outcome: Outcome = Outcome.UNAVAILABLE, seconds: float = 0.001) -> Behaviour:
    return lambda _now, _rng: (outcome, seconds)


def queues(seconds: float, workers: int) -> Behaviour:
    """By so many workers, one request after the other; each takes an exponentially distributed time."""
    free = [0.0] * workers

    def behave(now: float, rng: Random) -> tuple[Outcome, float]:
        end = max(now, heapq.heappop(free)) + rng.expovariate(1 / seconds)
        heapq.heappush(free, end)
        return Outcome.ANSWERED, end - now

    return behave


def until(end: float, before: Behaviour, after: Behaviour) -> Behaviour:
    """Behave in one way before *end*, and in another afterwards."""
    return lambda now, rng: (before if now < end else after)(now, rng)


class Fleet:
    """Instances of one service, and callers that share one client.

    Args:
        behaviours: how each instance behaves.
        seed: of all that is random.
        places: what else each advertises; by default all are on this host.
        options: fields of CallOptions, for all calls.

    Attributes:
        asked: the times at which each instance was asked.
        begun: the number of calls.
        results: the time, method, outcome and duration of each call.
    """

    def __init__(
        self,
        *behaviours: Behaviour,
        seed: int = 0,
        places: Sequence[Mapping[str, Any]] | None = None,
        **options: Any,
    ):
        self.options = CallOptions(**options)
        self.world = World()
        self.world.clock.now = 0.0
        self.rng = Random(seed)
        self.names = [
            self.world.advertise(**({"port": 80 + number} if places is None else places[number]))
            for number in range(len(behaviours))
        ]
        self.behaviours = dict(zip(self.names, behaviours, strict=True))
        self.asked: dict[str, list[float]] = defaultdict(list)
        self.probes: Counter[str] = Counter()
        self.begun = 0
        self.results: list[tuple[float, str, Outcome, float]] = []
        self._events: list[tuple[float, int, Callable[[], None]]] = []
        self._number = count()

    def join(self, behaviour: Behaviour) -> None:
        """Start one more instance."""
        name = self.world.advertise(port=80 + len(self.names))
        self.names.append(name)
        self.behaviours[name] = behaviour
        self.world.balancer.joined(name)

    @property
    def now(self) -> float:
        return self.world.clock.now

    def at(self, when: float, action: Callable[[], None]) -> None:
        heapq.heappush(self._events, (when, next(self._number), action))

    def run(self, until: float) -> None:
        while self._events and self._events[0][0] < until:
            when, _, action = heapq.heappop(self._events)
            self.world.clock.now = when
            action()
            for instance in self.world.balancer.take_due():
                self.probes[instance.name] += 1
                outcome, seconds = self.behaviours[instance.name](when, self.rng)
                passed = outcome is Outcome.ANSWERED and seconds < 1
                self.at(
                    when + min(seconds, 1.0),
                    lambda name=instance.name, passed=passed: self.world.balancer.probed(name, passed=passed),
                )
        self.world.clock.now = until

    def work(self, workers: int, method: str = "GET", *, limit: float = 300.0, pause: float = 0.0) -> None:
        """Let so many callers make one call after the other."""

        def again() -> None:
            self.call(method, limit=limit, ended=lambda: self.at(self.now + pause, again))

        for _ in range(workers):
            self.at(self.now, again)

    def load(self, per_second: float, method: str = "GET", *, limit: float = 300.0) -> None:
        """Make calls at random times, whether or not earlier ones have ended."""

        def again() -> None:
            self.call(method, limit=limit)
            self.at(self.now + self.rng.expovariate(per_second), again)

        self.at(self.now, again)

    def call(  # noqa: C901 - the steps of one call, as closures
        self, method: str, *, limit: float, ended: Callable[[], None] = lambda: None
    ) -> None:
        """Make one call; *limit*: seconds for each attempt, as of ``sock_read``."""
        self.begun += 1
        call, begun = self.world.call(method, options=self.options), self.now
        last, over = Outcome.UNRESOLVED, False

        def go_on() -> None:
            nonlocal last
            step = call.next()
            if isinstance(step, Attempt):
                ask(step)
                if (after := call.hedge_after(step)) is not None:
                    self.at(self.now + after, lambda: hedge(step, after))
            elif isinstance(step, Pause):
                self.at(self.now + step.seconds, go_on)
            else:
                assert isinstance(step, GiveUp)
                end(last)

        def ask(attempt: Attempt) -> None:
            name = attempt.instance.name
            self.asked[name].append(self.now)
            outcome, seconds = self.behaviours[name](self.now, self.rng)
            if seconds > limit:
                outcome, seconds = Outcome.TIMED_OUT, limit
            self.at(self.now + seconds, lambda: done(attempt, outcome))

        def hedge(attempt: Attempt, after: float) -> None:
            if over or attempt.outcome is not None:
                return
            if (second := call.hedge(attempt)) is not None:
                ask(second)
            else:
                self.at(self.now + 2 * after, lambda: hedge(attempt, 2 * after))

        def done(attempt: Attempt, outcome: Outcome) -> None:
            nonlocal last
            if over:
                return
            last = outcome
            call.done(attempt, outcome, outcome.name)
            if outcome is Outcome.ANSWERED:
                attempt.pick.done(outcome, self.now)
                end(outcome)
            else:
                go_on()

        def end(outcome: Outcome) -> None:
            nonlocal over
            over = True
            call.close()
            self.results.append((self.now, method, outcome, self.now - begun))
            ended()

        go_on()

    # What came of it

    def share(self, number: int, begin: float, end: float) -> float:
        """The share of all attempts that an instance got in a time."""
        asked = {name: sum(begin <= when < end for when in times) for name, times in self.asked.items()}
        return asked.get(self.names[number], 0) / sum(asked.values())

    def failed(self, begin: float = 0.0, end: float = 1e9) -> float:
        """The share of the calls ended in a time that failed."""
        ended = [outcome for when, _, outcome, _ in self.results if begin <= when < end]
        return sum(outcome is not Outcome.ANSWERED for outcome in ended) / len(ended)

    def mean_seconds(self, begin: float = 0.0, end: float = 1e9) -> float:
        """The mean duration of the calls ended in a time."""
        return mean(seconds for when, _, _, seconds in self.results if begin <= when < end)
