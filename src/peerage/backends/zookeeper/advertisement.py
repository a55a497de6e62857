"""One record of this process: makes the server's state what the owner wants, whatever happens in between.

The owner sets what is wanted (data, or nothing). A task compares it with what is known of the server and does
what is missing, until both agree. A node belongs to the session that created it: it vanishes with the
session, and the next session creates a new one. While the session lives, a reconnect writes nothing.

============  ==================================================  =======================================
state         known by                                            the task's next step
============  ==================================================  =======================================
unregistered  no node                                             create it
unconfirmed   no node, but the answer to a create was lost        look for the node; take it or create it
left over     a node of an earlier session                        delete it, then unregistered
unverified    a node, not seen over this connection               check that it is there and ours
outdated      a verified node, whose data isn't what is wanted    write
registered    a verified node with the wanted data                watch it, wait for a change
refused       as before, and an access list forbids the step      try again after 5 to 10 s
withdrawing   a node, and nothing is wanted                       delete it
over          no node, and nothing is wanted                      end
============  ==================================================  =======================================

Administrators and other programs change the folder, too. A watch on the node reports that it was removed or
changed, once for each time it was checked. A name alone proves nothing: numbers begin at 0 again in a folder
that was removed and created anew. A node is ours while our session owns it and no other record of ours has
it, and each change or removal names the version that it expects.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from peerage.backends.zookeeper.connection import ANY_VERSION, CHANGED, DELETED
from peerage.backends.zookeeper.failures import BadVersion, Failure, Lost, NoAuth, NoNode
from peerage.backends.zookeeper.notes import Connected
from peerage.errors import RegistryClosedError, RegistryDeniedError

if TYPE_CHECKING:
    from peerage.backends.zookeeper.registry import ZooKeeperRegistry

log = logging.getLogger(__name__)

#: Seconds until an attempt that failed for no lasting reason is repeated.
_RETRY: Final = 0.5

#: Seconds that withdrawing waits for an answer: that a connection is half open is noticed much later.
_WITHDRAW_TIMEOUT: Final = 2.0


class ZooKeeperAdvertisement:
    """See :class:`peerage.registry.Advertisement`.

    *prefix* is the node's path without its digits; *check_size* raises RegistryDeniedError for data that is
    too large.
    """

    def __init__(
        self,
        registry: "ZooKeeperRegistry",
        prefix: str,
        data: bytes,
        check_size: Callable[[bytes], None],
    ) -> None:
        self._registry = registry
        self._connection = registry.connection
        self._nodes = registry.nodes
        self._owners = registry.owners
        self._prefix = prefix
        self._folder, _, name = prefix.rpartition("/")
        self._title = name.removesuffix(".") or self._folder
        self._wanted: bytes | None = data
        self._check_size = check_size
        self._pid = os.getpid()
        self._node: str | None = None
        self._session = 0
        self._version = 0
        self._written: bytes | None = None
        # Session and data of a create whose answer was lost: there may be a node of it.
        self._unconfirmed: tuple[int, bytes] | None = None
        # The connection over which the node was seen, and the one on which it is watched: what happens
        # between two connections is reported by no event.
        self._verified: Connected | None = None
        self._watched: Connected | None = None
        self._events = 0
        self.refusal: str | None = None
        """Why the server refuses the record."""
        self._warned_of_refusal = False
        self._warned_of_failure = False
        self._over = False
        self._wake = asyncio.Event()
        self._settled = asyncio.Event()
        self._task = asyncio.create_task(self._run(), name=f"peerage: advertise {self._title}")

    # For the owner

    @property
    def name(self) -> str | None:
        """The current name of the record; see :class:`peerage.registry.Advertisement`."""
        return _name(self._node) if self._node and self._session == self._connection.session else None

    def update(self, data: bytes) -> None:
        """Replace the record; see :class:`peerage.registry.Advertisement`."""
        self._check_open()
        self._check_size(data)
        self._wanted = data
        self.refusal = None
        self.wake()

    async def registered(self) -> str:
        """Wait until the record is there as given last; see :class:`peerage.registry.Advertisement`."""
        while True:
            self._check_open()
            if self.refusal is not None:
                raise RegistryDeniedError(self.refusal)
            node, up = self._node, self._connection.up
            if node is not None and self._written == self._wanted and up is not None and self._verified is up:
                return _name(node)
            self._settled.clear()
            await self._settled.wait()

    async def withdraw(self) -> None:
        """Remove the record; without an answer, return after two seconds and remove it when possible.

        See :class:`peerage.registry.Advertisement`.
        """
        if self._pid != os.getpid():
            return  # the record is the parent's
        self._wanted = None
        self.wake()
        # Without a connection it can't come back: nothing is wanted any more, and the task removes what is
        # left.
        with suppress(TimeoutError):
            async with asyncio.timeout(_WITHDRAW_TIMEOUT):
                while not self._task.done() and self._connection.up is not None:
                    self._settled.clear()
                    await self._settled.wait()

    def _check_open(self) -> None:
        if self._pid != os.getpid():
            raise RegistryClosedError(
                f"The record {self._title} was advertised before a fork and belongs to the parent: "
                "open a registry in the child and advertise another one."
            )
        if self._wanted is None or self._over:
            raise RegistryClosedError(f"The record {self._title} is withdrawn: advertise another one.")

    # For the registry

    def wake(self) -> None:
        """Look again: the connection, or what is wanted, has changed."""
        self._wake.set()
        self._settled.set()

    def node_changed(self, kind: int) -> None:
        """Take note of an event of the node: at most one is sent for each time it was checked."""
        self._events += 1
        self._watched = None
        if kind != CHANGED:
            self._verified = None
        self._wake.set()

    async def close(self) -> None:
        """End without a word to the server: the session ends with the registry."""
        self._task.cancel()
        self._end()
        await asyncio.wait([self._task])

    def _end(self) -> None:
        self._forget_node()
        self._over = True
        self._registry.advertisements.pop(self, None)
        self._settled.set()

    # The task

    async def _run(self) -> None:
        try:
            while not self._over:
                self._wake.clear()
                pause = await self._attempt()
                if not self._over:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await self._wake.wait()
        finally:
            # A program that ends cancels all its tasks, this one included.
            self._end()

    async def _attempt(self) -> float | None:
        """Do what can be done now; return the seconds until the next attempt, None to wait for a change."""
        up = self._connection.up
        if up is None:
            return None
        try:
            await self._reconcile(up)
        except Lost:
            # If the connection is still up, the server dropped the request.
            return _RETRY if self._connection.up is up else None
        except NoAuth:
            if self._wanted is None:
                return None
            self._refuse()
            return self._connection.pauses.refused()
        except Exception as error:  # noqa: BLE001 - logged
            self._warn_of_failure(error)
            return _RETRY
        self._warned_of_failure = False
        return None

    def _warn_of_failure(self, error: Exception) -> None:
        if self._warned_of_failure:
            return
        self._warned_of_failure = True
        aim = self._title, "removed" if self._wanted is None else "registered"
        if isinstance(error, Failure):
            log.warning("The record %s can't be %s for now (%s); trying again", *aim, error)
        else:
            text = "The record %s can't be %s, for an unexpected reason; trying again"
            log.error(text, *aim, exc_info=error)

    def _refuse(self) -> None:
        self.refusal = self._nodes.denial(self._folder)
        if not self._warned_of_refusal:
            log.warning("The record %s isn't registered: %s", self._title, self.refusal)
        self._warned_of_refusal = True
        self._settled.set()

    async def _reconcile(self, up: Connected) -> None:
        """Do what is missing, over this connection."""
        await self._recover_unconfirmed()
        if self._node is not None and self._session != up.session:
            await self._remove_left_over(self._node)
        while True:
            if self._connection.up is not up:
                # Perhaps of another session, whose node would be taken for this session's.
                raise Lost("there is another connection")
            node, wanted = self._node, self._wanted
            if node is None:
                if wanted is None:
                    self._end()
                    return
                await self._create(up, wanted)
            elif self._verified is not up:
                await self._verify(up, node)
            elif wanted is None:
                await self._remove(node)
            elif self._written != wanted:
                await self._write(node, wanted)
            else:
                self.refusal, self._warned_of_refusal = None, False
                self._settled.set()
                if self._watched is up:
                    return
                # Last, so that registered() doesn't wait for it.
                await self._verify(up, node)

    async def _recover_unconfirmed(self) -> None:
        """Take the node of a create whose answer was lost: it is ours, if its session lives."""
        if self._unconfirmed is None:
            return
        session, data = self._unconfirmed
        node = await self._nodes.find_created(self._prefix, session, data, self._owners)
        if node is not None:
            self._take_node(node, session, data)
        self._unconfirmed = None

    async def _create(self, up: Connected, data: bytes) -> None:
        if not self._nodes.is_prepared(self._folder):
            await self._nodes.prepare(self._folder)
            return  # something else may be wanted by now
        try:
            path = await self._connection.create(self._prefix, data, ephemeral=True)
        except Lost:
            self._unconfirmed = (up.session, data)  # it may have been carried out
            raise
        except NoNode:
            await self._nodes.prepare(self._folder)
            return
        self._take_node(path, up.session, data)
        self._verified = up

    async def _verify(self, up: Connected, node: str) -> None:
        """Check that the node is there, ours and as it was written, and watch it for changes."""
        events = self._events
        try:
            status = await self._connection.status(node, watch=True)
            if status is None:
                # This server may not have applied yet what the one before it has confirmed.
                await self._connection.sync(node)
                status = await self._connection.status(node, watch=True)
        except NoAuth:
            # The node is there: a server from 3.10 on asks for the right to read before it says more.
            self._verified, self._watched, self._version = up, up, ANY_VERSION
            return
        if status is None or status.ephemeralOwner != self._session or self._owners.get(node) is not self:
            self._forget_node()
            return
        if status.version != self._version:
            self._written, self._version = None, status.version
        if events == self._events:
            self._verified = self._watched = up

    async def _write(self, node: str, data: bytes) -> None:
        before, self._written = self._written, None
        try:
            self._version = await self._connection.write(node, data, self._version)
        except NoNode:
            self._forget_node()  # removed by another program: it is still wanted
        except BadVersion:
            self._verified = None
        except Lost:
            raise  # it may have been carried out, so the data has to be written whatever it is by then
        except Failure:
            self._written = before
            raise
        else:
            self._written = data

    async def _remove(self, node: str) -> None:
        try:
            await self._connection.delete(node, self._version)
        except BadVersion:
            self._verified = None
            return
        except NoAuth:
            self._warn_unremovable(node)
        self._forget_node()

    async def _remove_left_over(self, node: str) -> None:
        """Remove the node of an earlier session of ours, which would otherwise stay until that times out."""
        try:
            status = await self._connection.status(node)
            # After a server lost its data the name may belong to another program's node.
            if status is not None and status.ephemeralOwner == self._session:
                await self._connection.delete(node)
        except NoAuth:
            self._warn_unremovable(node)
        self._forget_node()

    def _warn_unremovable(self, node: str) -> None:
        log.warning(
            "The record %s can't be removed from %s before its session ends: "
            "the access list of %s doesn't let this process remove it",
            _name(node),
            self._connection.location.url,
            self._folder,
        )

    # Which node is ours

    def _take_node(self, node: str, session: int, data: bytes) -> None:
        other = self._owners.get(node)
        if other is not None and other is not self:
            # Its node was removed with the folder, and the event of that hasn't arrived yet.
            other.node_changed(DELETED)
        self._node, self._session, self._version, self._written = node, session, 0, data
        self._owners[node] = self
        self._registry.own_records.add(_name(node))

    def _forget_node(self) -> None:
        if self._node is not None and self._owners.get(self._node) is self:
            del self._owners[self._node]
        self._node = self._written = self._verified = self._watched = None


def _name(node: str) -> str:
    return node.rpartition("/")[2]
