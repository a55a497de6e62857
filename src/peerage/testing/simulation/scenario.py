"""Runs a schedule: starts its cluster, does to it what the schedule says, and returns the trace."""

import asyncio
import traceback
from collections import Counter
from random import Random
from typing import TYPE_CHECKING, Final, NamedTuple

from peerage.testing.simulation.checker import Promises, Violation, check
from peerage.testing.simulation.cluster import OUTSIDE, Cluster
from peerage.testing.simulation.registryfaults import (
    SESSION_TIMEOUT,
    EmbeddedFaults,
    RegistryFaults,
    ZooKeeperFaults,
)
from peerage.testing.simulation.schedule import SERVERS, Action, RegistryKind, Schedule
from peerage.testing.simulation.trace import REGISTRY, Event, FaultBegan, FaultEnded
from peerage.testing.simulation.world import World

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: Seconds before an action from which on callers call more often.
_BEFORE: Final = 0.2

#: Seconds between two changes of what is advertised.
_UPDATED_EVERY: Final = 0.2

#: Seconds of calls in a cluster that has settled, before the end.
_AFTER: Final = 2.0


#: What must hold with each registry. The embedded one sees at once that a process has ended.
PROMISES: Final[dict[RegistryKind, Promises]] = {
    "embedded": Promises(session_timeout=0.0),
    "zookeeper": Promises(session_timeout=SESSION_TIMEOUT),
}


class Result(NamedTuple):
    """What came out of a schedule."""

    trace: list[Event]
    violations: list[Violation]
    failures: list[str]
    """Exceptions that weren't handled."""

    @property
    def problems(self) -> list[str]:
        """What is wrong, a line each."""
        return [*map(str, self.violations), *(f"not handled: {failure}" for failure in self.failures)]

    @property
    def kinds(self) -> set[str]:
        """Which invariants are violated."""
        unhandled = {"not handled"} if self.failures else set()
        return {violation.invariant for violation in self.violations} | unhandled


def run(schedule: Schedule) -> Result:
    """Simulate *schedule*, and check its trace."""
    scenario = Scenario(schedule)
    try:
        trace = scenario.run()
    except Exception as error:  # noqa: BLE001 - it is reported with the token of the schedule
        lines = "".join(traceback.format_exception(error))
        return Result(scenario.cluster.trace, [], [f"the simulation failed: {lines}"])
    return Result(trace, check(trace, PROMISES[schedule.registry]), scenario.world.failures)


