"""Addresses of the hosts on which instances run.

They are looked up in threads of our own: in asyncio's few shared ones a look-up waits behind others that
hang, and the name of one dead machine would hold up the whole cluster.

A look-up gets half a second before the next name is tried, and goes on. What it finds later is kept, so that
the host of a slow name service is found by the next request, or by this one if it has nowhere else to go.
"""

import asyncio
import socket
import time
from collections.abc import Callable, Collection
from contextvars import ContextVar
from threading import Thread
from typing import Any, Final

from aiohttp.abc import ResolveResult

from peerage.client.places import is_literal
from peerage.client.recent import Recent

__all__ = ["HOST_TIMEOUT", "LATE_SECONDS", "PATIENCE", "UNRESOLVED_SECONDS", "Hosts", "for_instance"]

#: Seconds one look-up may take before the next name is tried.
HOST_TIMEOUT: Final = 0.5

#: Seconds one look-up may take if there is no other name left to try.
PATIENCE: Final = 5.0

#: Seconds for which an answer is kept that came when nobody waited for it any more.
LATE_SECONDS: Final = 30.0

#: Seconds for which a host without an address isn't looked up again.
UNRESOLVED_SECONDS: Final = 30.0

#: Look-ups at the same time. So many can only be hanging ones, and each costs a thread until the system gives
#: up.
_MOST_THREADS: Final = 128

#: Whether the connection being made is one to an instance, whose host is given up quickly.
for_instance: ContextVar[bool] = ContextVar("peerage_for_instance", default=False)

# Whatever getaddrinfo-like function found, or its failure.
_Answer = list[tuple[Any, ...]] | OSError


