"""A simulated network: machines, the links between them, names, and connections with TCP's semantics.

What is sent over one connection arrives in order; what is sent over two needn't. A link that is cut loses
everything, so what was sent is repeated, at longer and longer intervals, until it arrives or a quarter of an
hour has passed, as Linux does.
"""

import asyncio
import errno
import os
import socket
from collections.abc import Callable
from contextvars import Context, copy_context
from dataclasses import dataclass
from ipaddress import ip_address
from random import Random
from typing import Any, Final, cast

from peerage.testing.simulation.loop import NotSimulatedError, SimulatedLoop
from peerage.testing.simulation.process import Process
from peerage.testing.simulation.transport import (
    EOF,
    Address,
    Endpoint,
    Item,
    Listener,
    SimulatedServer,
    SimulatedSocket,
    SimulatedTransport,
    current_process,
    reset,
)

#: Seconds until a handshake is repeated for the first and for the last time, twice as long each time; after
#: 127 seconds in all it is given up (tcp_syn_retries).
_SYN_RETRY: Final = 1.0
_LAST_SYN_RETRY: Final = 32.0

#: The same for data (tcp_retries2), and the longest interval.
_RETRY: Final = 0.2
_SECONDS: Final = 924.0
_LONGEST: Final = 120.0

#: The first port that the kernel chooses for listeners, and for connections.
_FIRST_FREE: Final = 20000
_FIRST_EPHEMERAL: Final = 32768

_ANYWHERE: Final = ("", "0.0.0.0", "::")  # noqa: S104 - what programs listen on
_LOOPBACK: Final = "127.0.0.1"


@dataclass(slots=True)
class Machine:
    """One machine of the network."""

    name: str
    ip: str
    up: bool = True
    boots: int = 1
    """How often it was started."""
    booted: float = 0.0
    """When it was started last."""
    ports: int = _FIRST_FREE
    ephemeral: int = _FIRST_EPHEMERAL


