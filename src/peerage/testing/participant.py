"""A separate process that advertises records on command, and that can be killed.

Run as ``python -m peerage.testing.participant URL``. Each line of its standard input is a JSON list, a
command and its arguments; it answers each with one line of JSON.
"""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack
from typing import Self

from peerage.registry import Advertisement, Registry, open_registry
from peerage.testing.children import Child, run

__all__ = ["Participant"]


class Participant:
    """Drives a process that takes part in the registry at *url*.

    ::

        async with await Participant.spawn(url) as owner:
            name = await owner.advertise("Orders", b"{}")
            owner.kill()
    """

    def __init__(self, child: Child, stack: AsyncExitStack) -> None:
        self._child = child
        self._stack = stack
        self.kill = child.kill
        self.suspend = child.suspend
        self.resume = child.resume
        self.pid = child.pid

    @classmethod
    async def spawn(cls, url: str) -> Self:
        """Start the process, and return once it is ready for commands."""
        async with AsyncExitStack() as stack:
            child = await stack.enter_async_context(run(sys.executable, "-m", __name__, url))
            await child.hear()
            return cls(child, stack.pop_all())

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

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


class _Owner:
    """Carries out the commands, within the process."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._advertisements: dict[str, Advertisement] = {}

    async def carry_out(self, command: str, *args: str) -> object:
        match command, args:
            case "advertise", (name, data):
                advertisement = self._registry.advertise(name, data.encode())
                registered_as = await advertisement.registered()
                self._advertisements[registered_as] = advertisement
                return registered_as
            case "update", (name, data):
                self._advertisements[name].update(data.encode())
                return await self._advertisements[name].registered()
            case "withdraw", (name,):
                await self._advertisements.pop(name).withdraw()
                return None
            case "exit", ():
                os._exit(0)
        raise ValueError(f"unknown command {command!r} {args!r}")


async def _serve(url: str) -> None:
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    registry = open_registry(url)
    owner = _Owner(registry)
    try:
        _reply("ready")
        while line := await reader.readline():
            _reply(await owner.carry_out(*json.loads(line)))
    finally:
        await registry.aclose()
        transport.close()


def _reply(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
