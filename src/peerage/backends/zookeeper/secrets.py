"""Secrets in ZooKeeper: persistent nodes under absolute paths, watched one by one."""

import asyncio
import logging
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Final

from peerage.backends.zookeeper.connection import Connection
from peerage.backends.zookeeper.failures import Failure, Lost, NoAuth, NodeExists, NoNode
from peerage.backends.zookeeper.location import Location
from peerage.backends.zookeeper.nodes import ensure
from peerage.errors import RegistryClosedError, RegistryDenied
from peerage.registry import check_size

__all__ = ["ZooKeeperSecrets"]

log = logging.getLogger(__name__)

#: Seconds until what failed for no lasting reason is repeated.
_RETRY: Final = 0.5


class ZooKeeperSecrets:
    """See :class:`peerage.registry.Secrets`.

    Args:
        connection: to the server.
        location: has the access wanted.
        enter: called first in each call; raises if the registry can't be used.
        told: nodes that were complained about.
    """

    def __init__(
        self, connection: Connection, location: Location, enter: Callable[[], None], told: set[str]
    ) -> None:
        self._connection = connection
        self._location = location
        self._enter = enter
        self._told = told
        self._followed: dict[str, set[asyncio.Event]] = {}
        self._closed = False
        connection.on_event.append(self._on_event)
        connection.on_change.append(self._on_change)

    async def obtain(self, name: str, make: Callable[[], bytes]) -> bytes:
        """Return the value, making it if there is none; waits while the server is out of reach.

        Raises:
            RegistryDenied: access, size or name.
            RegistryClosedError: closed meanwhile.
        """
        _check_path(name)
        self._enter()
        made: bytes | None = None
        while True:
            await self._connected()
            try:
                try:
                    return (await self._connection.read(name)).data
                except NoNode:
                    if made is None:
                        made = make()
                        check_size(made)
                    await ensure(self._connection, self._location, name.rpartition("/")[0], self._told)
                    await self._connection.create(name, made)
                    return made
            except (Lost, NodeExists, NoNode):
                # Not known whether it was carried out, or somebody else was quicker: the value tells.
                continue
            except NoAuth:
                raise self._denied(name) from None
            except Failure as failure:
                self._complain(name, failure)
                await asyncio.sleep(_RETRY)

    def follow(self, name: str) -> AsyncIterator[bytes]:
        """Yield the value as soon as there is one, then every new one; ends with the registry.

        Raises:
            RegistryDenied: access or name.
        """
        _check_path(name)
        self._enter()
        return self._follow(name)

    async def _follow(self, name: str) -> AsyncGenerator[bytes]:
        changed = asyncio.Event()
        self._followed.setdefault(name, set()).add(changed)
        last: bytes | None = None
        try:
            while not self._closed:
                # Before looking: what happens from here on sets it again.
                changed.clear()
                try:
                    value = await self._look(name) if self._connection.up is not None else None
                except Lost:
                    continue
                except NoAuth:
                    raise self._denied(name) from None
                except Failure as failure:
                    self._complain(name, failure)
                    await asyncio.sleep(_RETRY)
                    continue
                if value is not None and value != last:
                    last = value
                    yield value
                else:
                    await changed.wait()
        finally:
            waiting = self._followed[name]
            waiting.discard(changed)
            if not waiting:
                del self._followed[name]

    async def _look(self, name: str) -> bytes | None:
        """Return the value, and be told when there is another."""
        while True:
            try:
                return (await self._connection.read(name, watch=True)).data
            except NoNode:
                if not await self._connection.exists(name, watch=True):
                    return None

    def close(self) -> None:
        """End whatever follows or waits."""
        self._closed = True
        self._on_change()

    async def _connected(self) -> None:
        try:
            await self._connection.connected()
        except Lost:
            raise RegistryClosedError(
                f"The registry {self._location.url} was closed while somebody waited for a secret."
            ) from None

    def _complain(self, name: str, failure: Failure) -> None:
        if name not in self._told:
            self._told.add(name)
            log.warning("The secret %s of %s: %s; trying again", name, self._location.url, failure)

    def _denied(self, name: str) -> RegistryDenied:
        return RegistryDenied(
            f"{self._location.url} doesn't let this process at the secret {name}: "
            "check its credentials and that node's access list."
        )

    def _on_event(self, _kind: int, path: str) -> None:
        for waiting in self._followed.get(path, ()):
            waiting.set()

    def _on_change(self) -> None:
        for waiting in self._followed.values():
            for event in waiting:
                event.set()


def _check_path(name: str) -> None:
    parts = name.split("/")
    if parts[0] or len(parts) < 2 or not all(parts[1:]) or {".", ".."} & set(parts):  # noqa: PLR2004 - '' and a name
        raise RegistryDenied(f"{name!a} can't name a secret: write an absolute path such as /asab/auth/key.")
