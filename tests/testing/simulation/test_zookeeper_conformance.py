"""The ZooKeeper backend keeps its contract over the simulated ensemble, in virtual time."""

import asyncio
import inspect
from contextlib import AsyncExitStack

import pytest

from peerage.testing import Harness, RegistryConformance, View
from peerage.testing.harness import closing, missing_tests
from peerage.testing.simulation import World
from peerage.testing.simulation.zookeeper import Ensemble

CAPABILITIES = frozenset({"outage", "session", "secrets"})

#: Opens the registry in a thread, and nothing of a simulation may run in one; asks nothing of the server.
LEFT_OUT = {"test_opening_needs_no_event_loop", "test_impossible_names_are_refused"}


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


async def run(name, harness):
    """Run a test of the suite, with the suite's fixtures."""
    test = getattr(RegistryConformance, name)
    async with AsyncExitStack() as stack:

        async def fixture(wanted):
            match wanted:
                case "harness":
                    return harness
                case "here":
                    return (await stack.enter_async_context(closing(harness.first())))[0]
                case "view":
                    return await stack.enter_async_context(View(await fixture("there")))
            if wanted not in made:
                opened = harness.open("there", "/asab" if wanted == "there" else "/elsewhere")
                made[wanted] = (await stack.enter_async_context(closing(opened)))[0]
            return made[wanted]

        made = {}
        wanted = list(inspect.signature(test).parameters)[1:]
        await test(RegistryConformance(), **{each: await fixture(each) for each in wanted})


TESTS = sorted(
    {name for name in dir(RegistryConformance) if name.startswith("test_")}
    - set(missing_tests(RegistryConformance, CAPABILITIES))
    - LEFT_OUT
)


@pytest.mark.parametrize("name", TESTS)
def test_the_backend_keeps_its_contract(name):
    """As over real servers, but for what needs several processes of the machine."""
    world = World(seed=1)
    harness = SimulatedHarness(world, Ensemble(world))
    host = world.host("test")

    async def happens():
        ended = asyncio.Event()
        host.start(lambda _: run(name, harness)).at_end.append(ended.set)
        await ended.wait()
        if host.error is not None:
            raise host.error

    world.run(happens())
    assert world.failures == []
