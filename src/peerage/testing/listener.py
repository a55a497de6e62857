"""A listening socket on loopback that can be closed at any moment without losing a connection."""

import asyncio
import socket
from collections.abc import Callable
from contextlib import suppress


class Listener:
    """Accepts connections at a free port; all methods are called in the event loop of the server.

    A server of asyncio that is closed while it accepts a connection loses its socket, which stays open until
    it is collected (``asyncio.Server._attach`` fails then; CPython issue 109564). Here those connections are
    made before :meth:`stop` returns, so that the server knows all that there are.
    """

    def __init__(self) -> None:
        self._socket: socket.socket | None = None
        self._accepted: set[asyncio.Task[object]] = set()
        self.address = ("127.0.0.1", 0)
        """Where it listens, from :meth:`start` on."""

    def start(self, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        """Listen, and make a *protocol* for each connection."""
        self._socket = socket.create_server(self.address, backlog=100)
        self._socket.settimeout(0)
        self.address = self._socket.getsockname()
        asyncio.get_running_loop().add_reader(self._socket, self._accept, protocol)

    async def stop(self) -> None:
        """Close the port, and wait until each connection that was accepted has its protocol."""
        listener, self._socket = self._socket, None
        if listener is not None:
            asyncio.get_running_loop().remove_reader(listener)
            listener.close()
        if self._accepted:
            await asyncio.wait(self._accepted)

    def _accept(self, protocol: Callable[[], asyncio.BaseProtocol]) -> None:
        assert self._socket is not None, "it listens"
        # The client may have gone meanwhile.
        with suppress(BlockingIOError, ConnectionAbortedError):
            connection, _ = self._socket.accept()
            connection.settimeout(0)
            loop = asyncio.get_running_loop()
            task = loop.create_task(loop.connect_accepted_socket(protocol, connection))
            self._accepted.add(task)
            task.add_done_callback(self._accepted.discard)
