"""The ends of simulated connections: what the kernel keeps, and asyncio's transport over it."""

import asyncio
import errno
import os
import socket
from collections import deque
from collections.abc import Callable
from contextvars import Context, copy_context
from typing import TYPE_CHECKING, Any, Final, NoReturn

from peerage.testing.simulation.process import PROCESS, Process

if TYPE_CHECKING:
    from peerage.testing.simulation.network import Network

Address = tuple[str, int]

#: Bytes that the kernels take in one direction before the other process reads them, and that asyncio keeps
#: beyond these before it tells the protocol to pause.
_KERNEL: Final = 256 * 1024
_HIGH: Final = 64 * 1024


class Eof:
    """The end of what one side sends."""


EOF: Final = Eof()

#: What is on its way over a connection: data, the end of it, or a reset.
Item = bytes | Eof | OSError


def reset() -> OSError:
    """Return what a process gets whose peer doesn't know the connection any more."""
    return ConnectionResetError(errno.ECONNRESET, os.strerror(errno.ECONNRESET))


class Endpoint:
    """One end of a connection, in the kernel of its machine.

    Args:
        network: carries what is sent.
        process: owns it.
        context: in which its transport runs.
        address: its own one.
        peername: that of the other end.
    """

    def __init__(
        self, network: "Network", process: Process, context: Context, address: Address, peername: Address
    ) -> None:
        self.network = network
        self.process = process
        self.context = context
        self.address = address
        self.peername = peername
        self.peer: Endpoint | None = None
        self.transport: SimulatedTransport | None = None
        self.received: deque[Item] = deque()
        """What has arrived and wasn't read."""
        self.gone = False
        """Whether its process has closed it, or has ended."""
        self.arrives = 0.0
        """When what was sent last arrives."""
        self.unsent: list[Item] = []
        """What couldn't be sent, and is repeated."""
        self.lost_at = 0.0
        """When the first of it was sent."""
        self.under_way = 0
        """Bytes that were sent and not read."""
        process.endpoints[self] = None

    def deliver(self, item: Item) -> None:
        """Take what arrives; runs in the process that owns this."""
        if self.gone:
            return
        self.received.append(item)
        if self.transport is not None:
            self.transport.read()

    def close(self) -> None:
        """Close it, as the kernel also does at the end of a process: the other end is told."""
        if not self.gone:
            self.gone = True
            del self.process.endpoints[self]
            unread = any(isinstance(each, bytes) for each in self.received)
            self.network.transmit(self, reset() if unread else EOF)

    def vanish(self) -> None:
        """Forget it without telling the other end, as at a power cut."""
        self.gone = True
        self.process.endpoints.pop(self, None)


class SimulatedTransport(asyncio.Transport):
    """A TCP connection of asyncio in the simulated network."""

    def __init__(self, endpoint: Endpoint, protocol: asyncio.BaseProtocol) -> None:
        super().__init__({"peername": endpoint.peername, "sockname": endpoint.address, "simulated": endpoint})
        self._endpoint = endpoint
        self._loop = endpoint.network.loop
        self._protocol: Any = protocol
        self._high = _HIGH
        self._is_started = self._is_paused = False
        self._closing = False
        self._eof_written = False
        self._writing_paused = False
        endpoint.transport = self
        self._soon(protocol.connection_made, self)
        self._soon(self._start)

    def _soon(self, callback: Callable[..., object], *args: Any) -> None:
        self._loop.call_soon(callback, *args, context=self._endpoint.context)

    # Reading

    def _start(self) -> None:
        # As with asyncio, tasks that the protocol has made begin before it gets data.
        self._is_started = True
        self._soon(self.read)

    def read(self) -> None:
        """Hand what has arrived on to the protocol."""
        received = self._endpoint.received
        while received and self._is_started and self.is_reading():
            item = received.popleft()
            if isinstance(item, bytes):
                self._acknowledge(len(item))
                self._protocol.data_received(item)
            elif isinstance(item, OSError):
                self._lose(item)
            elif not self._protocol.eof_received():
                self.close()

    def _acknowledge(self, size: int) -> None:
        peer = self._endpoint.peer
        if peer is not None:
            peer.under_way -= size
            if peer.transport is not None and peer.transport._writing_paused:
                peer.transport._soon(peer.transport._resume_writing)

    def is_reading(self) -> bool:
        """Tell whether data is handed on."""
        return not self._is_paused and not self._closing

    def pause_reading(self) -> None:
        """Hand no data on until :meth:`resume_reading`."""
        self._is_paused = True

    def resume_reading(self) -> None:
        """Hand data on again."""
        if self._is_paused:
            self._is_paused = False
            self._soon(self.read)

    # Writing

    def write(self, data: bytes | bytearray | memoryview) -> None:
        """Send *data*."""
        if self._eof_written:
            raise RuntimeError("Cannot call write() after write_eof()")
        endpoint = self._endpoint
        if endpoint.gone or not data:
            return
        endpoint.under_way += len(data)
        endpoint.network.transmit(endpoint, bytes(data))
        if not self._writing_paused and self.get_write_buffer_size() > self._high:
            self._writing_paused = True
            self._protocol.pause_writing()

    def _resume_writing(self) -> None:
        if self._writing_paused and self.get_write_buffer_size() <= self._high // 4:
            self._writing_paused = False
            self._protocol.resume_writing()

    def get_write_buffer_size(self) -> int:
        """Return how many bytes the kernels don't take at the moment."""
        return max(0, self._endpoint.under_way - _KERNEL)

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """Return the limits at which the protocol pauses and resumes, the lower one first."""
        return self._high // 4, self._high

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Set the limit at which the protocol pauses."""
        self._high = high if high is not None else _HIGH if low is None else 4 * low

    def can_write_eof(self) -> bool:
        """Return True, as for TCP."""
        return True

    def write_eof(self) -> None:
        """Send the end of the data, and go on reading."""
        if not self._eof_written and not self._endpoint.gone:
            self._eof_written = True
            self._endpoint.network.transmit(self._endpoint, EOF)

    # Closing

    def is_closing(self) -> bool:
        """Tell whether it is closed or being closed."""
        return self._closing

    def close(self) -> None:
        """Close it; what was written is sent."""
        self._lose(None)

    def abort(self) -> None:
        """Close it at once."""
        self._lose(None)

    def _lose(self, error: OSError | None) -> None:
        if not self._closing:
            self._closing = True
            if isinstance(error, OSError):
                self._endpoint.vanish()
            else:
                self._endpoint.close()
            self._soon(self._protocol.connection_lost, error)

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Let another protocol get what arrives."""
        self._protocol = protocol

    def get_protocol(self) -> asyncio.BaseProtocol:
        """Return the protocol."""
        protocol: asyncio.BaseProtocol = self._protocol
        return protocol


