"""The conformance suite's harness for ZooKeeper: one real server for all tests, and a path for each test."""

import atexit
import itertools
import os
import shutil
import tempfile
from functools import cache
from pathlib import Path
from typing import ClassVar, Final

from peerage.registry import Registry, open_registry
from peerage.testing.harness import Harness
from peerage.testing.zookeeper.proxy import Proxy
from peerage.testing.zookeeper.server import ZooKeeperServer

_numbers: Final = itertools.count()


@cache
def shared_server() -> ZooKeeperServer:
    """Return the server that the tests of this process share; started by the first call, ended at exit."""
    server = ZooKeeperServer(Path(tempfile.mkdtemp(prefix="peerage-zookeeper-")))
    server.start()
    atexit.register(_stop, server, os.getpid())
    return server


def _stop(server: ZooKeeperServer, owner: int) -> None:
    # A forked child exits, too, but the server belongs to the parent.
    if os.getpid() == owner:
        server.kill()
        shutil.rmtree(server.folder, ignore_errors=True)


class ZooKeeperHarness(Harness):
    """The first participant of a test connects through a proxy that makes the faults, the others directly."""

    capabilities: ClassVar[frozenset[str]] = frozenset({"processes", "outage", "session", "secrets"})

    async def start(self) -> None:
        """Start the shared server, unless it runs, and the proxy of this test."""
        self._server = shared_server()
        self._number = next(_numbers)
        self.proxy = Proxy(self._server.address)
        await self.proxy.start()

    async def stop(self) -> None:
        """Stop the proxy."""
        await self.proxy.aclose()

    def url(self, path: str = "asab") -> str:
        """Return a URL whose path only this test uses."""
        return self._url(self._server.address, path)

    def first(self) -> Registry:
        """Open a participant that connects through the proxy."""
        return open_registry(self._url(self.proxy.address, "asab"))

    async def lose(self) -> None:
        """Cut the connections and refuse new ones."""
        await self.proxy.refuse()

    async def restore(self) -> None:
        """Accept connections again."""
        await self.proxy.heal()

    async def expire(self) -> None:
        """End their sessions at the server."""
        await self.proxy.expire_sessions()

    def _url(self, address: str, path: str) -> str:
        return f"zookeeper://{address}/t-{os.getpid()}-{self._number}/{path}?session_timeout=3"
