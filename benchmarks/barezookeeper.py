"""The least possible work against ZooKeeper: a blocking socket, no reconnect, no error handling.

The limit that the backend is compared with: ``python -m benchmarks.barezookeeper ROLE ADDRESS FOLDER …``. It
writes lines of JSON as :mod:`benchmarks.workers` does.
"""

import json
import socket
import struct
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Any

__all__ = ["BATCH", "OVERHEAD", "Bare"]

#: Paths of one MultiRead.
BATCH = 100

#: Bytes of one record in the answers besides its data and its name: that and its length in the list; header,
#: length and stat in the MultiRead.
OVERHEAD = 4 + 9 + 4 + 68

_INT = struct.Struct("!i")
_STEP = struct.Struct("!iBi")
_REPLY = struct.Struct("!iqi")
_STAT = 68
_CREATED, _GET, _CHILDREN, _MULTI_READ, _ADD_WATCH, _CLOSE = 1, 4, 8, 22, 106, -11


def _text(text: str) -> bytes:
    encoded = text.encode()
    return _INT.pack(len(encoded)) + encoded


class Bare:
    """One session; answers are read in the order of the requests.

    Args:
        address: ``host:port``.
    """

    def __init__(self, address: str) -> None:
        host, _, port = address.rpartition(":")
        self._socket = socket.create_connection((host, int(port)))
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._file = self._socket.makefile("rb", buffering=1 << 18)
        self._socket.sendall(self._framed(struct.pack("!iqiqi16sB", 0, 0, 30_000, 0, 16, bytes(16), 0)))
        self._frame()

    @staticmethod
    def _framed(body: bytes) -> bytes:
        return _INT.pack(len(body)) + body

    def _frame(self) -> bytes:
        (length,) = _INT.unpack(self._file.read(4))
        return self._file.read(length)

    def _send(self, kind: int, *bodies: bytes) -> None:
        self._socket.sendall(b"".join(self._framed(struct.pack("!ii", 1, kind) + body) for body in bodies))

    def children(self, path: str) -> list[str]:
        """Return the names of the children."""
        self._send(_CHILDREN, _text(path) + b"\0")
        frame = self._frame()
        (count,) = _INT.unpack_from(frame, _REPLY.size)
        names, offset = [], _REPLY.size + 4
        for _ in range(count):
            (length,) = _INT.unpack_from(frame, offset)
            names.append(frame[offset + 4 : offset + 4 + length].decode())
            offset += 4 + length
        return names

    def read_many(self, paths: Sequence[str]) -> Iterator[bytes]:
        """Yield the data of the nodes; all requests are sent at once."""
        step, end = _STEP.pack(_GET, 0, -1), _STEP.pack(-1, 1, -1)
        batches = [paths[start : start + BATCH] for start in range(0, len(paths), BATCH)]
        self._send(
            _MULTI_READ,
            *(b"".join([step + _text(path) + b"\0" for path in batch]) + end for batch in batches),
        )
        for batch in batches:
            frame, offset = self._frame(), _REPLY.size
            for _ in batch:
                (length,) = _INT.unpack_from(frame, offset + _STEP.size)
                offset += _STEP.size + 4
                yield frame[offset : offset + length]
                offset += length + _STAT

    def arrivals(self, path: str) -> Iterator[bytes]:
        """Yield empty bytes once the watch is set, then the data of each new node below *path*."""
        self._send(_ADD_WATCH, _text(path) + _INT.pack(1))
        self._frame()
        yield b""
        while True:
            frame = self._frame()
            xid, _, error = _REPLY.unpack_from(frame)
            if xid != -1:
                if not error:
                    (length,) = _INT.unpack_from(frame, _REPLY.size)
                    yield frame[_REPLY.size + 4 : _REPLY.size + 4 + length]
                continue
            kind, _, length = struct.unpack_from("!iii", frame, _REPLY.size)
            if kind == _CREATED:
                self._send(_GET, _text(frame[_REPLY.size + 12 : _REPLY.size + 12 + length].decode()) + b"\0")

    def close(self) -> None:
        """End the session."""
        self._send(_CLOSE, b"")
        self._frame()
        self._file.close()
        self._socket.close()


def _sync(address: str, folder: str) -> None:
    begin, cpu = time.perf_counter(), time.process_time()
    bare = Bare(address)
    paths = [f"{folder}/{name}" for name in bare.children(folder)]
    found = [json.loads(data) for data in bare.read_many(paths)]
    wall, cpu = time.perf_counter() - begin, time.process_time() - cpu
    _say({"known": len(found), "wall": wall, "cpu": cpu})
    bare.close()


def _see(address: str, folder: str, count: str) -> None:
    """Write the seconds that each of *count* records took to arrive, from the moment that it carries."""
    bare = Bare(address)
    latencies: list[float] = []
    for data in bare.arrivals(folder):
        if not data:
            _say("ready")
        elif data[:1].isdigit():
            latencies.append(time.monotonic() - float(data))
        if len(latencies) == int(count):
            break
    _say(latencies)
    bare.close()


def _say(value: Any) -> None:
    sys.stdout.write(json.dumps(value) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    {"sync": _sync, "see": _see}[sys.argv[1]](*sys.argv[2:])
