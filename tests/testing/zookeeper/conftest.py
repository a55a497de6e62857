"""A client of ZooKeeper that consists of a socket, so that no library affects the result."""

import socket
import struct
from typing import Self

import pytest

_CREATE, _EXISTS, _CLOSE = 1, 3, -11


class RawClient:
    """A session at *address*: a new one, or that of another client."""

    def __init__(self, address, *, session=0, password=bytes(16), timeout=2_000):
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        try:
            self._send(struct.pack("!iqiqi", 0, 0, timeout, session, 16) + password + b"\0")
            greeting = self._receive()
        except BaseException:
            self._socket.close()
            raise
        _, self.timeout, self.session, _ = struct.unpack_from("!iiqi", greeting)
        self.password = greeting[20:36]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_):
        self._socket.close()

    def create(self, path, data=b"", *, ephemeral=False):
        """Create a node that every client may change."""
        acl = struct.pack("!ii", 1, 31) + _text(b"world") + _text(b"anyone")
        return self._call(_CREATE, _text(path.encode()) + _text(data) + acl + struct.pack("!i", ephemeral))

    def exists(self, path):
        return self._call(_EXISTS, _text(path.encode()) + b"\0") == 0

    def end(self):
        """End the session."""
        return self._call(_CLOSE, b"")

    def reset(self):
        """Close the connection, as a client that crashed; the session stays."""
        self._socket.close()

    def hear(self):
        """Wait for a byte of the server; empty if it closed the connection."""
        return self._socket.recv(1)

    def _call(self, kind, body):
        self._send(struct.pack("!ii", 7, kind) + body)
        _, _, error = struct.unpack_from("!iqi", self._receive())
        return error

    def _send(self, message):
        self._socket.sendall(len(message).to_bytes(4) + message)

    def _receive(self):
        return self._exactly(int.from_bytes(self._exactly(4)))

    def _exactly(self, count):
        received = b""
        while len(received) < count:
            part = self._socket.recv(count - len(received))
            if not part:
                raise ConnectionError("the server closed the connection")
            received += part
        return received


def _text(data):
    return len(data).to_bytes(4) + data


@pytest.fixture
def raw_client():
    return RawClient