class Network:
    """What connects the machines of a world.

    Args:
        loop: runs it.
        random: source of the delays.
    """

    def __init__(self, loop: SimulatedLoop, random: Random) -> None:
        self.loop = loop
        loop.network = self
        self.machines: dict[str, Machine] = {}
        """By their addresses."""
        self.delays: dict[tuple[str, str], tuple[float, float]] = {}
        """The least and the most seconds from one address to another, if not :attr:`delay`."""
        self.delay = (0.0001, 0.001)
        """The least and the most seconds of anything sent between two machines."""
        self.local_delay = (0.00001, 0.0001)
        """The same within a machine."""
        self.cuts: set[tuple[str, str]] = set()
        """The pairs of addresses of which the first can't reach the second."""
        self.names_hang = False
        """Whether no name is looked up at the moment."""
        self.names_fail = False
        """Whether each look-up fails at the moment."""
        self._random = random
        # By names, and by themselves.
        self._addresses = {"localhost": _LOOPBACK, _LOOPBACK: _LOOPBACK}
        self._listeners: dict[Address, Listener] = {}
        # What happens in the network belongs to no process.
        self._kernel = Context()

    # Machines and links

    def add(self, name: str) -> Machine:
        """Add a machine with the next free address."""
        machine = Machine(name, f"10.0.0.{len(self.machines) + 1}")
        self.machines[machine.ip] = machine
        self._addresses[name] = self._addresses[machine.ip] = machine.ip
        return machine

    def cut(self, one: str, other: str) -> None:
        """Let nothing pass from the address *one* to *other*."""
        self.cuts.add((one, other))

    def mend(self, one: str, other: str) -> None:
        """Let everything pass again."""
        self.cuts.discard((one, other))

    def passes(self, one: str, other: str) -> bool:
        """Return whether what the address *one* sends reaches *other*."""
        return (one, other) not in self.cuts and self.machines[one].up and self.machines[other].up

    def way(self, one: str, other: str) -> float:
        """Return the seconds that something takes from one address to another."""
        least, most = self.local_delay if one == other else self.delays.get((one, other), self.delay)
        return least + self._random.random() * (most - least)

    def in_kernel(self, seconds: float, call: Callable[..., object], *args: Any) -> None:
        """Do something later that belongs to no process."""
        self.loop.call_later(seconds, call, *args, context=self._kernel)

    # Data

    def transmit(self, source: Endpoint, item: Item) -> None:
        """Send *item* to the other end."""
        target = source.peer
        if target is None:
            return
        here, there = source.process.ip, target.process.ip
        if source.unsent or not self.passes(here, there):
            if isinstance(item, OSError):
                return  # it isn't repeated
            if not source.unsent:
                source.lost_at = self.loop.time()
                self.in_kernel(_RETRY, self._repeat, source, _RETRY)
            source.unsent.append(item)
        elif target.gone:
            if not isinstance(item, OSError) and item is not EOF and not source.gone:
                self._refuse(source)
        else:
            source.arrives = max(source.arrives, self.loop.time() + self.way(here, there))
            self.loop.call_at(source.arrives, target.deliver, item, context=target.context)

    def _refuse(self, source: Endpoint) -> None:
        """Answer what was sent to an end that is closed."""
        there, here = source.peername[0], source.process.ip
        there = there if there in self.machines else here
        delay = self.way(here, there) + self.way(there, here)
        self.loop.call_later(delay, source.deliver, reset(), context=source.context)

    def _repeat(self, source: Endpoint, interval: float) -> None:
        target = source.peer
        if target is None or not self.machines[source.process.ip].up:
            return
        if self.passes(source.process.ip, target.process.ip):
            items, source.unsent = source.unsent, []
            for item in items:
                self.transmit(source, item)
        elif self.loop.time() - source.lost_at > _SECONDS:
            error = TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            self.loop.call_soon(source.deliver, error, context=source.context)
        else:
            interval = min(2 * interval, _LONGEST)
            self.in_kernel(interval, self._repeat, source, interval)

    # Connections

    async def connect(self, address: Address) -> Endpoint:
        """Connect this process; raise OSError as the kernel does."""
        process = current_process("connect")
        handshake = _Handshake(self, process, address)
        handshake.send(_SYN_RETRY)
        try:
            return await handshake.done
        except asyncio.CancelledError:
            handshake.abandon()
            raise

    def listener(self, ip: str, port: int) -> Listener | None:
        """Return what listens there."""
        return self._listeners.get((ip, port)) or self._listeners.get((f"*{ip}", port))

    def ended(self, process: Process) -> None:
        """Close what a process has left that has ended."""
        for listener in tuple(process.listeners):
            listener.close()
        for endpoint in tuple(process.endpoints):
            endpoint.close()

    def unlisten(self, listener: Listener) -> None:
        """Forget a listener that is closed."""
        self._listeners = {key: each for key, each in self._listeners.items() if each is not listener}

    async def create_server(
        self,
        protocol_factory: Callable[[], Any],
        host: str | None = None,
        port: int | None = None,
        *,
        backlog: int = 100,
        ssl: Any = None,
        sock: Any = None,
        start_serving: bool = True,
        **_: Any,
    ) -> SimulatedServer:
        """Do what ``loop.create_server()`` does.

        Raises:
            OSError: another process listens there.
        """
        if ssl is not None or sock is not None:
            raise NotSimulatedError("A server with TLS" if sock is None else "A socket that exists")
        process = current_process("listen")
        machine = self.machines[process.ip]
        if not port:
            machine.ports += 1
            port = machine.ports
        everywhere = host is None or host in _ANYWHERE
        bound = f"*{machine.ip}" if everywhere else self._local(host or "", machine)
        if (bound, port) in self._listeners:
            raise OSError(errno.EADDRINUSE, f"{host}:{port} is in use")
        shown = "0.0.0.0" if everywhere else str(host)  # noqa: S104 - as the kernel says
        listener = self._listeners[bound, port] = Listener(self, process, (shown, port), backlog)
        server = SimulatedServer(listener, protocol_factory)
        if start_serving:
            await server.start_serving()
        return server

    def _local(self, host: str, machine: Machine) -> str:
        if host in {"localhost", _LOOPBACK}:
            return f"{_LOOPBACK} of {machine.ip}"
        return machine.ip

    async def sock_connect(self, sock: SimulatedSocket, address: Any) -> None:
        """Do what ``loop.sock_connect()`` does."""
        sock.endpoint = await self.connect(address[:2])

    async def create_connection(
        self,
        protocol_factory: Callable[[], Any],
        host: str | None = None,
        port: int | None = None,
        *,
        ssl: Any = None,
        sock: Any = None,
        **_: Any,
    ) -> tuple[SimulatedTransport, Any]:
        """Do what ``loop.create_connection()`` does."""
        if ssl:
            raise NotSimulatedError("TLS")
        endpoint: Endpoint | None
        if sock is None:
            found = await self.getaddrinfo(host, port)
            endpoint = await self.connect(found[0][4])
        else:
            endpoint = cast("SimulatedSocket", sock).endpoint
        assert endpoint is not None, "the socket is connected"
        protocol = protocol_factory()
        transport = SimulatedTransport(endpoint, protocol)
        # As asyncio's, which returns when the protocol knows its transport.
        await asyncio.sleep(0)
        return transport, protocol

    # Names

    def look_up(self, host: str, port: Any, *, family: int = 0, **_: Any) -> list[tuple[Any, ...]]:
        """Do what ``socket.getaddrinfo()`` does, in no time."""
        if self.names_fail:
            raise socket.gaierror(socket.EAI_AGAIN, "Temporary failure in name resolution")
        ip = self._addresses.get(host) or _literal(host)
        if not ip or family == socket.AF_INET6:
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (ip, int(port or 0)))]

    async def getaddrinfo(self, host: Any, port: Any, **kwargs: Any) -> list[tuple[Any, ...]]:
        """Do what ``loop.getaddrinfo()`` does."""
        looked_up = asyncio.Event()
        self.start_lookup(looked_up.set)
        await looked_up.wait()
        return self.look_up(host, port, **kwargs)

    def start_lookup(self, look_up: Callable[[], object]) -> None:
        """Let *look_up*, which calls :meth:`look_up`, run when the name server answers; it may never do."""
        if not self.names_hang:
            self.loop.call_later(self.way("", "-"), look_up)


