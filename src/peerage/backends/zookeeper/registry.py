"""The port, implemented by ZooKeeper."""

import asyncio
import os
import re
import ssl
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from peerage.backends.feed import Feed
from peerage.backends.zookeeper.advertisement import ZooKeeperAdvertisement
from peerage.backends.zookeeper.advice import advice
from peerage.backends.zookeeper.connection import CHILDREN, ClientFactory, Connection
from peerage.backends.zookeeper.failures import Failure, Lost, NoAuth, NoNode
from peerage.backends.zookeeper.folder import Folder
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.nodes import Nodes
from peerage.backends.zookeeper.notes import Connected
from peerage.backends.zookeeper.pauses import Pauses
from peerage.backends.zookeeper.secrets import ZooKeeperSecrets
from peerage.backends.zookeeper.session import Client
from peerage.diagnosis import Finding, LookUp
from peerage.errors import RegistryClosedError, RegistryDeniedError, RegistryError
from peerage.registry import Health, OwnRecords, check_name, check_size

#: Seconds from the call of inspect() until there must be a connection, and until there must be answers.
_CONNECT_TIMEOUT: Final = 0.4
_ANSWER_TIMEOUT: Final = 0.85

_VERSION: Final = re.compile(rb"Zookeeper version: ([0-9][0-9.]*)")


