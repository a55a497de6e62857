"""Secrets in ZooKeeper: persistent nodes under absolute paths, watched one by one."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, TypeVar

from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.failures import BadVersion, Failure, Lost, NoAuth, NodeExists, NoNode
from peerage.backends.zookeeper.location import flaw
from peerage.backends.zookeeper.nodes import Nodes
from peerage.errors import RegistryClosedError, RegistryDeniedError
from peerage.registry import check_size

if TYPE_CHECKING:
    from peerage.backends.zookeeper.notes import Connected

log = logging.getLogger(__name__)

#: Seconds until what failed for no lasting reason is repeated.
_RETRY: Final = 0.5

#: Characters of a name, at most: a server closes the connection that sends it a megabyte.
_LONGEST: Final = 1000

_Answer = TypeVar("_Answer")


class ZooKeeperSecrets:
    """See :class:`peerage.registry.Secrets`.

    All callers of obtain() get the same value. Of several processes that need a new secret at the same time,
    each may call *make*; the first value that reaches the server is the one that all get. Each call begins
    with *use*, which raises RegistryClosedError if the registry can't be used.
    """

    def __init__(self, connection: Connection, nodes: Nodes, use: Callable[[], None]) -> None:
        self._connection = connection
        self._location = connection.location
        self._nodes = nodes
        self._use = use
        self._failing: set[str] = set()
        self._followers: dict[tuple[str, asyncio.Event], None] = {}
        self._closed = asyncio.Event()
        connection.on_event.append(self._on_event)
        connection.on_change.append(self._on_change)

    async def obtain(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return the value, making it if there is none or an empty one; waits in an outage.

        See :meth:`peerage.registry.Secrets.obtain`; it raises RegistryClosedError if closed meanwhile.
        """
        _check_name(name, self._location.folder)
        self._use()
        made: bytes | None = None

        async def look_or_make() -> bytes:
            nonlocal made
            try:
                # Before reading: once it is closed, no other can change it any more.
                await self._protect(name)
                value, status = await self._connection.read(name)
            except NoNode:
                value, status = b"", None
            if value:
                return value
            if made is None:
                made = make()
                check_size(made)
            if status is None:
                await self._nodes.ensure(_folder(name))
                await self._connection.create(name, made)
            else:
                await self._fill(name, made, status.version)
            return made

        return await self._repeat(name, look_or_make)

    async def _fill(self, name: str, value: bytes, version: int) -> None:
        """Give a value to a node that was created without one, by hand or by a process that died then."""
        try:
            await self._connection.write(name, value, version)
        except NoAuth:
            raise RegistryDeniedError(
                f"The secret {name!a} of {self._location.url} is empty, and this process may not change that "
                "node: have it removed, and the next process that needs it makes another."
            ) from None

    def follow(self, name: str) -> AsyncIterator[bytes]:
        """Yield the value; see :meth:`peerage.registry.Secrets.follow`."""
        _check_name(name, self._location.folder)
        self._use()
        return self._follow(name)

    async def _follow(self, name: str) -> AsyncGenerator[bytes]:
        changed = asyncio.Event()
        self._followers[name, changed] = None
        last: bytes | None = None
        try:
            while True:
                # Before reading: each later change sets it again.
                changed.clear()
                value = await self._repeat(name, partial(self._look, name))
                if value and value != last:  # an empty one will be filled
                    last = value
                    yield value
                else:
                    await changed.wait()
        except RegistryClosedError:
            return
        finally:
            del self._followers[name, changed]

    async def _look(self, name: str) -> bytes | None:
        """Return the value, and watch the node for the next one."""
        while True:
            try:
                value, _ = await self._connection.read(name, watch=True)
            except NoNode:
                if not await self._connection.status(name, watch=True):
                    return None
            else:
                await self._protect(name)
                return value

    def close(self) -> None:
        """End all calls that follow or wait."""
        self._closed.set()
        self._on_change()

    # Failures

    async def _repeat(self, name: str, attempt: Callable[[], Awaitable[_Answer]]) -> _Answer:
        """Repeat *attempt* until the server has answered it; RegistryDeniedError if it refuses access."""
        while True:
            up = await self._connected()
            try:
                answer = await attempt()
            except (BadVersion, NodeExists, NoNode):
                pass  # another process made, filled or removed it a moment ago: look again
            except Lost:
                # Whether it was carried out shows over the next connection. If this one is still up, the
                # server dropped the request.
                if self._connection.up is up:
                    await self._pause()
            except NoAuth:
                raise RegistryDeniedError(
                    f"{self._location.url} doesn't let this process use the secret {name!a}: "
                    "check its credentials and that node's access list."
                ) from None
            except Failure as failure:
                self._warn(name, failure)
                await self._pause()
            else:
                self._failing.discard(name)
                return answer

    async def _connected(self) -> "Connected":
        with suppress(Lost):
            up = await self._connection.wait_connected()
            if not self._closed.is_set():
                return up
        raise RegistryClosedError(
            f"The registry {self._location.url} was closed during the wait for a secret."
        )

    async def _pause(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(_RETRY):
                await self._closed.wait()

    def _warn(self, name: str, failure: Failure) -> None:
        if name not in self._failing:
            self._failing.add(name)
            log.warning("The secret %s of %s: %s; trying again", ascii(name), self._location.url, failure)

    # Access

    async def _protect(self, name: str) -> None:
        """Close a secret and the folder it is in, where that is asked for; log that they are or were open.

        It raises NoNode if there is no such secret.
        """
        if self._location.acl != "creator":
            return
        exposed, left = False, False
        for path in (_folder(name) or "/", name):
            if await self._nodes.is_open(path):
                exposed = True
                left = not await self._nodes.close(path) or left
        if not exposed or name in self._nodes.warned:
            return
        self._nodes.warned.add(name)
        if left:
            log.warning(
                "Every client may change the secret %s of %s, and may have made it: set the access lists of "
                "that node and of the one above%s, and remove it first if it isn't known to be yours",
                ascii(name),
                self._location.url,
                ", or write acl=creator in the registry's URL to have that done"
                * (self._nodes.is_ours(name) and not self._location.explicit_acl),
            )
        else:
            log.warning(
                "Every client could change the secret %s of %s until now, and may have made it: remove it if "
                "it isn't known to be yours, and the next process that needs it makes another",
                ascii(name),
                self._location.url,
            )

    # Called by the connection

    def _on_event(self, _kind: int, path: str) -> None:
        for name, changed in self._followers:
            if name == path:
                changed.set()

    def _on_change(self) -> None:
        for _, changed in self._followers:
            changed.set()


def _folder(name: str) -> str:
    return name.rpartition("/")[0]


def _check_name(name: str, records: str) -> None:
    if len(name) > _LONGEST:
        raise RegistryDeniedError(
            f"A name of {len(name)} characters can't name a secret: write a path of {_LONGEST} at most."
        )
    if not name.startswith("/") or name.endswith("/"):
        raise RegistryDeniedError(
            f"{name!a} can't name a secret: write an absolute path such as /asab/auth/key, with no '/' at "
            "its end."
        )
    for number, component in enumerate(name[1:].split("/"), 1):
        problem = flaw(component, number)
        if problem is not None:
            raise RegistryDeniedError(f"{name!a} can't name a secret: component {number} {problem}.")
    if name.startswith(f"{records}/"):
        raise RegistryDeniedError(
            f"{name!a} can't name a secret: what is in {records!a} is taken for a record. Write a path "
            "beside that."
        )
    if f"{records}/".startswith(f"{name}/"):
        raise RegistryDeniedError(
            f"{name!a} can't name a secret: {records!a} is in it. Write a path beside that."
        )