class Hosts:
    """Looks up hosts of instances, each within a time limit, no host behind another.

    Args:
        unresolved: where failures are remembered.
        getaddrinfo: the system's look-up, called in a thread.
        timeout: seconds a look-up may take before the next name is tried.
        patience: seconds it may take, from its start, if there is no other name.
        clock: monotonic time in seconds.
    """

    def __init__(
        self,
        unresolved: Recent,
        *,
        getaddrinfo: Callable[..., list[tuple[Any, ...]]] = socket.getaddrinfo,
        timeout: float = HOST_TIMEOUT,
        patience: float = PATIENCE,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._unresolved = unresolved
        self._getaddrinfo = getaddrinfo
        self._timeout = timeout
        self._patience = patience
        self._clock = clock
        self._running: dict[tuple[str, int], asyncio.Future[_Answer]] = {}
        # When those were started that somebody has given up waiting for, in the loop's time.
        self._overdue: dict[tuple[str, int], float] = {}
        # What they found in the end, and until when it is good.
        self._late: dict[tuple[str, int], tuple[list[tuple[Any, ...]], float]] = {}

    def failed(self, host: str) -> None:
        """Remember that *host* had no address, unless its look-up has succeeded just now."""
        if not self._has_late(host):
            self._unresolved.add(host)

    async def outwait(self, hosts: Collection[str]) -> bool:
        """Wait for look-ups of *hosts* that were given up and still run.

        Returns:
            Whether one of *hosts* can be resolved now.
        """
        loop = asyncio.get_running_loop()
        while not any(map(self._has_late, hosts)):
            overdue = {key: start for key, start in self._overdue.items() if key[0] in hosts}
            if not overdue:
                return False
            left = max(overdue.values()) + self._patience - loop.time()
            if left <= 0:
                return False
            waited = [self._running[key] for key in overdue]
            await asyncio.wait(waited, timeout=left, return_when=asyncio.FIRST_COMPLETED)
        return True

    def _has_late(self, host: str) -> bool:
        now = self._clock()
        return any(key[0] == host and now < until for key, (_, until) in self._late.items())

    def _keep_late(self, key: tuple[str, int], found: list[tuple[Any, ...]]) -> None:
        now = self._clock()
        self._late = {other: late for other, late in self._late.items() if now < late[1]}
        self._late[key] = (found, now + LATE_SECONDS)
        self._unresolved.discard(key[0])

    async def resolve(self, host: str, port: int, family: int) -> list[ResolveResult]:
        """Return the addresses of *host* in aiohttp's form; never empty.

        Args:
            host: a name or a literal address.
            port: goes into the answers as it is.
            family: ``AF_INET``, ``AF_INET6`` or ``AF_UNSPEC``.

        Raises:
            OSError: it has none, or none in time; remembered for a while.
        """
        if is_literal(host):
            found = _literal(host, port, family)
        elif host in self._unresolved:
            raise socket.gaierror(socket.EAI_NONAME, f"{host!a} had no address a moment ago")
        else:
            try:
                found = _results(host, port, await self._look_up(host, family))
            except OSError:
                self.failed(host)
                raise
        if not found:
            raise socket.gaierror(socket.EAI_NONAME, f"{host!a} has no address of the family wanted")
        return found

    async def _look_up(self, host: str, family: int) -> list[tuple[Any, ...]]:
        key = (host, family)
        if (late := self._late.get(key)) is not None and self._clock() < late[1]:
            return late[0]
        started = asyncio.get_running_loop().time()
        running = self._running.get(key) or self._start(host, family)
        done, _ = await asyncio.wait((running,), timeout=self._timeout)
        if not done:
            if self._running.get(key) is running:
                self._overdue.setdefault(key, started)
            # Not a TimeoutError: aiohttp would take it for the caller's own time limit.
            raise socket.gaierror(socket.EAI_AGAIN, f"no address of {host!a} within {self._timeout:g} s")
        answer = running.result()
        if isinstance(answer, OSError):
            raise answer
        return answer

    def _start(self, host: str, family: int) -> asyncio.Future[_Answer]:
        if len(self._running) >= _MOST_THREADS:
            raise socket.gaierror(socket.EAI_AGAIN, f"{_MOST_THREADS} look-ups of hosts hang already")
        loop = asyncio.get_running_loop()
        future: asyncio.Future[_Answer] = loop.create_future()
        self._running[(host, family)] = future

        def settle(answer: _Answer) -> None:
            del self._running[(host, family)]
            if self._overdue.pop((host, family), None) is not None and answer and isinstance(answer, list):
                self._keep_late((host, family), answer)
            future.set_result(answer)

        def look_up() -> None:
            answer: _Answer
            try:
                answer = self._getaddrinfo(
                    host, None, family=family, type=socket.SOCK_STREAM, flags=socket.AI_ADDRCONFIG
                )
            except OSError as error:
                answer = error
            except UnicodeError as error:
                answer = socket.gaierror(socket.EAI_NONAME, str(error))
            try:
                loop.call_soon_threadsafe(settle, answer)
            except RuntimeError:
                # The loop was closed meanwhile; nobody waits for the answer.
                return

        # A daemon, unlike the threads of an executor: one that hangs doesn't keep the process from exiting.
        Thread(target=look_up, name="peerage-lookup", daemon=True).start()
        return future


def _literal(host: str, port: int, family: int) -> list[ResolveResult]:
    own = socket.AF_INET6 if ":" in host else socket.AF_INET
    return [_result(host, host, port, own)] if family in (socket.AF_UNSPEC, own) else []


def _results(hostname: str, port: int, found: list[tuple[Any, ...]]) -> list[ResolveResult]:
    return [
        _result(hostname, _with_scope(address), port, family)
        for family, _, _, _, address in found
        if family in (socket.AF_INET, socket.AF_INET6)
    ]


def _with_scope(address: tuple[Any, ...]) -> str:
    host: str = address[0]
    scope = address[3] if len(address) > 3 else 0  # noqa: PLR2004 - (host, port, flow, scope) of IPv6
    return f"{host}%{scope}" if scope and "%" not in host else host


def _result(hostname: str, host: str, port: int, family: int) -> ResolveResult:
    return ResolveResult(
        hostname=hostname,
        host=host,
        port=port,
        family=family,
        proto=socket.IPPROTO_TCP,
        flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
    )
