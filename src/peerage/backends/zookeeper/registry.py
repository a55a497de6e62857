"""The port's side of a ZooKeeper registry."""

import asyncio
import os
import ssl
import time
from contextlib import suppress
from typing import Final

from peerage.backends.feed import Feed
from peerage.backends.zookeeper.advertisement import Claims, ZooKeeperAdvertisement
from peerage.backends.zookeeper.advice import advice
from peerage.backends.zookeeper.connection import DELETED, Connection
from peerage.backends.zookeeper.failures import Failure, Lost, NoAuth, NoNode
from peerage.backends.zookeeper.folder import Folder
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.nodes import denial, may_create, open_to_all
from peerage.backends.zookeeper.secrets import ZooKeeperSecrets
from peerage.backends.zookeeper.serverversion import ask_version
from peerage.errors import RegistryClosedError
from peerage.registry import Health, check_name, check_size

__all__ = ["ZooKeeperRegistry"]

#: Seconds that inspect() waits for a connection that was only just begun, then for each of two answers.
_FIRST: Final = 0.4
_PATIENCE: Final = 0.25


class ZooKeeperRegistry:
    """A registry of a cluster; made by :func:`peerage.backends.zookeeper.open_zookeeper`.

    Nothing is connected before the first call that needs it. One connection serves everything: watches,
    records and secrets.
    """

    def __init__(self, location: Location, context: ssl.SSLContext | None) -> None:
        self._location = location
        self._context = context
        self._pid = os.getpid()
        self._closed = False
        self._closing: asyncio.Future[None] | None = None
        self._connection = Connection(location, context)
        self._folder = Folder(self._connection, location)
        self._claims = Claims()
        self._advertisements: dict[ZooKeeperAdvertisement, None] = {}
        self._secrets = ZooKeeperSecrets(self._connection, location, self._enter, self._claims.told)
        self._connection.on_change.append(self._on_change)
        self._connection.on_event.append(self._on_event)

    @property
    def url(self) -> str:
        """The registry's URL, without credentials."""
        return self._location.url

    @property
    def secrets(self) -> ZooKeeperSecrets:
        """Secrets in persistent nodes."""
        return self._secrets

    def advertise(self, name: str, data: bytes) -> ZooKeeperAdvertisement:
        """Begin to advertise; see :meth:`peerage.registry.Registry.advertise`.

        Raises:
            RegistryDenied: *name* or the size of *data* is impossible.
            RegistryClosedError: after aclose(), or in a forked child.
        """
        check_name(name)
        check_size(data)
        self._enter()
        advertisement = ZooKeeperAdvertisement(
            self._connection,
            self._location,
            self._claims,
            name=name,
            data=data,
            on_end=lambda ended: self._advertisements.pop(ended, None),
        )
        self._advertisements[advertisement] = None
        return advertisement

    def watch(self) -> Feed:
        """Begin a watch of its own; see :meth:`peerage.registry.Registry.watch`.

        Raises:
            RegistryClosedError: after aclose(), or in a forked child.
        """
        self._enter()
        return self._folder.watch()

    async def inspect(self) -> Health:
        """Say how the registry is doing; see :meth:`peerage.registry.Registry.inspect`.

        Raises:
            RegistryClosedError: after aclose(), or in a forked child.
        """
        self._enter()
        with suppress(TimeoutError, Failure):
            async with asyncio.timeout(_FIRST):
                await self._connection.connected()
        up = self._connection.up
        if up is None:
            return self._out_of_reach("it hasn't answered yet")
        version, obstacle = None, self._obstacle()
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout(_PATIENCE):
                version = await ask_version(up.server, up.host, self._context)
        try:
            forbidden, warning = await self._access()
        except Lost as lost:
            return self._out_of_reach(str(lost))
        obstacle = obstacle or forbidden
        stale = self._folder.problem
        return self._health(
            state="connected" if stale is None else "stale",
            writable=stale is None and obstacle is None,
            problem=stale or obstacle or warning,
            version=version,
        )

    async def aclose(self) -> None:
        """Withdraw everything, end every watch and the session, within a second; may be called twice."""
        if self._pid != os.getpid():
            return  # the child has nothing of it
        if self._closing is None:
            self._closed = True
            # A task of its own: whoever is cancelled meanwhile leaves nothing half closed.
            self._closing = asyncio.ensure_future(self._close())
        await asyncio.shield(self._closing)

    # Within

    async def _close(self) -> None:
        self._secrets.close()
        await asyncio.gather(*(each.close() for each in tuple(self._advertisements)))
        await self._folder.aclose()
        # The records are the session's: with its end the server removes them.
        await self._connection.aclose()

    def _enter(self) -> None:
        if self._pid != os.getpid():
            raise RegistryClosedError(
                f"The registry {self.url} was opened before a fork: open another one in the child."
            )
        if self._closed:
            raise RegistryClosedError(f"The registry {self.url} is closed: open another one.")
        self._connection.start()

    def _on_change(self) -> None:
        for advertisement in self._advertisements:
            advertisement.poke()

    def _on_event(self, kind: int, path: str) -> None:
        if kind != DELETED:
            return
        folder, _, name = path.rpartition("/")
        owner = self._claims.nodes.get(name) if folder == self._location.folder else None
        if owner is not None:
            owner.doubt()

    def _obstacle(self) -> str | None:
        return next(
            (each.refusal for each in self._advertisements if each.refusal is not None),
            None,
        )

    async def _access(self) -> tuple[str | None, str | None]:
        """Return what keeps this process from advertising, and what strangers may do but shouldn't."""
        folder, closed = self._location.folder, self._location.acl == "creator"
        try:
            async with asyncio.timeout(_PATIENCE):
                acl = await self._connection.acl_of(folder)
        except NoNode:
            return None, None
        except NoAuth:
            return denial(self._location), None  # who may read a node may see its list
        except Lost:
            raise
        except (TimeoutError, Failure) as failure:
            reason = str(failure) or "no answer"
            return None, f"The access list of {folder} couldn't be read ({reason})." if closed else None
        # A server may let pass what its lists forbid: to an administrator, or everybody.
        registered = any(each.node is not None for each in self._advertisements)
        if not registered and not may_create(acl, self._location.credentials):
            return denial(self._location), None
        if closed and open_to_all(acl):
            return None, (
                f"Anybody may change or remove records: set the access list of {folder}, "
                "or write acl=creator in the registry's URL."
            )
        return None, None

    def _out_of_reach(self, reason: str) -> Health:
        """Return what is known without a server; *reason*: if nothing else is said of why."""
        problem = advice(self._connection.reason or reason, self._location)
        return self._health(state="stale", writable=False, problem=problem)

    def _health(
        self, *, state: str, writable: bool, problem: str | None, version: str | None = None
    ) -> Health:
        up = self._connection.up
        details = {"session": "none"} if up is None else {"session": f"{up.session & (1 << 64) - 1:#x}"}
        if self._folder.count is not None:
            details["records"] = str(self._folder.count)
        return Health(
            url=self.url,
            state=state,
            since=time.monotonic() - self._connection.since,
            writable=writable,
            server=None if up is None else up.server,
            version=version,
            session_timeout=None if up is None else up.session_timeout,
            problem=problem,
            details=details,
        )
