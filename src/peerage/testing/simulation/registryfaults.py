"""What a schedule does to the registry of the simulated cluster."""

import asyncio
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING, Final

from peerage.registry import Registry
from peerage.testing.simulation.folder import SimulatedRegistry
from peerage.testing.simulation.schedule import Action
from peerage.testing.simulation.world import Host, World
from peerage.testing.simulation.zookeeper import Ensemble, Member

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

#: Seconds until a session of the simulated ZooKeeper ends without its process.
SESSION_TIMEOUT: Final = 10.0

#: The least and the most seconds by which a server follows the others, usually.
_LAG: Final = (0.0, 0.005)

#: Seconds in which the servers have noticed that their leader was gone for a moment.
_NOTICED: Final = 0.5

#: Seconds between two looks at the servers.
_OFTEN: Final = 0.1


class Strongest:
    """Applies the largest amount of the actions of one kind that overlap, and 0 without any.

    Args:
        apply: applies an amount.
        lingers: whether what has begun meanwhile lasts for the amount in seconds.
    """

    def __init__(self, apply: "Callable[[float], None]", *, lingers: bool = False) -> None:
        self._apply = apply
        self._lingers = lingers
        self._amounts: list[float] = []

    async def last(self, action: Action) -> None:
        """Apply the amount of *action* as long as that lasts."""
        self._amounts.append(action.amount)
        self._apply(max(self._amounts))
        await asyncio.sleep(action.seconds)
        self._amounts.remove(action.amount)
        self._apply(max(self._amounts, default=0.0))
        if self._lingers:
            await asyncio.sleep(action.amount)


class RegistryFaults:
    """What can be done to a registry: by the kind of the action, what does it and returns when it is over."""

    doing: "dict[str, Callable[[Action], Awaitable[None]]]"


class EmbeddedFaults(RegistryFaults):
    """What is done to the folder that is the registry of one machine."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._folder = world.folder
        self._open = world.open_registry
        world.open_registry = self._open_registry
        # How many outages there are at the moment.
        self._outages = 0
        self._write_delay = self._folder.write_delay
        slow_disk = Strongest(self._delay_writing, lingers=True)
        self.doing = {"slow disk": slow_disk.last, "outage": self._outage}

    def _open_registry(self, host: Host) -> Registry:
        registry = self._open(host)
        if self._outages:
            self._lose(registry)
        return registry

    def _lose(self, registry: Registry) -> None:
        assert isinstance(registry, SimulatedRegistry), "it is embedded"
        registry.lose()

    async def _outage(self, action: Action) -> None:
        self._outages += 1
        for registry in tuple(self._folder.participants):
            self._lose(registry)
        await asyncio.sleep(action.seconds)
        self._outages -= 1
        if not self._outages:
            for registry in tuple(self._folder.participants):
                registry.restore()

    def _delay_writing(self, seconds: float) -> None:
        self._folder.write_delay = (seconds / 2, seconds) if seconds else self._write_delay


class ZooKeeperFaults(RegistryFaults):
    """What is done to the servers of an ensemble."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._ensemble = Ensemble(world, session_timeout=SESSION_TIMEOUT)
        self._members = {member.host.name: member for member in self._ensemble.members}
        world.open_registry = self._ensemble.open_registry
        # How many actions keep a server from being there, and from running.
        self._down: Counter[str] = Counter()
        self._stopped: Counter[str] = Counter()
        self._at: dict[tuple[str, str], Strongest] = {}
        for name, member in self._members.items():
            self._at["lag", name] = Strongest(partial(_delay_following, member), lingers=True)
            self._at["throttling", name] = Strongest(partial(setattr, member, "throttled"))
        self.doing = {
            "slow disk": Strongest(self._delay_writing, lingers=True).last,
            "outage": self._outage,
            "data loss": self._data_loss,
            "server crash": self._crash,
            "server stop": self._stop,
            "lag": self._at_server,
            "lost reply": Strongest(self._lose_replies).last,
            "throttling": self._at_server,
            "expiry": self._expiry,
        }

    async def _outage(self, action: Action) -> None:
        await self._kill([*self._members.values()], action.seconds)

    async def _data_loss(self, action: Action) -> None:
        outage = asyncio.create_task(self._outage(action))
        # All servers are dead as soon as it has begun.
        await asyncio.sleep(0)
        self._ensemble.lose_data()
        await outage

    async def _crash(self, action: Action) -> None:
        await self._kill([self._members[action.targets[0]]], action.seconds)

    async def _kill(self, members: list[Member], seconds: float) -> None:
        for member in members:
            self._down[member.host.name] += 1
            member.host.crash()
        await asyncio.sleep(seconds)
        for member in members:
            name = member.host.name
            self._down[name] -= 1
            if not self._down[name] and not member.host.alive:
                self._ensemble.start(member)
                if self._stopped[name]:
                    member.host.stop()
        await self._until_led()

    async def _stop(self, action: Action) -> None:
        member = self._members[action.targets[0]]
        name = member.host.name
        self._stopped[name] += 1
        member.host.stop()
        await asyncio.sleep(action.seconds)
        self._stopped[name] -= 1
        if not self._stopped[name]:
            member.host.resume()
        await self._until_led()

    async def _until_led(self) -> None:
        """Wait until the servers have a leader: so long the registry isn't there."""
        await asyncio.sleep(_NOTICED)
        while self._ensemble.leader is None and not any(self._down.values()):  # noqa: ASYNC110 - they don't tell
            await asyncio.sleep(_OFTEN)

    async def _at_server(self, action: Action) -> None:
        await self._at[action.kind, action.targets[0]].last(action)

    def _delay_writing(self, seconds: float) -> None:
        for member in self._members.values():
            member.disk = seconds

    def _lose_replies(self, share: float) -> None:
        for member in self._members.values():
            member.lost_replies = share

    async def _expiry(self, action: Action) -> None:
        for host in self._world.hosts.values():
            if host.machine.name == action.targets[0] and self._ensemble.leader is not None:
                self._ensemble.expire(host)
                return


def _delay_following(member: Member, seconds: float) -> None:
    member.lag = (seconds / 2, seconds) if seconds else _LAG
