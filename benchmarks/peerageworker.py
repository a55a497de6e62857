"""A process of ours beside one of the original: ``python -m benchmarks.peerageworker SERVERS [COUNT]``."""

import asyncio
import json
import logging
import sys
from typing import Any, TextIO

import aiohttp

from benchmarks.fleet import fleet
from benchmarks.probe import Probe, run
from peerage.directory import Change
from peerage.discovery import Discovery
from peerage.registry import Advertisement, open_registry


class Ours(Probe):
    """A client of this library."""

    def __init__(self, servers: str) -> None:
        super().__init__()
        self._servers = servers
        self._registry: Any = None
        self._discovery: Any = None
        # Loading modules is a cost of starting; the original has loaded its own.
        open_registry(self._url("none"))

    def _url(self, path: str) -> str:
        return f"zookeeper://{self._servers}/{path}?session_timeout=10"

    async def connect(self, path: str) -> None:
        self._registry = open_registry(self._url(path))

    async def open(self, path: str) -> None:
        await self.connect(path)
        self._discovery = Discovery(self._registry, ready_timeout=120)
        self._discovery.directory.subscribe(self._changed)
        await self._discovery.__aenter__()

    async def join(self, path: str, fields: dict[str, Any]) -> None:
        await self.open(path)
        await self.advertise(fields)

    def _changed(self, _: Change) -> None:
        self.notice()

    async def close(self) -> None:
        await self._discovery.aclose()
        await self._registry.aclose()

    async def locate(self, **ids: str) -> Any:
        return await self._discovery.locate(**ids)

    async def discover(self) -> Any:
        return await self._discovery.discover()

    def found(self, mark: str) -> bool:
        return bool(self._discovery.directory.urls((("mark", mark),)))

    def marks(self) -> set[str]:
        ids = (pair for instance in self._discovery.directory for pair in instance.ids)
        return {value for key, value in ids if key == "mark"}

    def known(self) -> int:
        return len(self._discovery.directory)

    def in_touch(self) -> bool:
        return self._discovery.stale is None

    async def advertise(self, fields: dict[str, Any]) -> Advertisement:
        advertisement: Advertisement = self._registry.advertise(
            "BenchApplication", json.dumps(fields).encode()
        )
        return advertisement

    async def withdraw(self, handle: Advertisement) -> None:
        await handle.withdraw()

    def session(self) -> aiohttp.ClientSession:
        session: aiohttp.ClientSession = self._discovery.session()
        return session


def _main(lines: TextIO, answers: TextIO) -> None:
    async def forever() -> None:
        # Losing the connection is what is measured.
        logging.getLogger("peerage").setLevel(logging.ERROR)
        run(Ours(sys.argv[1]), asyncio.get_running_loop(), lines, answers)
        await asyncio.Event().wait()

    asyncio.run(forever())


if __name__ == "__main__":
    if sys.argv[2:]:
        # What is loaded before the forks is loaded once.
        open_registry("zookeeper://127.0.0.1/none")
        fleet(int(sys.argv[2]), _main)
    else:
        _main(sys.stdin, sys.stdout)
