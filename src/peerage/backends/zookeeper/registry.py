"""The port's side of a ZooKeeper registry."""

import asyncio
import os
import ssl
import time
from contextlib import suppress
from typing import Any, Final

from peerage.backends.feed import Feed
from peerage.backends.zookeeper.advertisement import Claims, ZooKeeperAdvertisement
from peerage.backends.zookeeper.advice import advice
from peerage.backends.zookeeper.connection import CHILDREN, Connection
from peerage.backends.zookeeper.failures import Failure, Lost, NoNode
from peerage.backends.zookeeper.folder import Folder
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.nodes import ensure, exposure, is_open
from peerage.backends.zookeeper.notes import Up
from peerage.backends.zookeeper.paths import flaw
from peerage.backends.zookeeper.permission import find_obstacle
from peerage.backends.zookeeper.secrets import ZooKeeperSecrets
from peerage.backends.zookeeper.serverversion import ask_version
from peerage.backends.zookeeper.session import KazooClient
from peerage.backends.zookeeper.states import SessionStates
from peerage.errors import RegistryClosedError, RegistryDeniedError
from peerage.registry import Health, OwnRecords, check_name, check_size

__all__ = ["ZooKeeperRegistry"]

#: Seconds in which inspect() has to have a connection, if it was only just begun, and then its answers.
_FIRST: Final = 0.4
_PATIENCE: Final = 0.85

