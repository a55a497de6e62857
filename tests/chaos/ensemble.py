"""Real processes that call each other, their registry of three servers, and the faults that befall them.

Everything is written into one trace: by the processes what they advertise, see and call, and by this module
what is done to them.
"""

import asyncio
import logging
import os
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.chaos.drawn import Fault, Target
from tests.chaos.machine import Machine

from peerage.testing import eventually
from peerage.testing.children import Child, run
from peerage.testing.simulation.trace import (
    REGISTRY,
    Ended,
    Event,
    FaultBegan,
    FaultEnded,
    TraceFile,
    read_traces,
)
from peerage.testing.zookeeper import Ensemble, Proxy, ZooKeeperServer
from peerage.testing.zookeeper.server import free_port

log = logging.getLogger(__name__)

#: The services and their instances.
SERVICES: Final = {"orders": 3, "prices": 2, "stock": 2}
_CALLERS: Final = 2

#: Calls that each caller begins in a second.
RATE: Final = 20.0

_LOOPBACK: Final = "127.0.0.1"

#: Seconds by which a slow link delays what is sent, each way.
_DELAY: Final = 0.2

#: A process of ours; a benchmark runs those of the original. Python's development mode, in which one takes
#: three times as long to start on a busy machine, is what other tests use.
OURS: Final = (sys.executable, "-W", "error", "-m", "tests.chaos.member")


@dataclass
class Link:
    """How several processes reach the registry: by a proxy for each server."""

    proxies: list[Proxy]
    members: list["Member"] = field(default_factory=list)

    @property
    def address(self) -> str:
        return ",".join(proxy.address for proxy in self.proxies)

    @property
    def hosts(self) -> tuple[str, ...]:
        return tuple(member.name for member in self.members)


@dataclass
class Member:
    """One process, and the one that takes its place when it has ended. Its name is that of its host."""

    name: str
    service: str
    link: Link
    port: int
    """0: it is a caller."""
    address: str = _LOOPBACK
    prefix: tuple[str, ...] = ()
    starts: int = 0
    child: Child | None = None

    @property
    def label(self) -> str:
        return f"{self.name}.{self.starts}"