class Scenario:
    """One simulation; used once.

    Args:
        schedule: what happens.
    """

    def __init__(self, schedule: Schedule) -> None:
        self.schedule = schedule
        self.world = World(schedule.seed)
        services = tuple(service for service, _ in schedule.services)
        self.cluster = Cluster(Random(schedule.seed), self.world.loop.time, services)
        # How many actions keep a process from being there, and from running.
        self._down: Counter[str] = Counter()
        self._stopped: Counter[str] = Counter()
        self._cut: Counter[tuple[str, str]] = Counter()
        self._delays: dict[tuple[str, str], list[float]] = {}
        faults = EmbeddedFaults if schedule.registry == "embedded" else ZooKeeperFaults
        registry: RegistryFaults = faults(self.world)
        self._doing: dict[str, Callable[[Action], Awaitable[None]]] = {
            "crash": self._crash,
            "loss": self._loss,
            "deploy": self._deploy,
            "fail": self._fail,
            "stop": self._stop,
            "power off": self._power_off,
            "partition": self._partition,
            "delay": self._delay,
            "clock jump": self._jump,
            **registry.doing,
            "update": self._update,
        }
        for machine, names in schedule.machines.items():
            for name in names:
                self.world.host(name, machine=machine)
        self.world.host(OUTSIDE)

    def run(self) -> list[Event]:
        """Return the trace."""
        return self.world.run(self._happen())

    async def _happen(self) -> list[Event]:
        self.world.host(OUTSIDE).start(self.cluster.serve_outside)
        for name in self.schedule.processes:
            self._start(name)
        async with asyncio.TaskGroup() as actions:
            for number, action in enumerate(self.schedule.actions):
                actions.create_task(self._do(number, action))
        await asyncio.sleep(SESSION_TIMEOUT + _AFTER)
        self.cluster.calling = False
        await asyncio.sleep(_AFTER + self.schedule.rest)
        for name, discovery in self.cluster.discoveries.items():
            if self.world.host(name).alive:
                discovery.look(again=True)
        # Without what the end of the world does.
        return self.cluster.end()

    def _start(self, name: str) -> None:
        host = self.world.host(name)
        if not host.alive and not self._down[name] and host.machine.up:
            serves = name in self.schedule.instances
            host.start(self.cluster.serve if serves else self.cluster.call_all_the_time)
            if self._stopped[name]:
                host.stop()

    async def _do(self, number: int, action: Action) -> None:
        """Do one thing when its time has come, and undo it when it is over."""
        await asyncio.sleep(action.at - _BEFORE - self.world.loop.time())
        self.cluster.hurry()
        await asyncio.sleep(action.at - self.world.loop.time())
        now, kind = self.world.loop.time(), action.kind
        hosts, *peers = map(self._hosts, action.targets)
        self.cluster.write(FaultBegan(now, number, kind, hosts, *peers))
        await self._doing[kind](action)
        self.cluster.hurry()
        self.cluster.write(FaultEnded(self.world.loop.time(), number))

    def _hosts(self, target: str) -> tuple[str, ...]:
        """Return the processes of a machine, or the process itself."""
        return self.schedule.machines.get(target, (REGISTRY,) if target in SERVERS else (target,))

    # What is done to processes

    async def _crash(self, action: Action) -> None:
        (name,) = action.targets
        self._down[name] += 1
        self.world.host(name).crash()
        await self._come_back(name, action.seconds)

    async def _loss(self, action: Action) -> None:
        (name,) = action.targets
        self._down[name] += 1
        self.world.host(name).crash()

    async def _deploy(self, action: Action) -> None:
        (name,) = action.targets
        host, ended = self.world.host(name), asyncio.Event()
        self._down[name] += 1
        if host.process is not None and host.alive:
            host.process.at_end.append(ended.set)
            host.terminate()
            await ended.wait()
        await self._come_back(name, action.seconds)

    async def _come_back(self, name: str, seconds: float) -> None:
        await asyncio.sleep(seconds)
        self._down[name] -= 1
        self._start(name)

    async def _stop(self, action: Action) -> None:
        (name,) = action.targets
        host = self.world.host(name)
        self._stopped[name] += 1
        host.stop()
        await asyncio.sleep(action.seconds)
        self._stopped[name] -= 1
        if not self._stopped[name]:
            host.resume()

    async def _fail(self, action: Action) -> None:
        (name,) = action.targets
        self.cluster.failing.add(name)
        await asyncio.sleep(action.seconds)
        self.cluster.failing.discard(name)

    async def _jump(self, action: Action) -> None:
        (name,) = action.targets
        self.world.host(name).jump(action.amount)

    async def _update(self, action: Action) -> None:
        (name,) = action.targets
        end = self.world.loop.time() + action.seconds
        while self.world.loop.time() < end:
            process = self.world.host(name).process
            if process is not None and process.running and name in self.cluster.discoveries:
                self.cluster.discoveries[name].publish_update()
            await asyncio.sleep(_UPDATED_EVERY)

    # What is done to machines and between them

    async def _power_off(self, action: Action) -> None:
        (machine,) = action.targets
        names = self._hosts(machine)
        self._down.update(names)
        host = self.world.host(names[0])
        host.power_off()
        await asyncio.sleep(action.seconds)
        host.power_on()
        for name in names:
            await self._come_back(name, 0.0)

    async def _partition(self, action: Action) -> None:
        pairs = self._links(action)
        self._cut.update(pairs)
        for pair in pairs:
            self.world.network.cut(*pair)
        await asyncio.sleep(action.seconds)
        self._cut.subtract(pairs)
        for pair in pairs:
            if not self._cut[pair]:
                self.world.network.mend(*pair)

    async def _delay(self, action: Action) -> None:
        pairs, delays = self._links(action), self.world.network.delays
        for pair in pairs:
            self._delays.setdefault(pair, []).append(action.amount)
            delays[pair] = action.amount / 2, max(self._delays[pair])
        await asyncio.sleep(action.seconds)
        for pair in pairs:
            left = self._delays[pair]
            left.remove(action.amount)
            if left:
                delays[pair] = max(left) / 2, max(left)
            else:
                del delays[pair]

    def _links(self, action: Action) -> list[tuple[str, str]]:
        """Return the addresses from and to which something is done, in both directions."""
        ours, theirs = map(self._ips, action.targets)
        both = [(one, other) for one in ours for other in theirs]
        return [*both, *((other, one) for one, other in both)]

    def _ips(self, target: str) -> list[str]:
        if target == REGISTRY:
            return [self.world.host(server).ip for server in SERVERS]
        return [self.world.host(self._hosts(target)[0]).ip]
