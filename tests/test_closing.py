"""Closing and refusing, with a registry that misbehaves."""

import asyncio
import itertools

import pytest

from peerage import Discovery, Identity, open_registry
from peerage.errors import RegistryDeniedError
from peerage.testing import eventually

NUMBERS = itertools.count()

IDENTITY = Identity(host="node-1", service_id="orders", instance_id="1")


class Hanging:
    """An advertisement in a registry whose server doesn't answer any more."""

    name = None

    def __init__(self):
        self.cancelled = False

    def update(self, data):
        """Nothing comes of it."""

    async def registered(self):
        await asyncio.Event().wait()

    async def withdraw(self):
        try:
            await asyncio.Event().wait()
        finally:
            self.cancelled = True


@pytest.fixture
async def registry():
    registry = open_registry(f"memory:closing-{next(NUMBERS)}")
    yield registry
    await registry.aclose()


async def test_closing_waits_for_no_registry_that_hangs(registry, monkeypatch):
    """A withdrawal that isn't answered is given up, all of them at the same time."""
    hanging = [Hanging() for _ in range(5)]
    offers = iter(hanging)
    monkeypatch.setattr(registry, "advertise", lambda *_: next(offers))
    async with Discovery(registry, identity=IDENTITY) as discovery:
        await discovery.ready()
        registry.lose()
        for _ in hanging:
            await discovery.advertise(port=80)
    assert all(one.cancelled for one in hanging)


async def test_closing_goes_on_when_cancelled(registry, monkeypatch):
    """Whoever gives up waiting leaves nothing open: the next call waits for the rest."""
    hanging = Hanging()
    monkeypatch.setattr(registry, "advertise", lambda *_: hanging)
    discovery = Discovery(registry, identity=IDENTITY)
    await discovery.__aenter__()
    await discovery.ready()
    registry.lose()
    await discovery.advertise(port=80)
    closing = asyncio.ensure_future(discovery.aclose())
    await asyncio.sleep(0)
    closing.cancel()
    await asyncio.wait([closing])
    assert closing.cancelled()
    await discovery.aclose()
    assert hanging.cancelled


async def test_a_refusal_is_told_also_when_it_is_known(tmp_path):
    """A registry that refuses is out of reach, and the follower knows; advertise still says why."""
    folder = tmp_path / "open"
    folder.mkdir()
    folder.chmod(0o755)
    async with Discovery(f"embedded://{folder}", identity=IDENTITY) as discovery:
        for _ in range(2):
            with pytest.raises(RegistryDeniedError, match="700"):
                await discovery.advertise(port=80)
            await eventually(lambda: discovery.stale)


async def test_criteria_that_contradict_each_other_match_nobody(registry):
    """Given twice, differently, neither is dropped."""
    async with Discovery(registry, identity=IDENTITY) as discovery:
        await discovery.advertise(port=80)
        assert await discovery.locate({"service_id": "orders"}, service_id="orders")
        assert not await discovery.locate({"service_id": "orders"}, service_id="stock")
