"""The child processes of the demo: started, heard, killed, and always ended with it."""

import asyncio
import json
import os
import sys
from collections.abc import Callable
from contextlib import AsyncExitStack, suppress
from typing import Any, Never, Self

from peerage.cli.run import CommandError
from peerage.testing.children import Child, run

#: Seconds that children have for ending by themselves.
_GRACE = 1.0

#: Lines of a child's standard error that are kept, to be shown if it fails.
_LOG_LINES = 40


class Children:
    """All child processes; they get the URL of the *registry*, and end with the block.

    *report* is called with the name of a child and each report it makes.
    """

    def __init__(self, registry: str, report: Callable[[str, dict[str, Any]], None]) -> None:
        self._registry = registry
        self._report = report
        self._stack = AsyncExitStack()
        self._children: dict[str, Child] = {}
        self._ending: set[str] = set()
        self._watches: dict[str, asyncio.Task[None]] = {}
        self._failures: asyncio.Queue[CommandError] = asyncio.Queue()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        try:
            await self.dismiss(*self._children)
        finally:
            await self._stack.aclose()  # kills those that still run
            await asyncio.gather(*self._watches.values())

    async def start(self, name: str) -> int:
        """Start the child *name*, ``pricing-1`` or ``shop-1``, and return its process id."""
        role = name.partition("-")[0]
        names = {"PEERAGE_REGISTRY": self._registry, "SERVICE_ID": role, "INSTANCE_ID": name}
        # -P excludes the modules in the current folder. Ctrl-C reaches the parent only, which ends the
        # children in order.
        command = (sys.executable, "-P", "-m", f"peerage.cli.demo.{role}")
        child = self._children[name] = await self._stack.enter_async_context(
            run(*command, environ={**os.environ, **names}, own_group=True, log_lines=_LOG_LINES)
        )
        self._watches[name] = asyncio.create_task(self._watch(name, child))
        return child.pid

    async def _watch(self, name: str, child: Child) -> None:
        async for line in child.lines():
            # The line that a killed process was writing has no end.
            with suppress(ValueError):
                self._report(name, json.loads(line))
        code = await child.wait()
        if name not in self._ending:
            log = child.log or "It wrote nothing to its standard error."
            self._failures.put_nowait(CommandError(f"{name} ended with code {code}.\n{log}"))

    def kill(self, name: str) -> None:
        """Kill the child *name*, as the kernel does when memory runs out."""
        self._ending.add(name)
        self._children[name].kill()

    async def dismiss(self, *names: str) -> None:
        """Ask these children to end, and wait until they have, for a second at most."""
        self._ending.update(names)
        for name in names:
            self._children[name].close_input()
        if names:
            await asyncio.wait([self._watches[name] for name in names], timeout=_GRACE)

    async def failure(self) -> Never:
        """Wait until a child ends that shouldn't.

        It raises CommandError then, with the end of the child's standard error.
        """
        raise await self._failures.get()