def _literal(host: str) -> str:
    """Return *host* if it is an address, though of no machine, else an empty text."""
    try:
        return str(ip_address(host))
    except ValueError:
        return ""


class _Handshake:
    """One attempt of a process to connect."""

    def __init__(self, network: Network, process: Process, address: Address) -> None:
        ip, port = address
        self.network = network
        self.process = process
        self.loopback = ip == _LOOPBACK
        self.ip = process.ip if self.loopback else ip
        self.address = address
        self.port = port
        self.context = copy_context()
        self.done: asyncio.Future[Endpoint] = network.loop.create_future()
        self.endpoint: Endpoint | None = None

    def send(self, interval: float) -> None:
        """Send the handshake, and repeat it as long as nothing answers."""
        network, here, there = self.network, self.process.ip, self.ip
        if self.done.done() or not self.process.alive:
            return
        if there in network.machines and network.passes(here, there) and network.passes(there, here):
            network.in_kernel(network.way(here, there), self._arrive, interval)
        else:
            self._again(interval)

    def _again(self, interval: float) -> None:
        if interval > _LAST_SYN_RETRY:
            error = TimeoutError(errno.ETIMEDOUT, os.strerror(errno.ETIMEDOUT))
            self.network.in_kernel(interval, self._end, error)
        else:
            self.network.in_kernel(interval, self.send, 2 * interval)

    def _arrive(self, interval: float) -> None:
        if self.done.done() or not self.process.alive:
            return
        network, machine = self.network, self.network.machines[self.ip]
        if not machine.up:
            self._again(interval)
            return
        bound = f"{_LOOPBACK} of {machine.ip}" if self.loopback else self.ip
        listener = network.listener(bound, self.port) or network.listener(self.ip, self.port)
        if listener is None:
            self._answer(ConnectionRefusedError(errno.ECONNREFUSED, os.strerror(errno.ECONNREFUSED)))
        elif len(listener.waiting) > listener.backlog:
            self._again(interval)
        else:
            own = network.machines[self.process.ip]
            own.ephemeral += 1
            name = (_LOOPBACK if self.loopback else own.ip, own.ephemeral)
            self.endpoint = Endpoint(network, self.process, self.context, name, self.address)
            accepted = Endpoint(network, listener.process, listener.context.copy(), self.address, name)
            self.endpoint.peer, accepted.peer = accepted, self.endpoint
            listener.accept(accepted)
            self._answer(self.endpoint)

    def _answer(self, answer: Endpoint | OSError) -> None:
        delay = self.network.way(self.ip, self.process.ip)
        if self.endpoint is not None:
            # What the server sends next comes after this.
            assert self.endpoint.peer is not None, "they are made together"
            self.endpoint.peer.arrives = self.network.loop.time() + delay
        self.network.loop.call_later(delay, self._end, answer, context=self.context)

    def _end(self, answer: Endpoint | OSError) -> None:
        if self.done.done():
            return
        if isinstance(answer, OSError):
            self.done.set_exception(answer)
        else:
            self.done.set_result(answer)

    def abandon(self) -> None:
        """Give up: the process doesn't wait any more."""
        if self.endpoint is not None:
            self.endpoint.close()
