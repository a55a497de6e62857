"""The ZooKeeper backend keeps its contract over the simulated ensemble, in virtual time."""

import asyncio

import pytest
from tests.testing.simulation.contract import applying, keeps

from peerage.testing import Harness
from peerage.testing.simulation import World
from peerage.testing.simulation.zookeeper import Ensemble

CAPABILITIES = frozenset({"outage", "session", "secrets"})


class SimulatedHarness(Harness):
    """The first participants of a test are on a host of their own, which the faults affect."""

    capabilities = CAPABILITIES

    def __init__(self, world, ensemble):
        self.world, self.ensemble = world, ensemble
        self.hosts = {name: world.host(name) for name in ("here", "there")}
        for host in self.hosts.values():
            host.start(lambda _: asyncio.Event().wait())

    def url(self, path="asab"):
        raise NotImplementedError

    def open(self, host, path="/asab"):
        return self.ensemble.open_registry(self.hosts[host], path, options={"session_timeout": 3})

    def first(self):
        return self.open("here")

    async def lose(self):
        here = self.hosts["here"]
        for endpoint in tuple(here.process.endpoints):
            endpoint.transport.abort()
        self._link(here, self.world.network.cut)

    async def restore(self):
        self._link(self.hosts["here"], self.world.network.mend)

    async def expire(self):
        self.ensemble.expire(self.hosts["here"])

    def _link(self, here, change):
        for member in self.ensemble.members:
            change(here.ip, member.host.ip)
            change(member.host.ip, here.ip)


@pytest.mark.parametrize(("name", "given"), applying(CAPABILITIES))
def test_the_backend_keeps_its_contract(name, given):
    """As over real servers, but for what needs several processes of the machine."""
    world = World(seed=1)
    keeps(world, SimulatedHarness(world, Ensemble(world)), name, given)
