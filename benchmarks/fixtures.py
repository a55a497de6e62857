"""Servers and records that both libraries use: ``python -m benchmarks.fixtures ROLE …``.

``keep SERVERS`` holds records and changes them, by a plain kazoo client; ``watch SERVERS FOLDER`` is the
least possible work for a change; ``serve COUNT`` answers HTTP on as many ports. Commands are lines of JSON.
"""

import asyncio
import json
import struct
import sys
import time
from collections.abc import Iterator
from typing import Any

from kazoo.client import KazooClient

from benchmarks.barezookeeper import Bare
from benchmarks.records import data

#: Requests that wait for their answers at once.
_FLIGHT = 500


class Keeper:
    """Holds records of other services."""

    def __init__(self, servers: str) -> None:
        self._client = KazooClient(servers, timeout=30)
        self._client.start()
        self._first: dict[str, str] = {}

    def do_hold(self, path: str, first: int, count: int) -> None:
        """Add records of the usual form."""
        self._create(path, [data(number) for number in range(first, first + count)])

    def do_put(self, path: str, records: list[dict[str, Any]]) -> None:
        """Add these."""
        self._create(path, [json.dumps(record).encode() for record in records])

    def _create(self, path: str, records: list[bytes]) -> None:
        self._client.ensure_path(f"/{path}/run")
        for begin in range(0, len(records), _FLIGHT):
            waiting = [
                self._client.create_async(
                    f"/{path}/run/BenchApplication.", each, ephemeral=True, sequence=True
                )
                for each in records[begin : begin + _FLIGHT]
            ]
            nodes = [each.get() for each in waiting]
            self._first.setdefault(path, nodes[0])

    def do_change(self, path: str, marks: list[str], pause: float) -> dict[str, float]:
        """Give the first record one mark after the other; return when each write began."""
        began = {}
        for mark in marks:
            record = data(0, extra={"discovery": {"mark": [mark]}})
            began[mark] = time.monotonic()
            self._client.set(self._first[path], record)
            time.sleep(max(0.0, began[mark] + pause - time.monotonic()))
        return began


class Watcher:
    """Reads each changed record when its event comes, over a blocking socket."""

    def __init__(self, servers: str, folder: str) -> None:
        self._changes = _changes(Bare(servers), folder)
        next(self._changes)

    def do_follow(self, marks: list[str]) -> dict[str, float]:
        """Return when each mark was read."""
        seen = {}
        for record in self._changes:
            seen[json.loads(record)["discovery"]["mark"][0]] = time.monotonic()
            if marks[-1] in seen:
                break
        return seen


def _changes(bare: Bare, folder: str) -> Iterator[bytes]:
    """Yield empty bytes once the watch is set, then the data of each changed node."""
    bare._send(106, _text(folder) + struct.pack("!i", 1))
    bare._frame()
    yield b""
    while True:
        frame = bare._frame()
        xid, _, error = struct.unpack_from("!iqi", frame)
        if xid == -1:
            (length,) = struct.unpack_from("!i", frame, 24)
            bare._send(4, _text(frame[28 : 28 + length].decode()) + b"\0")
        elif not error:
            (length,) = struct.unpack_from("!i", frame, 16)
            yield frame[20 : 20 + length]


def _text(text: str) -> bytes:
    return struct.pack("!i", len(text.encode())) + text.encode()


async def _serve(count: str) -> None:
    """Write the ports; each answers with its number."""
    from aiohttp import web  # noqa: PLC0415 - the other roles don't need it

    async def own_port(request: web.Request) -> web.Response:
        assert request.transport is not None
        return web.Response(text=str(request.transport.get_extra_info("sockname")[1]))

    app = web.Application()
    app.router.add_route("*", "/", own_port)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    for _ in range(int(count)):
        await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps([address[1] for address in runner.addresses]), flush=True)
    await asyncio.to_thread(sys.stdin.readline)
    await runner.cleanup()


def _obey(role: Any) -> None:
    for line in sys.stdin:
        command, *arguments = json.loads(line)
        print(json.dumps(getattr(role, f"do_{command}")(*arguments)), flush=True)


if __name__ == "__main__":
    if sys.argv[1] == "serve":
        asyncio.run(_serve(*sys.argv[2:]))
    else:
        _obey({"keep": Keeper, "watch": Watcher}[sys.argv[1]](*sys.argv[2:]))
