"""The nodes that a container reads and writes; without ZooKeeper, only records.

Both classes have the same methods. Paths are relative to the container's path, without a slash in front.
"""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NoReturn

from peerage.asab.proactor import ProactorService
from peerage.asab.zookeeper.servers import Choice
from peerage.asab.zookeeper.wrapper import KazooWrapper
from peerage.errors import ConfigurationError
from peerage.registry import Advertisement, Record, Registry, Snapshot

if TYPE_CHECKING:
    from peerage.asab.zookeeper.session import ZooKeeperSession
    from peerage.backends.zookeeper.session import KazooClient

__all__ = ["Nodes", "nodes_of"]

_RUN: Final = "run"
_CONNECTED: Final = "CONNECTED"


def nodes_of(registry: Registry, choice: Choice, proactor: ProactorService) -> "Nodes":
    """Return the nodes of *registry*."""
    if not registry.url.startswith("zookeeper"):
        return _Records(registry, proactor)
    # Needs the ZooKeeper extra, without which there is no such registry.
    from peerage.asab.zookeeper.session import ZooKeeperSession  # noqa: PLC0415 - needs an extra
    from peerage.backends.zookeeper import ZooKeeperRegistry  # noqa: PLC0415 - needs an extra

    assert isinstance(registry, ZooKeeperRegistry)  # noqa: S101 - by its URL
    return _ZooKeeperNodes(registry, ZooKeeperSession(registry), choice, proactor)


class _ZooKeeperNodes:
    """ZooKeeper."""

    def __init__(
        self,
        registry: Registry,
        session: "ZooKeeperSession",
        choice: Choice,
        proactor: ProactorService,
    ) -> None:
        self.registry = registry
        self._session = session
        self.zookeeper = KazooWrapper(proactor, self._client)
        self._chroot = choice.chroot
        self._path = choice.path

    @property
    def connected(self) -> bool:
        return self._session.state == _CONNECTED

    async def states(self) -> AsyncGenerator[str]:
        changes: asyncio.Queue[str] = asyncio.Queue()
        if self.connected:
            changes.put_nowait(_CONNECTED)
        self._session.listen(changes.put_nowait)
        self._session.connect()
        while True:
            state = await changes.get()
            if state == _CONNECTED:
                # As in the original, so that a program can list the path, and make nodes there.
                await self._session.ensure_path()
            yield state

    def advertise(self, path: str, data: bytes) -> Advertisement:
        # Not _below(): if *path* ends with a slash or is empty, the node's name is only digits.
        folder = f"/{self._path}" if self._path else ""
        return self._session.advertise_at(f"{self._chroot}{folder}/{path}", data)

    async def children(self, path: str) -> list[str] | None:
        return await self.zookeeper.get_children(f"/{self._below(path)}")

    async def data(self, path: str) -> bytes | None:
        return await self.zookeeper.get_data(f"/{self._below(path)}")

    def _below(self, path: str) -> str:
        return "/".join(part for part in (self._path, path) if part)

    def _client(self) -> "KazooClient":
        client = self._session.client
        # For calls of the program; the registry itself uses whole paths.
        client.chroot = self._chroot
        return client


class _Records:
    """The registry of this machine, or another one that has only records."""

    def __init__(self, registry: Registry, proactor: ProactorService) -> None:
        self.registry = registry
        self.zookeeper = KazooWrapper(proactor, self._refuse)

    @property
    def connected(self) -> bool:
        return True

    async def states(self) -> AsyncGenerator[str]:
        await self._records()
        yield _CONNECTED

    def advertise(self, path: str, data: bytes) -> Advertisement:
        folder, _, name = path.rpartition("/")
        if folder != _RUN:
            self._refuse()
        return self.registry.advertise(name.removesuffix("."), data)

    async def children(self, path: str) -> list[str] | None:
        if path != _RUN:
            self._refuse()
        return [record.name for record in await self._records()]

    async def data(self, path: str) -> bytes | None:
        folder, _, node = path.rpartition("/")
        if folder != _RUN:
            self._refuse()
        return next((record.data for record in await self._records() if record.name == node), None)

    async def _records(self) -> tuple[Record, ...]:
        async with aclosing(self.registry.watch()) as watch:
            async for event in watch:
                if isinstance(event, Snapshot):
                    return event.records
        return ()

    def _refuse(self) -> NoReturn:
        raise ConfigurationError(
            f"{self.registry.url} isn't ZooKeeper and has only records, below {_RUN}/: advertise(), "
            "get_children(), get_data() and get_raw_data() work there. For more, set servers in [zookeeper]."
        )


Nodes = _ZooKeeperNodes | _Records
"""What a container reads and writes."""
