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

from peerage.registry import Advertisement, open_registry
from peerage.testing.children import Child, run


class Participant:
    """Drives a process that takes part in the registry at *url*.

    ::

        async with Participant.spawn(url) as owner:
            name = await owner.advertise("Orders", b"{}")
            owner.kill()
    """

    def __init__(self, child: Child) -> None:
        self._child = child
        self.kill, self.suspend = child.kill, child.suspend

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
            answer = None
            match json.loads(line):
                case "advertise", name, data:
                    advertisement = registry.advertise(name, data.encode())
                    answer = await advertisement.registered()
                    own[answer] = advertisement
                case "update", name, data:
                    own[name].update(data.encode())
                    answer = await own[name].registered()
                case "withdraw", name:
                    await own.pop(name).withdraw()
                case ("exit",):
                    os._exit(0)
            _reply(answer)
    finally:
        await registry.aclose()


def _reply(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