#: Characters of a path and bytes of a node, at most: a server hangs up on whoever sends it over a megabyte.
_LONGEST_PATH: Final = 1000
_LARGEST_NODE: Final = 1_000_000


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
        self._states = SessionStates(self._connection)
        self._told: set[str] = set()
        self._claims: dict[str, Claims] = {}
        self._advertisements: dict[ZooKeeperAdvertisement, None] = {}
        self._secrets = ZooKeeperSecrets(self._connection, location, self._enter, self._told)
        self.own_records = OwnRecords()
        """The names that the records advertised here have or had."""
        self._connection.on_change.append(self._on_change)
        self._connection.on_event.append(self._on_event)

    @property
    def url(self) -> str:
        """The registry's URL, without credentials."""
        return self._location.url

    @property
    def open_to_all(self) -> bool:
        """Whether anybody may write to what this process makes here."""
        return self._location.acl == "open"

    @property
    def secrets(self) -> ZooKeeperSecrets:
        """Secrets in persistent nodes."""
        return self._secrets

    def advertise(self, name: str, data: bytes) -> ZooKeeperAdvertisement:
        """Begin to advertise; see :meth:`peerage.registry.Registry.advertise`.

        Raises:
            RegistryDeniedError: *name* or the size of *data* is impossible.
            RegistryClosedError: after aclose(), or in a forked child.
        """
        check_name(name)
        return self._advertise(f"{self._location.folder}/{name}.", data)

    def advertise_at(self, path: str, data: bytes) -> ZooKeeperAdvertisement:
        """Begin to keep *data* at a node ``<path><10 digits>``, as if it were a record.

        Args:
            path: absolute; need not be in the folder of the records.
            data: anything, if there at most 1,000,000 bytes.

        Raises:
            RegistryDeniedError: *path* or the size of *data* is impossible.
            RegistryClosedError: after aclose(), or in a forked child.
        """
        _check_path(path)
        return self._advertise(path, data)

    def watch(self) -> Feed:
        """Begin a watch of its own; see :meth:`peerage.registry.Registry.watch`.

        Raises:
            RegistryClosedError: after aclose(), or in a forked child.
        """
        self._enter()
        return self._folder.watch()

    @property
    def client(self) -> KazooClient:
        """The client of kazoo whose session all this uses, for whatever the registry doesn't do.

        Its methods wait: call them from a thread. It is closed with the registry; its stop() ends the
        session, and another one begins. A new client takes its place if the server refuses it, which waits
        for somebody to change something, so don't keep it.

        Asked for where no event loop runs, it doesn't connect yet, and its calls fail until it does.

        Raises:
            RegistryClosedError: after aclose(), or in a forked child.
        """
        self._check_open()
        if _is_in_a_loop():
            self._connection.start()
        return self._connection.client

    @property
    def path(self) -> str:
        """Path of the registry, without a slash at its end: ``/asab``; empty for the root."""
        return self._location.path

    @property
    def states(self) -> SessionStates:
        """What becomes of the session."""
        return self._states

    def connect(self) -> None:
        """Begin to connect now, not with the first call that needs it; needs the running event loop.

        Raises:
            RegistryClosedError: after aclose(), or in a forked child.
        """
        self._enter()

    async def ensure_path(self) -> None:
        """Make :attr:`path`, unless it is there, or can't be made now or ever."""
        self._enter()
        if self.path:
            with suppress(Failure):
                await ensure(self._connection, self._location, self.path, self._told)

    async def inspect(self) -> Health:
        """Say how the registry is doing; see :meth:`peerage.registry.Registry.inspect`.

        Raises:
            RegistryClosedError: after aclose(), or in a forked child.
        """
        self._enter()
        begin = asyncio.get_running_loop().time()
        with suppress(TimeoutError, Failure):
            async with asyncio.timeout_at(begin + _FIRST):
                await self._connection.connected()
        while (up := self._connection.up) is not None:
            # What was said over one connection isn't known of the next.
            async with asyncio.TaskGroup() as both:
                version = both.create_task(self._version(up, begin + _PATIENCE))
                access = both.create_task(self._access(begin + _PATIENCE))
            answer = access.result()
            if self._connection.up is not up:
                continue
            if isinstance(answer, Lost):
                return self._out_of_reach(str(answer))  # its end isn't heard yet
            return self._connected_health(up, version.result(), *answer)
        self._enter()
        return self._out_of_reach("it hasn't answered yet")

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

    def _advertise(self, path: str, data: bytes) -> ZooKeeperAdvertisement:
        folder, _, prefix = path.rpartition("/")
        check = check_size if folder == self._location.folder else _check_node_size
        check(data)
        self._enter()
        advertisement = ZooKeeperAdvertisement(
            self._connection,
            self._location,
            self._claims.setdefault(folder, Claims(folder, self._told)),
            prefix=prefix,
            data=data,
            check=check,
            own_records=self.own_records,
            on_end=lambda ended: self._advertisements.pop(ended, None),
        )
        self._advertisements[advertisement] = None
        return advertisement

    async def _close(self) -> None:
        self._secrets.close()
        await asyncio.gather(*(each.close() for each in tuple(self._advertisements)))
        await self._folder.aclose()
        self._states.end()
        # The records are the session's: with its end the server removes them.
        await self._connection.aclose()

    def _enter(self) -> None:
        self._check_open()
        self._connection.start()

    def _check_open(self) -> None:
        if self._pid != os.getpid():
            raise RegistryClosedError(
                f"The registry {self.url} was opened before a fork: open another one in the child."
            )
        if self._closed:
            raise RegistryClosedError(f"The registry {self.url} is closed: open another one.")

    def _on_change(self) -> None:
        for advertisement in self._advertisements:
            advertisement.poke()

    def _on_event(self, kind: int, path: str) -> None:
        if kind == CHILDREN:
            return
        folder, _, name = path.rpartition("/")
        claims = self._claims.get(folder)
        owner = None if claims is None else claims.nodes.get(name)
        if owner is not None:
            owner.happened(kind)

    async def _version(self, up: Up, deadline: float) -> str | None:
        with suppress(TimeoutError, OSError):
            async with asyncio.timeout_at(deadline):
                return await ask_version(up.server, up.host, self._context)
        return None

    async def _access(self, deadline: float) -> tuple[str | None, str | None] | Lost:
        """Return what keeps this process from advertising, and what strangers may do but shouldn't.

        Or the loss of the connection, if that is the answer.
        """
        folder = self._location.folder
        try:
            async with asyncio.timeout_at(deadline):
                obstacle = await find_obstacle(self._connection, self._location)
        except Lost as lost:
            return lost
        except (TimeoutError, Failure) as failure:
            return (
                f"Whether records can be made in {folder} wasn't answered ({str(failure) or 'too slow'}): "
                "ask again, and if that doesn't help, see whether the server is overloaded."
            ), None
        if self._location.acl != "creator":
            return obstacle, None
        try:
            async with asyncio.timeout_at(deadline):
                exposed = await is_open(self._connection, folder)
        except NoNode:
            return obstacle, None  # there is nothing to be changed
        except (TimeoutError, Failure) as failure:
            return obstacle, (
                f"The access list of {folder} couldn't be read ({str(failure) or 'too slow'}): ask again."
            )
        return obstacle, exposure(self._location, folder, self._told) if exposed else None

    def _connected_health(
        self, up: Up, version: str | None, obstacle: str | None, warning: str | None
    ) -> Health:
        stale = self._folder.problem
        refusal = next((each.refusal for each in self._advertisements if each.refusal is not None), None)
        obstacle = stale or refusal or obstacle
        return self._health(
            "connected" if stale is None else "stale",
            f"{up.session & (1 << 64) - 1:#x}",
            writable=obstacle is None,
            problem=obstacle or warning,
            server=up.server,
            version=version,
            session_timeout=up.session_timeout,
        )

    def _out_of_reach(self, reason: str) -> Health:
        """Return what is known without a server; *reason*: if nothing else is said of why."""
        problem = advice(self._connection.reason or reason, self._location)
        return self._health("stale", "none", writable=False, problem=problem)

    def _health(self, state: str, session: str, **what: Any) -> Health:
        details = {"session": session}
        if self._folder.count is not None:
            details["records"] = str(self._folder.count)
        since = time.monotonic() - self._connection.since
        return Health(url=self.url, state=state, since=since, details=details, **what)


def _is_in_a_loop() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _check_path(path: str) -> None:
    # The digits are part of the last component.
    first, *components = f"{path}0".split("/")
    problems = [flaw(component, number) for number, component in enumerate(components, 1)]
    if first or not components or len(path) > _LONGEST_PATH or any(problems):
        reason = next((problem for problem in problems if problem), "isn't absolute or is too long")
        raise RegistryDeniedError(
            f"{path[:_LONGEST_PATH]!a} can't be the path of a node: it, or a component of it, {reason}. "
            f"Write an absolute path such as /asab/run/name. of at most {_LONGEST_PATH} characters."
        )


def _check_node_size(data: bytes) -> None:
    if len(data) > _LARGEST_NODE:
        raise RegistryDeniedError(
            f"The node has {len(data)} bytes, ZooKeeper keeps at most {_LARGEST_NODE}: write less into it."
        )