class ChaosCluster:
    """The cluster; everything ends with *stack*.

    Args:
        stack: closes it.
        folder: for the traces.
        ensemble: its servers, which run.
        machine: on which one instance runs; None: all run on this one.
        session_timeout: seconds.
        command: the program of the processes.
        disk_cache: the folder of their disk caches; None: they have none.
        rate: calls a second of each caller.
    """

    def __init__(
        self,
        stack: AsyncExitStack,
        folder: Path,
        ensemble: Ensemble,
        machine: Machine | None,
        *,
        session_timeout: float,
        command: Sequence[str | os.PathLike[str]] = OURS,
        disk_cache: Path | None = None,
        rate: float = RATE,
    ) -> None:
        self.members: dict[str, Member] = {}
        self.links: dict[str, Link] = {}
        self.ensemble = ensemble
        self._stack = stack
        self._folder = folder
        self._machine = machine
        self._session_timeout = session_timeout
        self._command = command
        self._disk_cache = "off" if disk_cache is None else str(disk_cache)
        self._rate = rate
        self._trace = stack.enter_context(TraceFile(folder / "cluster.trace"))
        self._faults = 0
        self._doing: dict[str, Callable[[Fault], Awaitable[None]]] = {
            "server killed": self._kill_server,
            "server stopped": self._stop_server,
            "cut": self._disturb,
            "half-open": self._disturb,
            "lost answers": self._disturb,
            "slow": self._disturb,
            "partition": self._disturb,
            "expiry": self._disturb,
            "crash": self._crash,
            "crash and move": self._crash,
            "stop": self._stop,
            "deploy": self._deploy,
            "machine lost": self._lose_machine,
        }

    @property
    def targets(self) -> dict[Target, list[str]]:
        """What can be befallen by faults."""
        return {
            "server": ["leader", "follower"],
            "link": [*self.links],
            "process": [*self.members],
            "machine": [] if self._machine is None else [self.name_there],
        }

    @property
    def name_there(self) -> str:
        """The instance that runs on the other machine, if there is one."""
        return "orders-3"

    def write(self, event: Event) -> None:
        """Add *event* to the trace."""
        self._trace.append(event)

    # Start and end

    async def start(self) -> None:
        """Start everything, and wait until all instances are advertised."""
        for name in ("one", "other"):
            await self._connect(name, _LOOPBACK)
        if self._machine is not None:
            await self._connect("machine", self._machine.outside)
        for service, count in SERVICES.items():
            for number in range(1, count + 1):
                self._add(f"{service}-{number}", service, number, free_port())
        for number in range(1, _CALLERS + 1):
            self._add(f"shop-{number}", "shop", number, 0)
        # Callers come last, so that no call waits for a service that takes long to start.
        for callers in (False, True):
            async with asyncio.TaskGroup() as starting:
                for member in self.members.values():
                    if callers is (member.port == 0):
                        starting.create_task(self.run(member))

    async def _connect(self, name: str, address: str) -> None:
        proxies = [Proxy(server.address, address=address) for server in self.ensemble.servers]
        for proxy in proxies:
            await self._stack.enter_async_context(proxy)
        self.links[name] = Link(proxies)

    def _add(self, name: str, service: str, number: int, port: int) -> None:
        there = self._machine is not None and name == self.name_there
        link = self.links["machine" if there else ("one", "other")[number % 2]]
        member = self.members[name] = Member(name, service, link, port)
        if self._machine is not None:
            # The loopback address would mean another machine there.
            member.address = self._machine.address if there else self._machine.outside
        if there and self._machine is not None:
            member.prefix = self._machine.prefix
        link.members.append(member)

    async def run(self, member: Member) -> None:
        """Start the next process of *member*, and wait until it is advertised, or knows the others."""
        member.starts += 1
        trace = self._folder / f"{member.label}.trace"
        variables = {
            **os.environ,
            "PEERAGE_REGISTRY": f"zookeeper://{member.link.address}/chaos?session_timeout="
            f"{self._session_timeout}",
            "PEERAGE_DISK_CACHE": self._disk_cache,
            "SERVICE_ID": member.service,
            "INSTANCE_ID": member.name,
            "ASAB_HOSTNAME": member.address,
            "TEST_PROCESS": member.label,
            "TEST_ADDRESS": member.address,
            "TEST_PORT": str(member.port),
            "TEST_TRACE": str(trace),
            "TEST_SERVICES": " ".join(SERVICES),
            "TEST_RATE": str(self._rate),
        }
        program = run(*member.prefix, *self._command, environ=variables)
        member.child = await self._stack.enter_async_context(program)
        first = "Advertised" if member.port else "CallEnded"

        def has_begun() -> bool:
            ended = member.child is None or member.child.returncode is not None
            assert not ended, f"{member.label} ended early:\n{member.child and member.child.log}"
            return trace.exists() and f'"{first}"' in trace.read_text()

        await eventually(has_begun, f"{member.label} at work")

    async def finish(self) -> list[Event]:
        """End all calls and then all processes, and return the trace.

        Raises:
            AssertionError: a process ended with an error.
        """
        for callers in (True, False):
            async with asyncio.TaskGroup() as ending:
                for member in self.members.values():
                    if callers is (member.port == 0):
                        ending.create_task(self._end(member))
        return read_traces(sorted(self._folder.glob("*.trace")))

    async def _end(self, member: Member) -> None:
        child, member.child = member.child, None
        assert child is not None, "it runs"
        if member.port:
            child.terminate()
        code, _ = await child.end()
        self.write(Ended(time.monotonic(), member.label))
        assert code == 0, f"{member.label} ended with exit code {code}:\n{child.log}"

    # Faults

    async def suffer(self, faults: Sequence[Fault], calm: float) -> list[float]:
        """Let *faults* happen, each after *calm* seconds, which follow the last one, too; return when."""
        begins = []
        for number, fault in enumerate(faults):
            begins.append(time.monotonic())
            log.info("%d: %.3f s: %s", number, begins[-1], fault)
            await self.apply(fault)
            await asyncio.sleep(calm)
        return begins

    async def apply(self, fault: Fault) -> None:
        """Let *fault* happen, and wait until it is over."""
        await self._doing[fault.kind](fault)

    def begin(self, kind: str, hosts: tuple[str, ...], peers: tuple[str, ...] = ()) -> int:
        """Write that a fault begins, and return its number."""
        self._faults += 1
        self.write(FaultBegan(time.monotonic(), self._faults, kind, hosts, peers))
        return self._faults

    def end(self, number: int) -> None:
        """Write that a fault has ended."""
        self.write(FaultEnded(time.monotonic(), number))

    def _server(self, target: str) -> ZooKeeperServer:
        leader = self.ensemble.leader()
        for server in self.ensemble.servers:
            if (server is leader) is (target == "leader"):
                return server
        return self.ensemble.servers[0]

    async def _kill_server(self, fault: Fault) -> None:
        server = await asyncio.to_thread(self._server, fault.target)
        number = self.begin("server killed", (REGISTRY,))
        server.kill()
        await asyncio.sleep(fault.seconds)
        # On this thread, as the server ends with the thread that starts it.
        server.launch()
        await asyncio.to_thread(server.wait)
        self.end(number)

    async def _stop_server(self, fault: Fault) -> None:
        server = await asyncio.to_thread(self._server, fault.target)
        number = self.begin("server stopped", (REGISTRY,))
        server.suspend()
        await asyncio.sleep(fault.seconds)
        server.resume()
        await asyncio.to_thread(server.wait)
        self.end(number)

    async def _disturb(self, fault: Fault) -> None:
        link = self.links[fault.target]
        number = self.begin(fault.kind, link.hosts, (REGISTRY,))
        for proxy in link.proxies:
            match fault.kind:
                case "cut":
                    proxy.cut()
                case "half-open":
                    proxy.black_hole()
                case "lost answers":
                    proxy.swallow_answers()
                case "slow":
                    proxy.delay(_DELAY)
                case "partition":
                    await proxy.refuse()
                case "expiry":
                    await proxy.expire_sessions()
        await asyncio.sleep(fault.seconds)
        for proxy in link.proxies:
            await proxy.heal()
        self.end(number)

    async def _crash(self, fault: Fault) -> None:
        member = self.members[fault.target]
        assert member.child is not None, "it runs"
        self.write(Ended(time.monotonic(), member.label))
        member.child.kill()
        await member.child.wait()
        if member.port and fault.kind == "crash and move":
            member.port = free_port()
        await self.run(member)

    async def _deploy(self, fault: Fault) -> None:
        await self.deploy(self.members[fault.target])

    async def deploy(self, member: Member) -> None:
        """End the process of *member* in order, and start the next one."""
        await self._end(member)
        await self.run(member)

    async def _stop(self, fault: Fault) -> None:
        member = self.members[fault.target]
        assert member.child is not None, "it runs"
        number = self.begin("stop", (member.name,))
        member.child.suspend()
        await asyncio.sleep(fault.seconds)
        member.child.resume()
        self.end(number)

    async def _lose_machine(self, fault: Fault) -> None:
        assert self._machine is not None, "there is one"
        number = self.begin("partition", (fault.target,))
        self._machine.lose()
        await asyncio.sleep(fault.seconds)
        self._machine.heal()
        self.end(number)
