"""What a schedule does to the registry of the simulated cluster."""

import asyncio
from collections import Counter
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

#: Seconds between two looks at the servers.
_OFTEN: Final = 0.1


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
        self.doing = {"slow disk": self._slow_disk, "outage": self._outage}

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

    async def _slow_disk(self, action: Action) -> None:
        before, self._folder.write_delay = self._folder.write_delay, (action.amount / 2, action.amount)
        await asyncio.sleep(action.seconds)
        self._folder.write_delay = before
        # What has begun ends later.
        await asyncio.sleep(action.amount)


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
        self.doing = {
            "slow disk": self._slow_disk,
            "outage": self._outage,
            "server crash": self._crash,
            "server stop": self._stop,
            "lag": self._lag,
            "lost reply": self._lost_reply,
            "throttling": self._throttling,
            "expiry": self._expiry,
        }

    async def _outage(self, action: Action) -> None:
        await self._kill([*self._members.values()], action.seconds)

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
        while self._ensemble.leader is None and not any(self._down.values()):  # noqa: ASYNC110 - they don't tell
            await asyncio.sleep(_OFTEN)

    async def _slow_disk(self, action: Action) -> None:
        for member in self._members.values():
            member.disk = action.amount
        await asyncio.sleep(action.seconds)
        for member in self._members.values():
            member.disk = 0.0
        # What has begun ends later.
        await asyncio.sleep(action.amount)

    async def _lag(self, action: Action) -> None:
        member = self._members[action.targets[0]]
        before, member.lag = member.lag, (action.amount / 2, action.amount)
        await asyncio.sleep(action.seconds)
        member.lag = before
        # What has begun ends later.
        await asyncio.sleep(action.amount)

    async def _lost_reply(self, action: Action) -> None:
        for member in self._members.values():
            member.lost_replies = action.amount
        await asyncio.sleep(action.seconds)
        for member in self._members.values():
            member.lost_replies = 0.0

    async def _throttling(self, action: Action) -> None:
        member = self._members[action.targets[0]]
        member.throttled = action.amount
        await asyncio.sleep(action.seconds)
        member.throttled = 0.0

    async def _expiry(self, action: Action) -> None:
        for host in self._world.hosts.values():
            if host.machine.name == action.targets[0] and self._ensemble.leader is not None:
                self._ensemble.expire(host)
                return
