"""The contract's part on opening and closing: opening needs no event loop, closing leaves nothing open."""

import asyncio
import threading
from pathlib import Path

import pytest

from peerage.errors import RegistryClosedError
from peerage.registry import Registry
from peerage.testing.harness import Harness, closing, registered, requires
from peerage.testing.view import View
from peerage.testing.waiting import begun, eventually


def open_descriptors() -> dict[int, str]:
    """Return the descriptors of this process and what they are; none where there is no ``/proc``."""
    found = {}
    for entry in Path("/proc/self/fd").glob("*") if Path("/proc/self/fd").exists() else ():
        try:
            found[int(entry.name)] = str(entry.readlink())
        except OSError:
            continue  # the descriptor of this very listing
    return found


class TidinessTests:
    """``aclose()`` closes everything, for good."""

    async def test_opening_needs_no_event_loop(self, harness: Harness) -> None:
        """A registry can be opened before there is a loop, and used on one later."""
        registry = await asyncio.to_thread(harness.first)
        async with closing(registry), View(registry) as view:
            await view.until(lambda: view.ready)

    async def test_nothing_is_left_open(self, harness: Harness) -> None:
        """No task, thread or descriptor outlives ``aclose()``, with watches and records left as they are."""
        tasks, threads = asyncio.all_tasks(), set(threading.enumerate())
        before = open_descriptors()
        for _ in range(3):
            registry = harness.first()
            watch = registry.watch()
            await anext(watch)
            await registered(registry, "Left", b"left")
            registry.advertise("Too", b"left too")
            await registry.inspect()
            await registry.aclose()
        await eventually(lambda: asyncio.all_tasks() == tasks, "the end of every task")
        await eventually(lambda: set(threading.enumerate()) <= threads, "the end of every thread")
        await eventually(lambda: open_descriptors().keys() <= before.keys(), "the end of every descriptor")

    async def test_closing_withdraws(self, harness: Harness, view: View) -> None:
        """Others see the records no more; closing again is no error."""
        registry = harness.first()
        owner = await registered(registry, "Brief", b"1")
        await view.until_data([b"1"])
        await registry.aclose()
        await view.until_data([])
        await registry.aclose()
        with pytest.raises(RegistryClosedError):
            owner.update(b"2")
        await owner.withdraw()

    async def test_a_closed_registry_says_so(self, here: Registry) -> None:
        """Every call after ``aclose()`` raises RegistryClosedError."""
        await here.aclose()
        with pytest.raises(RegistryClosedError):
            here.advertise("Late", b"{}")
        with pytest.raises(RegistryClosedError):
            here.watch()
        with pytest.raises(RegistryClosedError):
            await here.inspect()

    @requires("secrets")
    async def test_a_closed_registry_has_no_secrets(self, here: Registry, there: Registry) -> None:
        """Neither those that exist nor new ones; an iteration under way ends."""
        secrets = here.secrets
        assert secrets is not None
        assert there.secrets is not None
        assert await secrets.obtain("/asab/kept", lambda: b"value") == b"value"
        followed = secrets.follow("/asab/missing")

        async def collect() -> list[bytes]:
            return [value async for value in followed]

        collecting = await begun(collect())
        await here.aclose()
        assert await collecting == []
        with pytest.raises(RegistryClosedError):
            await secrets.obtain("/asab/kept", lambda: b"other")
        with pytest.raises(RegistryClosedError):
            await anext(secrets.follow("/asab/kept"))
        assert await there.secrets.obtain("/asab/kept", lambda: b"other") == b"value"

    async def test_inspect_says_how_it_is(self, here: Registry) -> None:
        """State and URL, without waiting for a watch."""
        health = await here.inspect()
        assert health.url == here.url
        assert health.state == "connected"
        assert health.writable
        assert health.since >= 0
        assert health.problem is None
