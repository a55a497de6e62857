"""The child processes of the demo: started, heard, killed, and never left behind."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import PIPE, Process
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any, Self

from peerage.cli.run import CommandError

__all__ = ["Stage"]

#: Seconds that children have for ending by themselves.
_FAREWELL = 1.0

#: Lines of a child's stderr that are kept, to be shown if it fails.
_LAST_WORDS = 40


class _Actor:
    """One child process."""

    def __init__(self, name: str, process: Process, hear: Callable[[str, dict[str, Any]], None]) -> None:
        self.name = name
        self.process = process
        self.expected_to_end = False
        self._last_words: deque[str] = deque(maxlen=_LAST_WORDS)
        self._listening = asyncio.gather(self._listen(hear), self._note_errors())

    async def _listen(self, hear: Callable[[str, dict[str, Any]], None]) -> None:
        assert self.process.stdout is not None  # noqa: S101 - it was asked for
        async for line in self.process.stdout:
            # The line that a killed process was writing has no end.
            with suppress(ValueError):
                hear(self.name, json.loads(line))

    async def _note_errors(self) -> None:
        assert self.process.stderr is not None  # noqa: S101 - it was asked for
        async for line in self.process.stderr:
            self._last_words.append(line.decode(errors="replace").rstrip())

    def dismiss(self) -> None:
        """Ask it to end."""
        self.expected_to_end = True
        if self.process.stdin is not None:
            self.process.stdin.close()

    async def ended(self) -> None:
        """Wait for its end, and until everything it said was heard.

        Raises:
            CommandError: it wasn't expected to end.
        """
        await self.process.wait()
        await asyncio.shield(self._listening)
        if not self.expected_to_end:
            said = "\n".join(self._last_words) or "It said nothing."
            raise CommandError(f"{self.name} ended with code {self.process.returncode}.\n{said}")


class Stage:
    """All child processes; leaving it ends them.

    Args:
        registry: URL of the registry, passed on to them.
        hear: called with the name of a child and what it reports.
    """

    def __init__(self, registry: str, hear: Callable[[str, dict[str, Any]], None]) -> None:
        self._registry = registry
        self._hear = hear
        self._actors: dict[str, _Actor] = {}
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._broken: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for actor in self._actors.values():
            actor.dismiss()
        if self._watches:
            await asyncio.wait(self._watches.values(), timeout=_FAREWELL)
        for actor in self._actors.values():
            if actor.process.returncode is None:
                actor.process.kill()
        if self._watches:
            await asyncio.wait(self._watches.values())
        self._broken.cancel()

    async def start(self, name: str) -> int:
        """Start the child *name*, ``pricing-1`` or ``shop-1``, and return its process id."""
        role = name.partition("-")[0]
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",  # whatever lies in the current folder isn't part of the demo
            "-m",
            f"peerage.cli.demo.{role}",
            stdin=PIPE,
            stdout=PIPE,
            stderr=PIPE,
            process_group=0,  # Ctrl-C is for the parent alone, which ends them in order
            env={**os.environ, "PEERAGE_REGISTRY": self._registry, "SERVICE_ID": role, "INSTANCE_ID": name},
        )
        actor = self._actors[name] = _Actor(name, process, self._hear)
        self._watches[name] = asyncio.create_task(self._watch(actor))
        return process.pid

    async def _watch(self, actor: _Actor) -> None:
        try:
            await actor.ended()
        except CommandError as error:
            if not self._broken.done():
                self._broken.set_exception(error)

    def kill(self, name: str) -> None:
        """Kill the child *name*, as the kernel does when memory runs out."""
        actor = self._actors[name]
        actor.expected_to_end = True
        actor.process.kill()

    async def dismiss(self, name: str) -> None:
        """Ask the child *name* to end, and wait until it has."""
        self._actors[name].dismiss()
        await asyncio.wait([self._watches[name]], timeout=_FAREWELL)

    async def until_broken(self) -> None:
        """Wait until a child ends that shouldn't.

        Raises:
            CommandError: it did; the message has its last words.
        """
        await asyncio.shield(self._broken)
