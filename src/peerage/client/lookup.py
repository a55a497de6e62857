"""Looks up the hosts of instances, in threads of our own.

In asyncio's few shared threads a look-up waits behind others that hang, and the name of one dead machine
would hold up the whole cluster.
"""

import asyncio
import socket
from collections.abc import Callable, Generator, Iterable
from threading import Thread
from typing import Any, Final, TypeVar

from peerage.calling import Addresses, Host, Lookups
from peerage.calling.resolution import AGAIN_SECONDS

#: Look-ups at the same time. So many can only be hanging ones, and each costs a thread until the system gives
#: up.
_MOST_THREADS: Final = 128

#: Those of one host, and all together when another one of a host may be begun.
_MOST_OF_HOST: Final = 5
_FEW_THREADS: Final = 64

_T = TypeVar("_T")

GetAddrInfo = Callable[..., list[tuple[Any, ...]]]


def start_thread(look_up: Callable[[], None]) -> None:
    """Run *look_up*, which may hang, in a thread of its own.

    Raises:
        RuntimeError: the process may start no more threads at the moment.
    """
    # A daemon, unlike the threads of an executor: one that hangs doesn't keep the process from exiting.
    Thread(target=look_up, name="peerage-lookup", daemon=True).start()


class _UnderWay:
    """The look-ups of one host, of which the first answer counts."""

    __slots__ = ("begun", "count", "future")

    def __init__(self, future: "asyncio.Future[None]", begun: float) -> None:
        self.future = future
        """Done when one was answered, or all have failed."""
        self.count = 0
        self.begun = begun
        """When the last one was begun."""


class HostLookup:
    """Carries out look-ups and records what they find; one at a time of each host, unless it hangs.

    Args:
        addresses: where results are recorded.
        getaddrinfo: the system's look-up, which blocks.
        start: lets the function that it gets run, and returns at once; in a thread by default.
    """

    def __init__(
        self,
        addresses: Addresses,
        *,
        getaddrinfo: GetAddrInfo = socket.getaddrinfo,
        start: Callable[[Callable[[], None]], None] = start_thread,
    ) -> None:
        self.addresses = addresses
        self._getaddrinfo = getaddrinfo
        self._run = start
        self._running: dict[Host, _UnderWay] = {}
        self._threads = 0

    @property
    def running(self) -> int:
        """The number of look-ups under way."""
        return self._threads

    async def wait(self, lookups: Lookups) -> None:
        """Wait until one of the hosts is looked up, or the time is up; the look-ups go on.

        Those that have been hanging for a while are begun once more.
        """
        waited = [future for host in lookups.hosts if (future := self._start(host)) is not None]
        if waited:
            await asyncio.wait(waited, timeout=lookups.seconds, return_when=asyncio.FIRST_COMPLETED)

    async def run(self, steps: Generator[Lookups, None, _T]) -> _T:
        """Carry out the look-ups that *steps* waits for, and return what it returns."""
        while True:
            try:
                lookups = next(steps)
            except StopIteration as end:
                found: _T = end.value
                return found
            await self.wait(lookups)

    def start(self, hosts: Iterable[Host]) -> None:
        """Begin to look up *hosts*, and don't wait."""
        for host in hosts:
            self._start(host)

    def _start(self, host: Host) -> asyncio.Future[None] | None:
        now, running = self.addresses.clock(), self._running.get(host)
        if running is None:
            if self._threads >= _MOST_THREADS:
                self.addresses.failed(host, f"{_MOST_THREADS} look-ups of hosts are hanging already")
                return None
            running = self._running[host] = _UnderWay(asyncio.get_running_loop().create_future(), now)
            self.addresses.started(host)
        elif (
            now < running.begun + AGAIN_SECONDS
            or running.count >= _MOST_OF_HOST
            or self._threads >= _FEW_THREADS
        ):
            return running.future
        running.begun = now
        self._begin(host, running)
        return running.future

    def _begin(self, host: Host, running: _UnderWay) -> None:
        loop = asyncio.get_running_loop()
        running.count += 1
        self._threads += 1

        def settle(found: list[tuple[Any, ...]], problem: str) -> None:
            running.count -= 1
            self._threads -= 1
            if running.future.done() or (problem and running.count):
                return
            del self._running[host]
            if problem:
                self.addresses.failed(host, problem)
            else:
                self.addresses.found(host, map(_literal, found))
            running.future.set_result(None)

        def look_up() -> None:
            found: list[tuple[Any, ...]] = []
            problem = ""
            try:
                found = self._getaddrinfo(host.name, None, family=host.family, type=socket.SOCK_STREAM)
            except Exception as error:  # noqa: BLE001 - without an answer the host would count as being looked up for ever
                problem = getattr(error, "strerror", None) or str(error) or type(error).__name__
            try:
                loop.call_soon_threadsafe(settle, found, problem)
            except RuntimeError:
                # The loop was closed meanwhile, so the answer isn't needed.
                return

        try:
            self._run(look_up)
        except RuntimeError as error:
            settle([], f"it couldn't be looked up: {error}")


def _literal(found: tuple[Any, ...]) -> str:
    address = found[4]
    host: str = address[0]
    scope = address[3] if len(address) > 3 else 0  # noqa: PLR2004 - (host, port, flow, scope) of IPv6
    return f"{host}%{scope}" if scope and "%" not in host else host
