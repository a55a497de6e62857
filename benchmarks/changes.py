"""The changes of `peerage serve`, sent to as many clients as it serves: latency, CPU and memory.

As a module it is the clients: ``python -m benchmarks.changes PORT COUNT``. At each line of its input it
connects clients, and answers when they know everything: one, all (``connect``), or all but none of them reads
(``stall``). After ``changes`` it writes, for each change, when the last client had it.
"""

import asyncio
import json
import selectors
import socket
import statistics
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from aiohttp import web

from benchmarks.driver import ROOT
from benchmarks.records import data, record
from benchmarks.report import Row, milliseconds, percentile, spread
from peerage import Discovery
from peerage.backends.memory import open_memory
from peerage.serve import View, create_app
from peerage.testing import eventually
from peerage.testing.children import Child, run

_CLIENTS: Final = 200
_SMALL, _LARGE = 2000, 10_000
_CHANGES: Final = 100

#: Seconds between two changes.
_PAUSE: Final = 0.08

_REQUEST: Final = b"GET /v1/changes HTTP/1.1\r\nHost: localhost\r\n\r\n"


def measure() -> list[Row]:
    """Every row of this part."""
    return [
        asyncio.run(_changes()),
        *(asyncio.run(_resets(count)) for count in (_SMALL, _LARGE)),
        asyncio.run(_stalled()),
    ]


class _Served:
    """A server of this process that shows *count* instances, and clients in another one."""

    def __init__(self, advertisements: list[Any], clients: Child, seconds: float) -> None:
        self.advertisements, self.clients = advertisements, clients
        self.seconds = seconds
        """CPU seconds that it took to make the view."""

    async def say(self, line: str) -> tuple[float, Any]:
        """Tell the clients something; return what it costs this process in CPU seconds, and their answer."""
        begin = time.process_time()
        await self.clients.tell(line)
        heard = await self.clients.hear()
        return time.process_time() - begin, heard


@asynccontextmanager
async def _served(count: int) -> AsyncIterator[_Served]:
    registry = open_memory("memory:changes")
    advertisements = [registry.advertise("A", record(number).data) for number in range(count)]
    async with Discovery(registry) as discovery:
        await discovery.ready(60)
        begin = time.process_time()
        async with View(discovery.membership) as view:
            await eventually(lambda: len(view.rows()) == count)
            seconds = time.process_time() - begin
            runner = web.AppRunner(create_app(view), access_log=None, shutdown_timeout=1)
            await runner.setup()
            await web.TCPSite(runner, "127.0.0.1", 0, backlog=2 * _CLIENTS).start()
            port = str(runner.addresses[0][1])
            command = (sys.executable, "-m", "benchmarks.changes", port, str(_CLIENTS))
            async with run(*command, cwd=ROOT, patience=120) as clients:
                yield _Served(advertisements, clients, seconds)
                await runner.cleanup()
    await registry.aclose()


async def _changes() -> Row:
    latencies, cpus = [], []
    async with _served(_SMALL) as served:
        await served.say("connect")
        await served.clients.tell("changes")
        for number in range(_CHANGES):
            begin, cpu = time.monotonic(), time.process_time()
            served.advertisements[number].update(data(number, extra={"version": f"v{number}"}))
            latencies.append(await served.clients.hear() - begin)
            cpus.append(time.process_time() - cpu)
            await asyncio.sleep(_PAUSE)
    p99 = percentile(latencies, 0.99)
    return Row(
        f"a change → the last of {_CLIENTS} clients of `/v1/changes` has it, {_SMALL:,} instances, "
        f"p50 / p99 of {_CHANGES}",
        "p99 ≤ 1 s",
        f"{spread(latencies, 'ms', 1e3)}; {milliseconds(statistics.median(cpus))} CPU of the server",
        p99 <= 1,
    )


async def _resets(count: int) -> Row:
    async with _served(count) as served:
        first, _ = await served.say("one")
        before = _resident()
        others, _ = await served.say("connect")
        memory = _resident() - before
    return Row(
        f"{_CLIENTS} clients of `/v1/changes` connect at once, {count:,} instances",
        "≤ 64 MiB",
        f"{milliseconds(first)} CPU for the first one, {milliseconds(others / _CLIENTS)} for each other; "
        f"{memory:.0f} MiB for all; the view itself takes {milliseconds(served.seconds)} CPU",
        memory <= 64,
    )


async def _stalled() -> Row:
    async with _served(_LARGE) as served:
        await served.say("one")
        before = _resident()
        await served.say("stall")
        memory = _resident() - before
    return Row(
        f"the same, and none of the {_CLIENTS} clients reads what it is sent",
        "≤ 64 MiB",
        f"{memory:.0f} MiB for all",
        memory <= 64,
    )


def _resident() -> float:
    """Return the resident memory of this process in MiB."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    return pages * 4096 / (1 << 20)


# The clients


class _Clients:
    def __init__(self, port: int) -> None:
        self._port = port
        self._selector = selectors.DefaultSelector()
        self._tails: dict[socket.socket, bytes] = {}
        self._stalled: list[socket.socket] = []

    def connect(self, count: int) -> None:
        for _ in range(count):
            client = self._connect()
            self._selector.register(client, selectors.EVENT_READ)
            self._tails[client] = b""

    def stall(self, count: int) -> None:
        """Connect clients that read one byte, of the beginning of the answer."""
        for _ in range(count):
            client = self._connect(4096)
            client.recv(1)
            self._stalled.append(client)

    def _connect(self, buffer: int | None = None) -> socket.socket:
        client = socket.socket()
        if buffer is not None:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
        client.connect(("127.0.0.1", self._port))
        client.sendall(_REQUEST)
        return client

    def wait(self, mark: bytes) -> None:
        """Read until *mark* was sent to all."""
        missing = set(self._tails)
        while missing:
            for key, _ in self._selector.select():
                client: Any = key.fileobj
                text = self._tails[client] + client.recv(1 << 20)
                if client in missing and mark in text:
                    missing.remove(client)
                    text = b""
                self._tails[client] = text[-len(mark) :]

    def close(self) -> None:
        for client in (*self._tails, *self._stalled):
            client.close()


def _follow(port: int, count: int) -> None:
    clients = _Clients(port)
    for line in sys.stdin:
        match line.strip():
            case "one":
                clients.connect(1)
                clients.wait(b"event: status\n")
                clients.close()
                clients = _Clients(port)
                _say(None)
            case "stall":
                clients.stall(count)
                time.sleep(3)
                _say(None)
            case "connect":
                clients.connect(count)
                clients.wait(b"event: status\n")
                _say(None)
            case "changes":
                for number in range(_CHANGES):
                    clients.wait(b'"version": "v%d"' % number)
                    _say(time.monotonic())


def _say(what: object) -> None:
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    _follow(*map(int, sys.argv[1:]))
