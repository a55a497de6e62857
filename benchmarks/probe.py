"""The commands and the measurements of a client, the same for both libraries.

It imports neither peerage nor asab: the same code, on the same versions of Python and aiohttp, measures both.
Each line of its input is JSON, ``[command, *arguments]``, and it answers each with one.
"""

import asyncio
import gc
import json
import os
import resource
import socket
import threading
import time
from abc import ABC, abstractmethod
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import nullcontext
from pathlib import Path
from typing import Any, TextIO

import aiohttp

from benchmarks.heartbeat import Heartbeat

__all__ = ["Probe", "run"]

#: Seconds between looks of a client of a fleet.
_LOOK = 0.05

#: Bytes that still come in a second when nothing is read: answers to pings.
_QUIET = 300


class Probe(ABC):
    """One client of the registry, and what is measured of it."""

    def __init__(self) -> None:
        self._missing: list[str] = []
        self._seen: dict[str, float] = {}
        self._heart: Heartbeat | None = None
        self._gaps: list[float] = []
        self._noticed = asyncio.Event()
        self._handles: dict[str, Any] = {}
        self._sessions: dict[str, aiohttp.ClientSession] = {}
        self._resident = 0
        self._cpu = 0.0

    # Each library implements these

    @abstractmethod
    async def connect(self, path: str) -> None:
        """Begin a session for advertising below *path*."""

    @abstractmethod
    async def open(self, path: str) -> None:
        """Begin a session and to follow the records below *path*; doesn't wait for them."""

    @abstractmethod
    async def join(self, path: str, fields: dict[str, Any]) -> None:
        """Do the same as a service that advertises a record."""

    @abstractmethod
    async def close(self) -> None:
        """End the session in good order."""

    @abstractmethod
    async def locate(self, **ids: str) -> Any:
        """Find by ids, once everything was read."""

    @abstractmethod
    async def discover(self) -> Any:
        """Return everything."""

    @abstractmethod
    def found(self, mark: str) -> bool:
        """Whether ``locate(mark=…)`` finds an instance now."""

    @abstractmethod
    def marks(self) -> set[str]:
        """Every value of the id ``mark``."""

    @abstractmethod
    def known(self) -> int:
        """How many instances are known."""

    @abstractmethod
    def in_touch(self) -> bool:
        """Whether what is known was read over the connection there is."""

    @abstractmethod
    async def advertise(self, fields: dict[str, Any]) -> Any:
        """Begin to advertise one more record."""

    @abstractmethod
    async def withdraw(self, handle: Any) -> None:
        """End that."""

    @abstractmethod
    def session(self) -> aiohttp.ClientSession:
        """Open the session that calls by name."""

    def notice(self) -> None:
        """What is found may have changed: called whenever it has."""
        self._noticed.set()
        for number, mark in enumerate(self._missing):
            if self.found(mark):
                self._seen[mark] = time.monotonic()
                del self._missing[: number + 1]
                if self._heart is not None:
                    self._gaps.append(self._heart.take())
                break

    # What is measured

    async def do_connect(self, path: str) -> None:
        await self.connect(path)

    async def do_open(self, path: str) -> None:
        await self.open(path)
        await self.locate(service_id="orders7")

    async def do_sync(self, path: str, beating: bool) -> dict[str, Any]:  # noqa: FBT001 - JSON
        """Connect, read everything, answer once."""
        gc.collect()
        self._resident = _resident()
        with Heartbeat() if beating else nullcontext() as heart:
            await asyncio.sleep(0.05)
            if heart is not None:
                heart.take()
            self._reset()
            begin = time.perf_counter()
            await self.open(path)
            located = await self.locate(service_id="orders7")
            wall = time.perf_counter() - begin
            return {
                "known": self.known(),
                "located": len(located),
                "wall": wall,
                "gap": heart.take() if heart is not None else None,
                **self._usage(),
            }

    async def do_follow(self, marks: list[str], limit: float, beating: bool) -> dict[str, Any]:  # noqa: FBT001 - JSON
        """Wait for marks, of which each replaces the one before; say when each was found.

        With a heartbeat, which costs CPU, also the longest time without an answer before each.
        """
        self._missing, self._seen, self._gaps = list(marks), {}, []
        self._reset()
        with Heartbeat() if beating else nullcontext() as self._heart:
            await self._until(lambda: not self._missing, limit)
        self._heart = None
        return {"seen": self._seen, "gaps": self._gaps, **self._usage()}

    async def do_gone(self, mark: str) -> None:
        """Wait until a mark isn't found any more."""
        await self._until(lambda: not self.found(mark), 30)

    async def do_grow(self, wanted: int, limit: float) -> dict[str, Any]:
        """Wait until so many instances are known."""
        begin, cpu = time.perf_counter(), time.process_time()
        await self._until(lambda: self.known() >= wanted, limit)
        return {
            "known": self.known(),
            "cpu": time.process_time() - cpu,
            "wall": time.perf_counter() - begin,
        }

    async def _until(self, condition: Callable[[], bool], limit: float) -> None:
        """Wait for what changes only when something is noticed."""
        try:
            async with asyncio.timeout(limit):
                while not condition():
                    self._noticed.clear()
                    await self._noticed.wait()
        except TimeoutError:
            pass  # the answer shows it

    async def do_locate(self, count: int) -> float:
        """Seconds of one ``locate()``."""
        begin = time.perf_counter()
        for _ in range(count):
            await self.locate(service_id="orders7")
        return (time.perf_counter() - begin) / count

    async def do_discover(self) -> float:
        """Seconds of one ``discover()``."""
        begin = time.perf_counter()
        await self.discover()
        return time.perf_counter() - begin

    async def do_memory(self, count: int) -> int:
        """Bytes of RSS since before the first sync, each instance asked for once."""
        for number in range(count):
            await self.locate(instance_id=f"orders-{number}")
            await self.locate(service_id=f"orders{number // 3}")
        gc.collect()
        return _resident() - self._resident

    async def do_idle(self, seconds: float) -> float:
        """The share of a core that it costs to do nothing."""
        begin, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(seconds)
        return (time.process_time() - cpu) / (time.perf_counter() - begin)

    async def do_appear(self, mark: str, fields: dict[str, Any]) -> float:
        """Advertise one more; say when it began."""
        begin = time.monotonic()
        self._handles[mark] = await self.advertise(fields)
        return begin

    async def do_vanish(self, mark: str) -> None:
        """Withdraw it."""
        await self.withdraw(self._handles.pop(mark))

    # Calling

    async def do_call(self, url: str, workers: int, requests: int, lasting: bool) -> dict[str, Any]:  # noqa: FBT001 - JSON
        """Make so many requests, over one session or one for each; return how often each server answered."""
        make = self.session if ".asab" in url else aiohttp.ClientSession
        if lasting and url not in self._sessions:
            self._sessions[url] = make()
        answered: Counter[str] = Counter()

        async def get(session: aiohttp.ClientSession) -> None:
            async with session.get(url) as response:
                answered[await response.text()] += 1

        async def work(share: int) -> None:
            for _ in range(share):
                if lasting:
                    await get(self._sessions[url])
                else:
                    async with make() as session:
                        await get(session)

        begin, cpu = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work(requests // workers) for _ in range(workers)))
        return {
            "wall": time.perf_counter() - begin,
            "cpu": time.process_time() - cpu,
            "answered": answered,
        }

    # As a part of a fleet

    async def do_join(self, path: str, fields: dict[str, Any]) -> None:
        self._reset()
        await self.join(path, fields)

    async def do_ready(self, mark: str) -> None:
        """Wait until everything was read and one's own record is found."""
        await self.locate(mark=mark)
        await self._until(lambda: self.found(mark), 60)

    async def do_reset(self) -> None:
        self._reset()

    async def do_know(self, marks: list[str], limit: float) -> dict[str, Any]:
        """Wait until these and no others are known, then until nothing more comes in.

        Returns:
            when the first was so, and what both took since the last reset.
        """
        wanted, deadline = set(marks), time.monotonic() + limit
        while not (known := self.in_touch() and self.marks() == wanted) and time.monotonic() < deadline:  # noqa: ASYNC110 - neither library has an event for it
            await asyncio.sleep(_LOOK)
        at, before = time.monotonic(), -_QUIET
        while _traffic.received - before >= _QUIET and time.monotonic() < deadline + limit:
            before = _traffic.received
            await asyncio.sleep(1)
        return {
            "at": at,
            "quiet": time.monotonic(),
            "known": known,
            "missing": len(wanted - self.marks()),
            **self._usage(),
        }

    async def do_lost(self) -> None:
        """Wait until the connection is lost."""
        while self.in_touch():  # noqa: ASYNC110 - neither library has an event for it
            await asyncio.sleep(_LOOK)

    async def do_leave(self) -> dict[str, Any]:
        """End in good order; the process ends when its lines do."""
        usage = self._usage()
        await self.close()
        return usage

    def _reset(self) -> None:
        self._cpu = time.process_time()
        _traffic.received = 0

    def _usage(self) -> dict[str, Any]:
        return {"cpu": time.process_time() - self._cpu, "received": _traffic.received}


class _Traffic:
    """Counts what comes in by ``socket.recv``, which is how kazoo reads."""

    received = 0

    def __init__(self) -> None:
        recv = socket.socket.recv

        def count(self_: socket.socket, *args: int) -> bytes:
            part = recv(self_, *args)
            self.received += len(part)
            return part

        socket.socket.recv = count  # type: ignore[method-assign] # nothing else knows


_traffic = _Traffic()


def _resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


# The commands


def run(library: Probe, loop: asyncio.AbstractEventLoop, lines: TextIO, answers: TextIO) -> None:
    """Carry out the commands in *lines*, one after the other, from a thread; the process ends with them."""

    async def carry_out(command: str, arguments: Iterable[Any]) -> Any:
        return await getattr(library, f"do_{command}")(*arguments)

    def listen() -> None:
        for line in lines:
            command, *arguments = json.loads(line)
            try:
                answer = asyncio.run_coroutine_threadsafe(carry_out(command, arguments), loop).result()
            except Exception as error:  # noqa: BLE001 - the driver raises it
                answer = {"error": f"{command}: {error!r}"}
            answers.write(json.dumps(answer) + "\n")
            answers.flush()
        os._exit(0)

    threading.Thread(target=listen, daemon=True).start()
