"""The nodes that a container reads and writes; without ZooKeeper, only records.

Both classes have the same methods. Paths are relative to the container's path, without a slash in front.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import TYPE_CHECKING, Final, NoReturn, TypeAlias

from peerage.asab.proactor import ProactorService
from peerage.asab.zookeeper.servers import Choice
from peerage.asab.zookeeper.wrapper import KazooWrapper
from peerage.errors import ConfigurationError
from peerage.registry import Advertisement, Record, Registry, Snapshot

if TYPE_CHECKING:
    from peerage.asab.zookeeper.session import ZooKeeperNodes

_RUN: Final = "run"


def nodes_of(registry: Registry, choice: Choice, proactor: ProactorService) -> "Nodes":
    """Return the nodes of *registry*."""
    if not registry.url.startswith("zookeeper"):
        return _Records(registry, proactor)
    # Needs the ZooKeeper extra, without which there is no such registry.
    from peerage.asab.zookeeper.session import ZooKeeperNodes  # noqa: PLC0415 - needs an extra
    from peerage.backends.zookeeper import ZooKeeperRegistry  # noqa: PLC0415 - needs an extra

    assert isinstance(registry, ZooKeeperRegistry)  # noqa: S101 - by its URL
    return ZooKeeperNodes(registry, choice, proactor)


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
        yield "CONNECTED"

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


Nodes: TypeAlias = "ZooKeeperNodes | _Records"
"""What a container reads and writes."""
