"""A separate process that advertises, told what to do line by line, which can be killed.

Run as ``python -m peerage.testing.participant URL``. Each line on its standard input is a JSON list, a
command and its arguments; it answers each with one JSON line.
"""

import asyncio
import json
import os
import signal
import sys
from typing import Any, Self

from peerage.registry import Advertisement, Registry, open_registry

__all__ = ["Participant"]


class Participant:
    """Drives a process that takes part in the registry at *url*.

    ::

        async with await Participant.spawn(url) as owner:
            node = await owner.advertise("Orders", b"{}")
            owner.kill()
    """

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._killed = False

    @classmethod
    async def spawn(cls, url: str) -> Self:
        """Start the process; returns when it is ready for commands."""
        participant = cls(
            await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                __name__,
                url,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
            )
        )
        await participant._answer()
        return participant

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        if not self._killed and self._process.returncode is None:
            self.kill()
        await self._process.communicate()

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def kill(self) -> None:
        """End it at once, with SIGKILL: nothing is withdrawn."""
        # Once: a second signal to a dead process makes subprocess reap it behind asyncio's back.
        self._killed = True
        self._process.kill()

    def suspend(self) -> None:
        """Stop it where it is, with SIGSTOP."""
        self._process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on after :meth:`suspend`."""
        self._process.send_signal(signal.SIGCONT)

    async def advertise(self, name: str, data: bytes) -> str:
        """Advertise, and return the node once it is registered."""
        node: str = await self._ask("advertise", name, data.decode())
        return node

    async def update(self, node: str, data: bytes) -> None:
        """Update a record of its own, and wait until it is written."""
        await self._ask("update", node, data.decode())

    async def withdraw(self, node: str) -> None:
        """Withdraw a record of its own."""
        await self._ask("withdraw", node)

    async def leave(self) -> None:
        """End it as a program ends that withdraws nothing: ``os._exit``."""
        await self._send("exit")
        await self._process.wait()

    async def _ask(self, *command: str) -> Any:
        await self._send(*command)
        return await self._answer()

    async def _send(self, *command: str) -> None:
        assert self._process.stdin is not None, "started with a pipe"
        self._process.stdin.write(json.dumps(command).encode() + b"\n")
        await self._process.stdin.drain()

    async def _answer(self) -> Any:
        assert self._process.stdout is not None, "started with a pipe"
        line = await self._process.stdout.readline()
        assert line, "the participant ended early; its standard error says why"
        return json.loads(line)


class _Owner:
    """The other side, within the process."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._advertisements: dict[str, Advertisement] = {}

    async def obey(self, command: str, *args: str) -> object:
        match command, args:
            case "advertise", (name, data):
                advertisement = self._registry.advertise(name, data.encode())
                node = await advertisement.registered()
                self._advertisements[node] = advertisement
                return node
            case "update", (node, data):
                self._advertisements[node].update(data.encode())
                return await self._advertisements[node].registered()
            case "withdraw", (node,):
                await self._advertisements.pop(node).withdraw()
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
            _reply(await owner.obey(*json.loads(line)))
    finally:
        await registry.aclose()
        transport.close()


def _reply(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    asyncio.run(_serve(sys.argv[1]))
