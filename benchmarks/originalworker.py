"""A process of the original, asab 25.15, in its virtual environment; it doesn't import peerage.

``python -m benchmarks.originalworker SERVERS [COUNT]``: one client, or a fleet of as many processes. As
installed without its optional part for internal authorization, which would make a key and a token besides.
"""

import asyncio
import logging
import sys
from typing import Any, TextIO

sys.modules["jwcrypto"] = None  # type: ignore[assignment] # as if it weren't installed

import asab  # noqa: E402 - after that
import asab.api  # noqa: E402
import asab.api.discovery  # noqa: E402
import asab.zookeeper  # noqa: E402

from benchmarks.fleet import fleet  # noqa: E402
from benchmarks.probe import Probe, run  # noqa: E402


class BenchApplication(asab.Application):
    """Has no web server, which the measurements don't need."""

    def __init__(self, lines: TextIO, answers: TextIO) -> None:
        super().__init__(args=[], modules=[asab.zookeeper.Module])
        # Losing the connection is what is measured.
        for name in ("asab", "kazoo"):
            logging.getLogger(name).setLevel(logging.ERROR)
        self._pipes = lines, answers

    async def main(self) -> None:
        """Carry out the commands."""
        run(Original(self), self.Loop, *self._pipes)


class Original(Probe):
    """A client as the documentation has it: a ZooKeeper container and a discovery service."""

    def __init__(self, app: BenchApplication) -> None:
        super().__init__()
        self._app = app
        self._container: Any = None
        self._service: Any = None
        self._scans = 0
        self._since = 0

    async def connect(self, path: str) -> None:
        self._connect(path)

    async def open(self, path: str) -> None:
        self._connect(path)
        self._service = asab.api.discovery.DiscoveryService(self._app, self._container)
        self._listen()

    async def join(self, path: str, fields: dict[str, Any]) -> None:
        api = asab.api.ApiService(self._app)
        api.update_discovery(fields.pop("discovery"))
        api.Manifest = fields  # which takes precedence over the facts of this process
        self._connect(path)
        api.initialize_zookeeper(self._container)
        self._service = api.DiscoveryService
        self._listen()

    def _connect(self, path: str) -> None:
        self._container = asab.zookeeper.ZooKeeperContainer(
            self._app.get_service("asab.ZooKeeperService"),
            "zookeeper",
            z_path=f"zookeeper://{_servers}/{path}",
        )

    def _listen(self) -> None:
        probe = self

        class Scanned(asyncio.Event):
            """Set at the end of each scan."""

            def set(self) -> None:
                super().set()
                probe._scans += 1
                probe.notice()

        self._service._ready_event = Scanned()

    async def close(self) -> None:
        await self._container._stop()

    async def locate(self, **ids: str) -> Any:
        return await self._service.locate(**ids)

    async def discover(self) -> Any:
        return await self._service.discover()

    def found(self, mark: str) -> bool:
        return mark in self._service._advertised_cache.get("mark", ())

    def marks(self) -> set[str]:
        return set(self._service._advertised_cache.get("mark", ()))

    def known(self) -> int:
        return len(self._service._advertised_cache.get("instance_id", ()))

    def in_touch(self) -> bool:
        if not self._container.is_connected():
            self._since = self._scans
        return self._scans > self._since

    async def advertise(self, fields: dict[str, Any]) -> Any:
        # It keeps one record for each path; without this it would change the one before.
        self._container.Advertisments.clear()
        self._container.advertise(fields, "/run/BenchApplication.")
        (handle,) = self._container.Advertisments.values()
        return handle

    async def withdraw(self, handle: Any) -> None:
        await self._container.ZooKeeper.delete(handle.RealPath)

    def session(self) -> Any:
        return self._service.session()


def _main(lines: TextIO, answers: TextIO) -> None:
    BenchApplication(lines, answers).run()


if __name__ == "__main__":
    _servers, *_count = sys.argv[1:]
    if _count:
        fleet(int(_count[0]), _main)
    else:
        _main(sys.stdin, sys.stdout)
