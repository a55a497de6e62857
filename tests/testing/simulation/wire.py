"""A client of a real ZooKeeper that consists of a socket and kazoo's requests: hears all, in its order."""

import socket
import struct

from kazoo.protocol.serialization import Auth, Connect, Watch

_ANY_TIMEOUT = 30_000
_EVENT, _PING, _AUTH = -1, -2, -4
_CLOSE, _PING_TYPE = -11, 11


class WireClient:
    """A connection with *address*; *heard* is called with each event, and gets kind and path."""

    def __init__(self, address, heard, session=0, password=bytes(16)):
        host, _, port = address.rpartition(":")
        self._heard = heard
        self._xid = 0
        self._socket = socket.create_connection((host, int(port)), timeout=20)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._stream = self._socket.makefile("rb")
        self._send(Connect(0, 0, _ANY_TIMEOUT, session, password, read_only=False).serialize())
        greeting, _ = Connect.deserialize(self._receive(), 0)
        self.session, self.password = greeting.session_id, greeting.passwd

    def request(self, request):
        """Return the number of the last transaction, the error number, and the answer."""
        self._xid += 1
        zxid, error, body = self._exchange(self._xid, request.type, request.serialize())
        return zxid, error, None if error else request.deserialize(body, 0)

    def authenticate(self, credentials):
        self._exchange(_AUTH, Auth.type, Auth(0, "digest", credentials).serialize())

    def ping(self):
        """Hear all events up to now; return the number of the last transaction."""
        return self._exchange(_PING, _PING_TYPE, b"")[0]

    def end(self):
        """End the session; return the number of that transaction."""
        zxid, error, _ = self._exchange(self._xid + 1, _CLOSE, b"")
        assert error == 0
        self.close()
        return zxid

    def close(self):
        """Close the connection; the session stays."""
        self._stream.close()
        self._socket.close()

    def _exchange(self, xid, kind, body):
        self._send(struct.pack("!ii", xid, kind) + body)
        while True:
            answer = self._receive()
            answered, zxid, error = struct.unpack_from("!iqi", answer)
            if answered != _EVENT:
                assert answered == xid
                return zxid, error, answer[16:]
            event, _ = Watch.deserialize(answer, 16)
            self._heard(event.type, event.path)

    def _send(self, message):
        self._socket.sendall(len(message).to_bytes(4) + message)

    def _receive(self):
        return self._exactly(int.from_bytes(self._exactly(4)))

    def _exactly(self, count):
        received = self._stream.read(count)
        if len(received) < count:
            raise ConnectionError("the server closed the connection")
        return received