class ZooKeeperRegistry:
    """A registry of a cluster; made by :func:`peerage.backends.zookeeper.open_zookeeper`.

    Nothing is connected before the first call that needs it. One connection serves everything: watches,
    records and secrets. *make_client* makes what talks to the servers.
    """

    def __init__(
        self,
        location: Location,
        context: ssl.SSLContext | None,
        pauses: Pauses | None = None,
        make_client: ClientFactory = Client,
    ) -> None:
        self.location = location
        self.url = location.url
        """Without credentials."""
        self.open_to_all = location.acl == "open"
        """Whether every client may write to what this process creates here."""
        self.own_records = OwnRecords()
        self.connection = Connection(location, context, pauses, make_client)
        self.nodes = Nodes(self.connection)
        self._folder = Folder(self.connection)
        self.secrets = ZooKeeperSecrets(self.connection, self.nodes, self.use)
        self._context = context
        self._pid = os.getpid()
        self._closed = False
        self._closing: asyncio.Future[None] | None = None
        self.advertisements: dict[ZooKeeperAdvertisement, None] = {}
        """Those that aren't over."""
        self.owners: dict[str, ZooKeeperAdvertisement] = {}
        """The advertisement that each node of this process belongs to, by the node's path."""
        self.connection.on_change.append(self._on_change)
        self.connection.on_event.append(self._on_event)

    def advertise(self, name: str, data: bytes) -> ZooKeeperAdvertisement:
        """Begin to advertise; see :meth:`peerage.registry.Registry.advertise`."""
        check_name(name)
        return self.keep_node(f"{self.location.folder}/{name}.", data, check_size)

    def keep_node(
        self, path: str, data: bytes, check_size: Callable[[bytes], None]
    ) -> ZooKeeperAdvertisement:
        """Begin to keep *data* at an ephemeral node ``<path><10 digits>``, as if it were a record.

        Args:
            path: absolute, and one that ZooKeeper accepts; need not be in the folder of the records.
            data: what the node holds.
            check_size: raises RegistryDeniedError for data that is too large.

        Raises:
            RegistryDeniedError: the size of *data* is impossible.
            RegistryClosedError: after aclose(), or in a forked child.
        """
        check_size(data)
        self.use()
        advertisement = ZooKeeperAdvertisement(self, path, data, check_size)
        self.advertisements[advertisement] = None
        return advertisement

    def watch(self) -> Feed:
        """Begin a watch; see :meth:`peerage.registry.Registry.watch`."""
        self.use()
        return self._folder.watch()

    async def inspect(self) -> Health:
        """Return how the registry is doing; see :meth:`peerage.registry.Registry.inspect`."""
        self.use()
        begin = asyncio.get_running_loop().time()
        with suppress(TimeoutError, Failure):
            async with asyncio.timeout_at(begin + _CONNECT_TIMEOUT):
                await self.connection.wait_connected()
        while (up := self.connection.up) is not None:
            # Answers over one connection say nothing about the next one.
            async with asyncio.TaskGroup() as both:
                version = both.create_task(self._version(up, begin + _ANSWER_TIMEOUT))
                access = both.create_task(self._access(begin + _ANSWER_TIMEOUT))
            answer = access.result()
            if self.connection.up is not up:
                continue
            if isinstance(answer, Lost):
                return self._out_of_reach(str(answer))  # the loss isn't reported yet
            return self._connected_health(up, version.result(), *answer)
        self.use()
        return self._out_of_reach("it hasn't answered yet")

    async def diagnose(self, look_up: LookUp, secret: str, /) -> list[Finding]:
        """Examine the servers and access lists; see :class:`peerage.diagnosis.Diagnosable`."""
        # Only diagnoses need it.
        from peerage.backends.zookeeper.diagnosis import examine  # noqa: PLC0415 - see above

        self.use()
        return await examine(self.connection, self._context, look_up, secret)

    async def remove_record(self, name: str) -> None:
        """Remove the record of a dead process; see :meth:`peerage.registry.Removal.remove_record`."""
        self.use()
        check_name(name)
        try:
            await self.connection.delete(f"{self.location.folder}/{name}")
        except NoNode:
            return
        except NoAuth:
            raise RegistryDeniedError(self.nodes.denial(self.location.folder)) from None
        except Failure as failure:
            raise RegistryError(f"{self.url} hasn't done it: {failure}.") from None

    async def aclose(self) -> None:
        """Withdraw everything, end every watch and the session, within a second; may be called twice."""
        if self._pid != os.getpid():
            return  # the session belongs to the parent
        if self._closing is None:
            self._closed = True
            # A separate task, so that a caller that is cancelled leaves nothing half closed.
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    # For peerage.asab, which uses the same session

    def use(self) -> None:
        """Begin to connect, on the running event loop, as check_open() allows; may be called again."""
        self.check_open()
        self.connection.start()

    def check_open(self) -> None:
        """Raise RegistryClosedError after aclose(), and in a forked child."""
        if self._pid != os.getpid():
            raise RegistryClosedError(
                f"The registry {self.url} was opened before a fork: open another one in the child."
            )
        if self._closed:
            raise RegistryClosedError(f"The registry {self.url} is closed: open another one.")

    # Within

    async def _close(self) -> None:
        self.secrets.close()
        await asyncio.gather(*(each.close() for each in tuple(self.advertisements)))
        await self._folder.aclose()
        # With the session the server removes the records.
        await self.connection.aclose()

    def _on_change(self) -> None:
        for advertisement in self.advertisements:
            advertisement.wake()

    def _on_event(self, kind: int, path: str) -> None:
        if kind != CHILDREN and (owner := self.owners.get(path)) is not None:
            owner.node_changed(kind)

    async def _version(self, up: Connected, deadline: float) -> str | None:
        """Return the version of the server, None if it says none.

        It is asked by the only four-letter word that is enabled by default.
        """
        address, _, port = up.server.rpartition(":")
        hostname = None if self._context is None else up.host
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout_at(deadline):
                reader, writer = await asyncio.open_connection(
                    address.strip("[]"), int(port), ssl=self._context, server_hostname=hostname
                )
                try:
                    writer.write(b"srvr")
                    found = _VERSION.search(await reader.read(200))
                finally:
                    # Without waiting for the end: the answer is all that is needed.
                    writer.transport.abort()
                return None if found is None else found[1].decode()
        return None

    async def _access(self, deadline: float) -> tuple[str | None, str | None] | Lost:
        """Return what keeps this process from advertising, and what every client may do but shouldn't.

        Or the loss of the connection, if that is the answer.
        """
        folder = self.location.folder
        try:
            async with asyncio.timeout_at(deadline):
                obstacle = await self.nodes.find_obstacle()
        except Lost as lost:
            return lost
        except (TimeoutError, Failure) as failure:
            return (
                f"The server didn't answer whether records can be created in {folder} "
                f"({str(failure) or 'too slow'}): ask again, and if that doesn't help, see "
                "whether the server is overloaded."
            ), None
        if self.location.acl != "creator":
            return obstacle, None
        try:
            async with asyncio.timeout_at(deadline):
                exposed = await self.nodes.is_open(folder)
        except NoNode:
            return obstacle, None  # there is no list to warn about
        except (TimeoutError, Failure) as failure:
            return obstacle, (
                f"The access list of {folder} couldn't be read ({str(failure) or 'too slow'}): ask again."
            )
        return obstacle, self.nodes.exposure(folder) if exposed else None

    def _connected_health(
        self, up: Connected, version: str | None, obstacle: str | None, warning: str | None
    ) -> Health:
        stale = self._folder.problem
        refusal = next((each.refusal for each in self.advertisements if each.refusal is not None), None)
        obstacle = refusal or obstacle
        return self._health(
            "connected" if stale is None else "stale",
            f"{up.session & (1 << 64) - 1:#x}",
            writable=obstacle is None,
            problem=stale or obstacle or warning,
            server=up.server,
            version=version,
            session_timeout=up.session_timeout,
        )

    def _out_of_reach(self, reason: str) -> Health:
        """Return what is known without a connection, for *reason* if no other reason is known."""
        problem = advice(self.connection.reason or reason, self.location)
        return self._health("stale", "none", writable=False, problem=problem)

    def _health(self, state: str, session: str, **what: Any) -> Health:
        details = {"session": session}
        if self._folder.count is not None:
            details["records"] = str(self._folder.count)
        since = time.monotonic() - self.connection.since
        return Health(url=self.url, state=state, since=since, details=details, **what)
