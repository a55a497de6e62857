"""One record of this process: brings the server to what is wished for, whatever happens in between.

The wish (what to advertise, or nothing) is set by the owner; a task compares it with what is known to be on
the server and does what is missing, again and again. A node belongs to the session that made it: with the
session it is gone, and the next session makes a new one. With the session alive, nothing is written.

Others have their hands in the folder, too. A node that is removed or changed by somebody else is told by a
watch of its own, one event each time. A name alone proves nothing: they begin anew with a folder that was
removed and made again. A node is ours while our session owns it and no other record of ours has it, and what
changes or removes it says which version is meant.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from peerage.backends.zookeeper.connection import ANY_VERSION, CHANGED, DELETED, Connection
from peerage.backends.zookeeper.failures import BadVersion, Failure, Lost, NoAuth, NoNode
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.nodes import denial, ensure
from peerage.backends.zookeeper.notes import Up
from peerage.backends.zookeeper.twins import find_twin
from peerage.errors import RegistryClosedError, RegistryDeniedError
from peerage.registry import OwnRecords

__all__ = ["Claims", "ZooKeeperAdvertisement"]

log = logging.getLogger(__name__)

#: Seconds until an attempt that failed for no lasting reason is repeated.
_RETRY: Final = 0.5

#: Seconds that withdrawing waits for an answer: that a connection is half open is noticed much later.
_FAREWELL: Final = 2.0


class Claims:
    """What the advertisements in one folder have to know of each other.

    Attributes:
        folder: its path.
        nodes: whose node is whose: what belongs to one isn't taken for another's twin.
        told: nodes that were complained about.
        prepared: whether the access lists on the way to the records were seen to.
    """

    def __init__(self, folder: str, told: set[str]) -> None:
        self.folder = folder
        self.nodes: dict[str, ZooKeeperAdvertisement] = {}
        self.told = told
        self.prepared = False


class ZooKeeperAdvertisement:
    """See :class:`peerage.registry.Advertisement`.

    Args:
        connection: to the server; not closed by this.
        location: of the registry.
        claims: names the folder; shared by all advertisements there.
        prefix: the node's name, without its digits.
        data: what to advertise.
        check: refuses data of an impossible size.
        own_records: receives each name that the record has.
        on_end: called once it is over.
    """

    def __init__(
        self,
        connection: Connection,
        location: Location,
        claims: Claims,
        *,
        prefix: str,
        data: bytes,
        check: Callable[[bytes], None],
        own_records: OwnRecords,
        on_end: Callable[["ZooKeeperAdvertisement"], None],
    ) -> None:
        self._connection = connection
        self._location = location
        self._claims = claims
        self._prefix = prefix
        self._name = prefix.removesuffix(".") or claims.folder
        self._wish: bytes | None = data
        self._check_size = check
        self._own_records = own_records
        self._on_end = on_end
        self._pid = os.getpid()
        self._node: str | None = None
        self._session = 0
        self._version = 0
        self._written: bytes | None = None
        # What a create carried whose answer never came, and its session: there may be a node of it.
        self._unconfirmed: tuple[int, bytes] | None = None
        # The connections over which it is certain that the node is there, and over which its end is told.
        # What happens between two connections is told by no event.
        self._certain: Up | None = None
        self._watched: Up | None = None
        self._events = 0
        self._refusal: str | None = None
        self._complained_of_refusal = False
        self._complained = False
        self._over = False
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"peerage: advertise {self._name}")

    # The owner's side

    @property
    def name(self) -> str | None:
        """The current name of the record; see :class:`peerage.registry.Advertisement`."""
        up = self._connection.up
        return None if up is not None and up.session != self._session else self._node

    def update(self, data: bytes) -> None:
        """Replace the record; see :class:`peerage.registry.Advertisement`."""
        self._check_open()
        self._check_size(data)
        self._wish = data
        self._refusal = None
        self.poke()

    async def registered(self) -> str:
        """Wait until the record is there as given last; see :class:`peerage.registry.Advertisement`."""
        while True:
            self._check_open()
            if self._refusal is not None:
                raise RegistryDeniedError(self._refusal)
            node, up = self._node, self._connection.up
            if node is not None and self._written == self._wish and up is not None and self._certain is up:
                return node
            self._settled.clear()
            await self._settled.wait()

    async def withdraw(self) -> None:
        """Remove the record for good, or see to it that it will be if nobody answers for two seconds.

        See :class:`peerage.registry.Advertisement`.
        """
        if self._pid != os.getpid():
            return  # a forked child has nothing of it
        self._wish = None
        self.poke()
        # Out of reach it can't come back either: the wish is gone, and the task removes what is left.
        with suppress(TimeoutError):
            async with asyncio.timeout(_FAREWELL):
                while not self._task.done() and self._connection.up is not None:
                    self._settled.clear()
                    await self._settled.wait()

    def _check_open(self) -> None:
        if self._pid != os.getpid():
            raise RegistryClosedError(
                f"The record {self._name} was advertised before a fork and is the parent's: "
                "open a registry in the child and advertise another one."
            )
        if self._wish is None or self._over:
            raise RegistryClosedError(f"The record {self._name} is withdrawn: advertise another one.")

    # The registry's side

    @property
    def refusal(self) -> str | None:
        """Why the server won't have it."""
        return self._refusal

    def poke(self) -> None:
        """Look again: the connection or the wish changed."""
        self._wake.set()
        self._settled.set()

    def happened(self, kind: int) -> None:
        """Take note of an event of the node: one at most is sent for each time it was looked at."""
        self._events += 1
        self._watched = None
        if kind != CHANGED:
            self._certain = None
        self._wake.set()

    async def close(self) -> None:
        """Give up the wish without telling the server: the session ends with the registry."""
        self._task.cancel()
        self._end()
        await asyncio.wait([self._task])

    def _end(self) -> None:
        self._disown()
        self._over = True
        self._on_end(self)
        self._settled.set()

    # The task

    async def _run(self) -> None:
        try:
            while not self._over:
                self._wake.clear()
                if await self._attempt():
                    await asyncio.sleep(_RETRY)
                elif not self._over:
                    await self._wake.wait()
        finally:
            # A program that ends cancels all its tasks, this one included.
            self._end()

    async def _attempt(self) -> bool:
        """Bring about what can be now; True if nothing but time would lead to another attempt."""
        up = self._connection.up
        if up is None:
            return False
        try:
            await self._reconcile(up)
        except Lost:
            # Given up by the server, if the connection goes on.
            return self._connection.up is up
        except NoAuth:
            if self._wish is not None:
                self._refuse(denial(self._location, self._claims.folder))
            return False
        except Failure as failure:
            if not self._complained:
                log.warning("The record %s can't be %s for now (%s); trying again", *self._aim, failure)
        except Exception:
            if not self._complained:
                log.exception("The record %s can't be %s, why isn't known; trying again", *self._aim)
        else:
            self._complained = False
            return False
        self._complained = True
        return True

    @property
    def _aim(self) -> tuple[str, str]:
        return self._name, "removed" if self._wish is None else "registered"

    def _refuse(self, reason: str) -> None:
        if not self._complained_of_refusal:
            log.warning("The record %s isn't registered: %s", self._name, reason)
        self._complained_of_refusal = True
        self._refusal = reason
        self._settled.set()

    async def _reconcile(self, up: Up) -> None:
        """Do what is missing, over this connection."""
        await self._look_for_twin()
        if self._node is not None and self._session != up.session:
            await self._remove_ghost(self._node)
        while True:
            if self._connection.up is not up:
                # Perhaps another session's, whose node would be taken for this one's.
                raise Lost("there is another connection")
            node, wish = self._node, self._wish
            if node is None:
                if wish is None:
                    self._end()
                    return
                await self._create(up, wish)
            elif self._certain is not up:
                await self._look(up, node)
            elif wish is None:
                await self._remove(node)
            elif self._written != wish:
                await self._write(node, wish)
            else:
                self._refusal, self._complained_of_refusal = None, False
                self._settled.set()
                if self._watched is up:
                    return
                # After the fact: whoever waits for the record doesn't wait for this.
                await self._look(up, node)

    async def _create(self, up: Up, data: bytes) -> None:
        if self._location.acl == "creator" and not self._claims.prepared:
            await self._prepare()
            return  # who knows what is wished for by now
        self._unconfirmed = (up.session, data)
        try:
            path = await self._connection.create(self._path(self._prefix), data, ephemeral=True)
        except Lost:
            raise  # it may have been carried out
        except NoNode:
            self._unconfirmed = None
            await self._prepare()
            return
        except Failure:
            self._unconfirmed = None
            raise
        self._unconfirmed = None
        self._own(path.rpartition("/")[2], up.session, data)
        self._certain = up

    async def _prepare(self) -> None:
        """Make the folder, and see to who may change it."""
        await ensure(self._connection, self._location, self._claims.folder, self._claims.told)
        self._claims.prepared = True

    async def _look(self, up: Up, node: str) -> None:
        """See whether the node is there, is ours and is as it was written; be told when that changes."""
        events = self._events
        try:
            status = await self._connection.status(self._path(node), watch=True)
        except NoAuth:
            # There is one, says a server that wants the right to read for more (from 3.10 on).
            self._certain, self._watched, self._version = up, up, ANY_VERSION
            return
        if status is None or status.owner != self._session or self._claims.nodes.get(node) is not self:
            self._disown()
            return
        if status.version != self._version:
            self._written, self._version = None, status.version
        if events == self._events:
            self._certain = self._watched = up

    async def _write(self, node: str, data: bytes) -> None:
        before, self._written = self._written, None
        try:
            self._version = await self._connection.write(self._path(node), data, self._version)
        except NoNode:
            # Removed by somebody else: a wish is a wish.
            self._disown()
            return
        except BadVersion:
            self._certain = None
            return
        except Lost:
            raise  # it may have been carried out: whatever is wished for by then has to be written
        except Failure:
            self._written = before
            raise
        self._written = data

    async def _remove(self, node: str) -> None:
        try:
            await self._connection.delete(self._path(node), self._version)
        except BadVersion:
            self._certain = None
            return
        except NoAuth:
            self._leave(node)
        self._disown()

    async def _remove_ghost(self, node: str) -> None:
        """Remove the node of an earlier session of ours, which would vanish in its own time."""
        try:
            status = await self._connection.status(self._path(node))
            # After a server lost its data somebody else's node may have the name.
            if status is not None and status.owner == self._session:
                await self._connection.delete(self._path(node))
        except NoAuth:
            self._leave(node)
        self._disown()

    def _leave(self, node: str) -> None:
        log.warning(
            "The record %s may not be removed from %s and goes with the session that made it: "
            "removing is up to the access list of %s",
            node,
            self._location.url,
            self._claims.folder,
        )

    # Which node is ours

    def _own(self, node: str, session: int, data: bytes) -> None:
        other = self._claims.nodes.get(node)
        if other is not None and other is not self:
            # Its own went with a folder that was made anew, and it hasn't heard of that yet.
            other.happened(DELETED)
        self._node, self._session, self._version, self._written = node, session, 0, data
        self._claims.nodes[node] = self
        self._own_records.add(node)

    def _disown(self) -> None:
        if self._node is not None and self._claims.nodes.get(self._node) is self:
            del self._claims.nodes[self._node]
        self._node = self._written = self._certain = self._watched = None

    async def _look_for_twin(self) -> None:
        """Take the node of a create whose answer was lost: it is ours, if its session lives."""
        if self._unconfirmed is None:
            return
        session, data = self._unconfirmed
        node = await find_twin(
            self._connection, self._path(self._prefix), session=session, data=data, taken=self._claims.nodes
        )
        if node is not None:
            self._own(node, session, data)
        self._unconfirmed = None

    def _path(self, node: str) -> str:
        return f"{self._claims.folder}/{node}"
