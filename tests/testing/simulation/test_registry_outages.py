"""What services do while all servers of the registry are down: they go on, and start from disk."""

import asyncio
import errno

import pytest
from tests.testing.simulation.services import calling, errors, serving

from peerage.testing.simulation import World
from peerage.testing.simulation.zookeeper import Ensemble


class Scene:
    """Three servers of the registry, two instances of a service, and one caller."""

    def __init__(self, ensemble=Ensemble):
        self.world = World(seed=1)
        if ensemble is not None:
            self.ensemble = ensemble(self.world, session_timeout=4.0)
            self.world.open_registry = self.ensemble.open_registry
        self.orders = [self.world.host(f"orders-{number}") for number in range(2)]
        self.shop = self.world.host("shop")
        self.calls = []

    def run(self, happens, *, pause=0.5):
        """Let the caller call, then *happens*; return the calls."""

        async def all_of_it():
            for each in self.orders:
                each.start(serving())
            await asyncio.sleep(3)
            self.shop.start(calling(self.calls, pause=pause, disk_cache=True))
            await asyncio.sleep(5)
            await happens()

        self.world.run(all_of_it())
        assert self.world.failures == []
        return self.calls

    def stop_registry(self):
        for each in self.ensemble.members:
            each.host.crash()

    def start_registry(self):
        for each in self.ensemble.members:
            self.ensemble.start(each)

    def restart_shop(self):
        self.shop.crash()
        self.calls.clear()
        self.shop.start(calling(self.calls, pause=0.5, disk_cache=True))

    def warnings(self):
        return "\n".join(line.text for line in self.world.log if line.host == "shop")


def test_a_day_without_a_registry():
    """No call fails, and all are back when it is."""
    # Clients of simulated servers try to connect all the time, which takes minutes for a day.
    scene = Scene(ensemble=None)

    async def happens():
        for each in scene.world.folder.participants:
            each.lose()
        await asyncio.sleep(24 * 3600)
        for each in scene.world.folder.participants:
            each.restore()
        await asyncio.sleep(30)
        scene.orders[0].crash()
        await asyncio.sleep(240)

    calls = scene.run(happens, pause=120.0)
    assert errors(calls) == []
    assert len(calls) >= 24 * 30
    assert {name for _, (name, _) in calls[:-4]} == {"orders-0", "orders-1"}
    assert calls[-1][1] == ["orders-1", 1]


def test_a_service_that_is_started_without_a_registry_knows_the_others_from_disk():
    """It calls them at once; and what has changed meanwhile is seen when the registry is back."""
    scene = Scene()

    async def happens():
        scene.stop_registry()
        await asyncio.sleep(30)
        scene.restart_shop()
        await asyncio.sleep(20)
        scene.orders[0].crash()
        await asyncio.sleep(10)
        scene.orders[0].start(serving())
        await asyncio.sleep(10)
        scene.start_registry()
        await asyncio.sleep(30)

    calls = scene.run(happens)
    assert errors(calls) == []
    assert ["orders-0", 1] in [answer for _, answer in calls]
    assert ["orders-0", 2] in [answer for _, answer in calls]
    assert "records are known from the disk cache" in scene.warnings()


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (lambda disk: disk.files.update(dict.fromkeys(disk.files, b"garbage")), "isn't used"),
        (lambda disk: setattr(disk, "error", OSError(errno.EIO, "Input/output error")), "Input/output error"),
        (lambda disk: setattr(disk, "delay", (100.0, 100.0)), "takes too long"),
        (lambda disk: disk.files.clear(), ""),
    ],
    ids=["damaged", "unreadable", "slow", "empty"],
)
def test_a_disk_that_fails_delays_nothing(fault, said):
    """The service calls others as soon as the registry is back; until then its calls say what is missing."""
    scene = Scene()

    async def happens():
        scene.stop_registry()
        await asyncio.sleep(30)
        fault(scene.shop.disk)
        scene.restart_shop()
        await asyncio.sleep(20)
        scene.start_registry()
        await asyncio.sleep(30)

    calls = scene.run(happens)
    assert said in scene.warnings()
    assert errors(calls)
    assert errors(calls[-10:]) == []
