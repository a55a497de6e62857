"""ZooKeeper's operations as coroutines."""

from collections.abc import Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from kazoo.protocol.serialization import Create, Delete, GetACL, SetACL, SetData, Sync
from kazoo.security import ACL, CREATOR_ALL_ACL, OPEN_ACL_UNSAFE

from peerage.backends.zookeeper.failures import NoNode
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.requests import Children, Entry, Exists, MultiRead, Read, Status

if TYPE_CHECKING:
    import asyncio

__all__ = ["ANY_VERSION", "Operations"]

_EPHEMERAL_SEQUENCE: Final = 3

#: The version of a node that is to be changed or removed whatever its version is.
ANY_VERSION: Final = -1


class Operations:
    """The operations of a connection; each raises a Failure if the server refuses it or doesn't answer.

    Args:
        location: has the access list of what is created.
    """

    def __init__(self, location: Location) -> None:
        self.location = location

    def post(self, request: Any) -> "asyncio.Future[Any]":
        """Send *request*; the future ends with the answer or a Failure."""
        raise NotImplementedError

    async def children(self, path: str) -> list[str]:
        """Return the names of the children."""
        names: list[str] = await self.post(Children(path))
        return names

    async def read(self, path: str, *, watch: bool = False) -> Entry:
        """Return the node."""
        entry: Entry = await self.post(Read(path, watch))
        return entry

    async def exists(self, path: str, *, watch: bool = False) -> bool:
        """Return whether there is such a node."""
        return await self.status(path, watch=watch) is not None

    async def status(self, path: str, *, watch: bool = False) -> Status | None:
        """Return what is known of the node without reading it, None if there is none."""
        status: Status | None = await self.post(Exists(path, watch))
        return status

    def read_many(
        self, paths: Sequence[str], size: int
    ) -> "list[tuple[Sequence[str], asyncio.Future[list[Entry | int]]]]":
        """Begin to read all of them, *size* with one request; each batch of paths has its own future."""
        return [
            (batch, self.post(MultiRead(batch)))
            for batch in (tuple(paths[start : start + size]) for start in range(0, len(paths), size))
        ]

    async def create(self, path: str, data: bytes, *, ephemeral: bool = False) -> str:
        """Create a node, *ephemeral*: of this session, with ten digits behind its name; return its path."""
        flags = _EPHEMERAL_SEQUENCE if ephemeral else 0
        created: str = await self.post(Create(path, data, self.acl, flags))
        return created

    async def write(self, path: str, data: bytes, version: int = ANY_VERSION) -> int:
        """Replace what the node holds, if it is at *version* (by default at any); return its new one."""
        written: int = (await self.post(SetData(path, data, version))).version
        return written

    async def delete(self, path: str, version: int = ANY_VERSION) -> None:
        """Remove the node, if it is at *version* (by default at any); one that isn't there is no error."""
        with suppress(NoNode):
            await self.post(Delete(path, version))

    async def sync(self, path: str) -> None:
        """Wait until the server has caught up with all that was done before."""
        await self.post(Sync(path))

    # Access

    @property
    def acl(self) -> list[ACL]:
        """The access list of what is created here."""
        acl: list[ACL] = CREATOR_ALL_ACL if self.location.acl == "creator" else OPEN_ACL_UNSAFE
        return acl

    async def acl_of(self, path: str) -> list[ACL]:
        """Return the access list of a node."""
        acl: list[ACL] = (await self.post(GetACL(path)))[0]
        return acl

    async def protect(self, path: str) -> None:
        """Give the node the access list of what is created here."""
        await self.post(SetACL(path, self.acl, ANY_VERSION))
