"""A separate process that advertises records on command, and that can be killed.

Run as ``python -m peerage.testing.participant URL``. Each line of its standard input is a JSON list, a
command and its arguments; it answers each with one line of JSON.
"""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Self

from peerage.registry import Advertisement, Registry, open_registry
from peerage.testing.children import Child, run

__all__ = ["Participant"]


class Participant:
    """Drives a process that takes part in the registry at *url*.

    ::

        async with Participant.spawn(url) as owner:
            name = await owner.advertise("Orders", b"{}")
            owner.kill()
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self.kill = child.kill
        self.suspend = child.suspend
        self.resume = child.resume
        self.pid = child.pid

    @classmethod
    @asynccontextmanager
    async def spawn(cls, url: str) -> AsyncIterator[Self]:
        """Start the process, and yield once it is ready for commands; it is killed at the end."""
        async with run(sys.executable, "-m", __name__, url) as child:
            await child.hear()
            yield cls(child)

    async def advertise(self, name: str, data: bytes) -> str:
        """Advertise, and return the name of the record once it is registered."""
        registered: str = await self._child.ask("advertise", name, data.decode())
        return registered

    async def update(self, name: str, data: bytes) -> None:
        """Update a record of this process, and wait until it is written."""
        await self._child.ask("update", name, data.decode())

    async def withdraw(self, name: str) -> None:
        """Withdraw a record of this process."""
        await self._child.ask("withdraw", name)

    async def leave(self) -> None:
        """End the process without withdrawing anything, by ``os._exit``."""
        await self._child.tell('["exit"]')
        await self._child.wait()


async def _serve(url: str) -> None:
    registry = open_registry(url)
    own: dict[str, Advertisement] = {}
    try:
        _reply("ready")
        while line := await asyncio.to_thread(sys.stdin.readline):
            _reply(await _carry_out(registry, own, *json.loads(line)))
    finally:
        await registry.aclose()


async def _carry_out(registry: Registry, own: dict[str, Advertisement], command: str, *args: str) -> object:
    match command, args:
        case "advertise", (name, data):
            advertisement = registry.advertise(name, data.encode())
            own[await advertisement.registered()] = advertisement
            return advertisement.name
        case "update", (name, data):
            own[name].update(data.encode())
            return await own[name].registered()
        case "withdraw", (name,):
            await own.pop(name).withdraw()
            return None
        case "exit", ():
            os._exit(0)
    raise ValueError(f"unknown command {command!r} {args!r}")


def _reply(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
