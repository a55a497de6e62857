"""Reads records from ZooKeeper."""

import asyncio
import json
from collections.abc import Callable
from typing import Any, Self

from kazoo.client import KazooClient

from peerage.testing import eventually

Found = tuple[str, dict[str, Any], int]


class Reader:
    """Reads the records below *path* with a separate client."""

    def __init__(self, address: str, path: str) -> None:
        self.client = KazooClient(address)
        self.folder = f"{path}/run"

    async def __aenter__(self) -> Self:
        await asyncio.to_thread(self.client.start)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.to_thread(self.client.stop)
        await asyncio.to_thread(self.client.close)

    def _read(self) -> list[Found]:
        found = []
        if self.client.exists(self.folder):
            for node in self.client.get_children(self.folder):
                data, stat = self.client.get(f"{self.folder}/{node}")
                found.append((node, json.loads(data), stat.ephemeralOwner))
        return found

    async def records(self) -> list[Found]:
        """Name, record and session of each node."""
        return await asyncio.to_thread(self._read)

    async def one_of(
        self, instance: str, wanted: Callable[..., object] = lambda record, _: record.get("web")
    ) -> Found:
        """The record of an instance, once it is as wanted."""

        async def find() -> list[Found]:
            return [
                (node, record, owner)
                for node, record, owner in await self.records()
                if record.get("instance_id") == instance and wanted(record, owner)
            ]

        found: list[Found] = await eventually(find)
        return found[0]
