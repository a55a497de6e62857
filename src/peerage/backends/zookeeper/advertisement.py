"""One record of this process: brings the server to what is wished for, whatever happens in between.

The wish (what to advertise, or nothing) is set by the owner; a task compares it with what is known to be on
the server and does what is missing, again and again. A node belongs to the session that made it: with the
session it is gone, and the next session makes a new one. With the session alive, nothing is written.
"""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.failures import Failure, Lost, NoAuth, NoNode
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.nodes import denial, ensure
from peerage.backends.zookeeper.requests import Entry
from peerage.errors import RegistryClosedError, RegistryDenied
from peerage.registry import check_size

__all__ = ["Claims", "ZooKeeperAdvertisement"]

log = logging.getLogger(__name__)

#: Seconds until an attempt that failed for no lasting reason is repeated.
_RETRY: Final = 0.5


class Claims:
    """What the advertisements of one registry have to know of each other.

    Attributes:
        nodes: whose node is whose: what belongs to one isn't taken for another's twin.
        told: nodes that were complained about.
        prepared: whether the access lists on the way to the records were seen to.
    """

    def __init__(self) -> None:
        self.nodes: dict[str, ZooKeeperAdvertisement] = {}
        self.told: set[str] = set()
        self.prepared = False


class ZooKeeperAdvertisement:
    """See :class:`peerage.registry.Advertisement`.

    Args:
        connection: to the server; not closed by this.
        location: names the folder.
        claims: shared by all advertisements of the registry.
        name: the record's name, without its digits.
        data: what to advertise.
        on_end: called once it is over.
    """

    def __init__(
        self,
        connection: Connection,
        location: Location,
        claims: Claims,
        *,
        name: str,
        data: bytes,
        on_end: Callable[["ZooKeeperAdvertisement"], None],
    ) -> None:
        self._connection = connection
        self._location = location
        self._claims = claims
        self._name = name
        self._wish: bytes | None = data
        self._on_end = on_end
        self._node: str | None = None
        self._session = 0
        self._written: bytes | None = None
        # What a create carried whose answer never came, and its session: there may be a node of it.
        self._unconfirmed: list[tuple[int, bytes]] = []
        self._refusal: str | None = None
        self._complained_of_refusal = False
        self._doubt = False
        self._up = connection.up
        self._closed = False
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"peerage: advertise {name}")

    # The owner's side

    @property
    def node(self) -> str | None:
        """The current name of the record; see :class:`peerage.registry.Advertisement`."""
        up = self._connection.up
        return None if up is not None and up.session != self._session else self._node

    def update(self, data: bytes) -> None:
        """Replace the record; see :class:`peerage.registry.Advertisement`."""
        self._check_open()
        check_size(data)
        self._wish = data
        self._refusal = None
        self.poke()

    async def registered(self) -> str:
        """Wait until the record is there as given last; see :class:`peerage.registry.Advertisement`."""
        while True:
            self._check_open()
            if self._refusal is not None:
                raise RegistryDenied(self._refusal)
            node = self.node
            if node is not None and self._written == self._wish and not self._doubt:
                return node
            self._settled.clear()
            await self._settled.wait()

    async def withdraw(self) -> None:
        """Remove the record for good; see :class:`peerage.registry.Advertisement`."""
        self._wish = None
        self.poke()
        # Out of reach it can't come back either: the wish is gone, and the task removes what is left.
        while not self._task.done() and self._connection.up is not None:
            changed = asyncio.ensure_future(self._connection.changed())
            try:
                await asyncio.wait((self._task, changed), return_when=asyncio.FIRST_COMPLETED)
            finally:
                changed.cancel()

    def _check_open(self) -> None:
        if self._wish is None or self._closed:
            raise RegistryClosedError(f"The record {self._name} is withdrawn: advertise another one.")

    # The registry's side

    @property
    def refusal(self) -> str | None:
        """Why the server won't have it."""
        return self._refusal

    def poke(self) -> None:
        """Look again: the connection or the wish changed."""
        if self._connection.up is not self._up:
            # What others did to the node between two connections is told by no event, and until there is
            # one again nobody knows whether the session survived.
            self._up = self._connection.up
            self._doubt = True
        self._wake.set()
        self._settled.set()

    def doubt(self) -> None:
        """The node was removed: see whether somebody else did that."""
        self._doubt = True
        self._wake.set()

    async def close(self) -> None:
        """Give up the wish without telling the server: the session ends with the registry."""
        self._closed = True
        self._task.cancel()
        self._end()
        await asyncio.wait([self._task])

    def _end(self) -> None:
        if self._node is not None:
            self._claims.nodes.pop(self._node, None)
        self._node = None
        self._on_end(self)
        self._settled.set()

    # The task

    async def _run(self) -> None:
        complained = False
        while True:
            self._wake.clear()
            up = self._connection.up
            try:
                if up is not None and await self._reconcile(up.session):
                    return
                complained = False
            except Lost:
                if up is not None and self._connection.up is up:
                    # Put off by the server, over a connection that goes on: nothing else would wake this.
                    await asyncio.sleep(_RETRY)
                    continue
            except NoAuth:
                if self._wish is None:
                    log.warning(
                        "The record %s may not be removed from %s: it goes with this process' session",
                        self._node,
                        self._location.url,
                    )
                    self._end()
                    return
                self._refuse(denial(self._location))
            except Failure as failure:
                if not complained:
                    log.warning(
                        "The record %s can't be registered for now (%s); trying again", self._name, failure
                    )
                complained = True
                await asyncio.sleep(_RETRY)
                continue
            self._settled.set()
            await self._wake.wait()

    def _refuse(self, reason: str) -> None:
        if not self._complained_of_refusal:
            log.warning("The record %s isn't registered: %s", self._name, reason)
        self._complained_of_refusal = True
        self._refusal = reason

    async def _reconcile(self, session: int) -> bool:
        """Do what is missing; True once it is withdrawn."""
        await self._look_for_twins(session)
        if self._node is not None and self._session != session:
            await self._remove_ghost(self._node)
        if self._doubt:
            await self._look_for_itself()
        while self._wish is not None:
            data = self._wish
            if self._node is None:
                await self._create(session, data)
            elif self._written != data:
                await self._write(self._node, data)
            else:
                self._refusal, self._complained_of_refusal = None, False
                return False
        if self._node is not None:
            await self._connection.delete(self._path(self._node))
        self._end()
        return True

    async def _create(self, session: int, data: bytes) -> None:
        if self._location.acl == "creator" and not self._claims.prepared:
            await self._prepare()
        up = self._connection.up
        if up is None or up.session != session:
            # It would be another session's, and taken for this one's: the next look begins anew.
            raise Lost("the session has changed")
        self._unconfirmed.append((session, data))
        try:
            path = await self._connection.create(self._path(f"{self._name}."), data, ephemeral=True)
        except Lost:
            raise  # it may have been carried out
        except NoNode:
            self._unconfirmed.pop()
            await self._prepare()
            return
        except Failure:
            self._unconfirmed.pop()
            raise
        self._unconfirmed.pop()
        self._own(path.rpartition("/")[2], session, data)

    async def _prepare(self) -> None:
        """Make the folder, and see to who may change it."""
        await ensure(self._connection, self._location, self._location.folder, self._claims.told)
        self._claims.prepared = True

    def _own(self, node: str, session: int, data: bytes) -> None:
        self._node, self._session, self._written = node, session, data
        self._claims.nodes[node] = self

    def _disown(self) -> None:
        if self._node is not None:
            self._claims.nodes.pop(self._node, None)
        self._node = self._written = None

    async def _write(self, node: str, data: bytes) -> None:
        before, self._written = self._written, None
        try:
            await self._connection.write(self._path(node), data)
        except NoNode:
            # Removed by somebody else: a wish is a wish.
            self._disown()
            return
        except Lost:
            raise  # it may have been carried out: whatever is wished for by then has to be written
        except Failure:
            self._written = before
            raise
        self._written = data

    async def _look_for_itself(self) -> None:
        """See whether the node is still there."""
        self._doubt = False
        if self._node is None:
            return
        try:
            entry = await self._connection.read(self._path(self._node))
        except NoNode:
            self._disown()
            return
        except Lost:
            self._doubt = True
            raise
        if self._written is not None:
            self._written = entry.data

    async def _remove_ghost(self, node: str) -> None:
        """Remove the node of an earlier session of ours, which would vanish in its own time."""
        try:
            entry = await self._connection.read(self._path(node))
            # After a server lost its data somebody else's node may have the name.
            if entry.owner == self._session:
                await self._connection.delete(self._path(node))
        except NoNode:
            pass
        self._disown()

    async def _look_for_twins(self, session: int) -> None:
        """Find the node of a create whose answer was lost: take it, or remove it if there is one already."""
        if not self._unconfirmed:
            return
        # Through the leader: what was under way at another server is done or never will be.
        await self._connection.sync(self._location.folder)
        for node, entry in await self._nodes_of_this_name():
            sent = (entry.owner, entry.data)
            if sent not in self._unconfirmed or node in self._claims.nodes:
                continue
            if self._node is None and entry.owner == session:
                self._own(node, session, entry.data)
            else:
                await self._connection.delete(self._path(node))
            self._unconfirmed.remove(sent)
        self._unconfirmed.clear()

    async def _nodes_of_this_name(self) -> list[tuple[str, Entry]]:
        try:
            names = await self._connection.children(self._location.folder)
        except NoNode:
            return []
        found: list[tuple[str, Entry]] = []
        for name in names:
            if name.startswith(f"{self._name}."):
                with suppress(NoNode, NoAuth):
                    found.append((name, await self._connection.read(self._path(name))))
        return found

    def _path(self, node: str) -> str:
        return f"{self._location.folder}/{node}"