class SimulatedSocket:
    """What stands for a socket until there is a transport; see ``loop.sock_connect()``."""

    def __init__(self, family: int = socket.AF_INET, type: int = 0, proto: int = 0) -> None:  # noqa: A002 - as socket.socket
        self.family = family
        self.type = type
        self.proto = proto
        self.endpoint: Endpoint | None = None
        self.name: Address = ("0.0.0.0", 0)  # noqa: S104 - as the kernel says

    def setblocking(self, flag: bool) -> None:  # noqa: FBT001 - as socket.socket
        """Do nothing: it never blocks."""

    def setsockopt(self, *_: object) -> None:
        """Do nothing."""

    def getsockname(self) -> Address:
        """Return its own address."""
        return self.name if self.endpoint is None else self.endpoint.address

    def fileno(self) -> int:
        """Return -1: there is no descriptor."""
        return -1

    def shutdown(self, how: int) -> None:
        """Break the connection."""
        del how
        if self.endpoint is not None:
            if self.endpoint.transport is None:
                self.endpoint.close()
            else:
                self.endpoint.transport.abort()

    def close(self) -> None:
        """Close the connection, if it isn't a transport's by now."""
        if self.endpoint is not None and self.endpoint.transport is None:
            self.endpoint.close()

    def detach(self) -> NoReturn:
        """Refuse: there is no descriptor."""
        raise OSError(errno.EBADF, "A simulated socket has no descriptor.")


class Listener:
    """Where a process listens: in the kernel of its machine."""

    def __init__(self, network: "Network", process: Process, address: Address, backlog: int) -> None:
        self.network = network
        self.process = process
        self.address = address
        self.backlog = backlog
        self.context = copy_context()
        self.waiting: deque[Endpoint] = deque()
        """Connections that are made and not accepted."""
        self.accepting: Callable[[], asyncio.BaseProtocol] | None = None
        self.closed = False
        process.listeners[self] = None

    def accept(self, endpoint: Endpoint) -> None:
        """Let the process accept a connection; runs in the kernel."""
        self.waiting.append(endpoint)
        self.network.loop.call_soon(self._accept, context=self.context)

    def _accept(self) -> None:
        while self.waiting and self.accepting is not None:
            SimulatedTransport(self.waiting.popleft(), self.accepting())

    def close(self) -> None:
        """Listen no more; connections that weren't accepted are reset."""
        if not self.closed:
            self.closed = True
            del self.process.listeners[self]
            self.network.unlisten(self)
            for each in self.waiting:
                self.network.transmit(each, reset())
                each.vanish()
            self.waiting.clear()


class SimulatedServer(asyncio.AbstractServer):
    """A server of asyncio in the simulated network."""

    def __init__(self, listener: Listener, protocol_factory: Callable[[], asyncio.BaseProtocol]) -> None:
        self._listener = listener
        self._factory = protocol_factory
        self._forever: asyncio.Future[None] | None = None

    @property
    def sockets(self) -> tuple[SimulatedSocket, ...]:
        """The sockets that listen."""
        if self._listener.closed:
            return ()
        listening = SimulatedSocket()
        listening.name = self._listener.address
        return (listening,)

    def get_loop(self) -> asyncio.AbstractEventLoop:
        """Return the event loop."""
        return self._listener.network.loop

    def is_serving(self) -> bool:
        """Tell whether it accepts connections."""
        return self._listener.accepting is not None and not self._listener.closed

    def close(self) -> None:
        """Listen no more; connections stay."""
        self._listener.close()
        if self._forever is not None:
            self._forever.cancel()

    async def start_serving(self) -> None:
        """Accept connections."""
        self._listener.accepting = self._factory
        await asyncio.sleep(0)

    async def serve_forever(self) -> None:
        """Accept connections until cancelled or closed."""
        await self.start_serving()
        self._forever = self.get_loop().create_future()
        try:
            await self._forever
        finally:
            self.close()

    async def wait_closed(self) -> None:
        """Return at once: protocols close their connections themselves."""
        await asyncio.sleep(0)


def current_process(doing: str) -> Process:
    """Return the process whose code runs; RuntimeError outside of all of them."""
    process = PROCESS.get()
    if process is None:
        raise RuntimeError(f"Only a simulated process can {doing}: start a program on a host.")
    return process
