"""The simulated folder keeps the contract of a registry, in virtual time."""

import asyncio

import pytest
from tests.testing.simulation.contract import applying, keeps

from peerage.testing import Harness
from peerage.testing.simulation import World

CAPABILITIES = frozenset({"outage", "secrets"})


class FolderHarness(Harness):
    """The participants of a test are two processes."""

    capabilities = CAPABILITIES

    def __init__(self, world):
        self.world = world
        self.opened = []
        for name in ("here", "there"):
            world.host(name).start(lambda _: asyncio.Event().wait())

    def url(self, path="asab"):
        raise NotImplementedError

    def open(self, host, path="/asab"):
        del path  # there is one folder
        return self.world.open_registry(self.world.host(host))

    def first(self):
        self.opened.append(self.open("here"))
        return self.opened[-1]

    async def lose(self):
        for each in self.opened:
            each.lose()

    async def restore(self):
        for each in self.opened:
            each.restore()


@pytest.mark.parametrize(
    ("name", "given"), [each for each in applying(CAPABILITIES) if "paths" not in each.values[0]]
)
def test_the_folder_keeps_the_contract(name, given):
    """But for what needs real processes; and there is one path."""
    world = World(seed=1)
    keeps(world, FolderHarness(world), name, given)
