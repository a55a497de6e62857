"""Waiting until sockets can be read or written."""

import select
import ssl
from collections.abc import Sequence
from socket import socket

__all__ = ["NOT_READY", "poll"]

#: What a socket raises instead of waiting.
NOT_READY = (BlockingIOError, ssl.SSLWantReadError, ssl.SSLWantWriteError)


def poll(
    readable: Sequence[socket], writable: Sequence[socket], timeout: float | None
) -> tuple[list[socket], list[socket]]:
    """Return which of them are ready, nothing after *timeout* seconds.

    Unlike a selector it needs no descriptor for each call, and unlike select() it takes descriptors of any
    size.
    """
    for sock in readable:
        # TLS reads whole records: what is left of one isn't in the socket any more.
        if isinstance(sock, ssl.SSLSocket) and sock.pending():
            return [sock], []
    polling = select.poll()
    for sock in readable:
        polling.register(sock, select.POLLIN)
    for sock in writable:
        polling.register(sock, select.POLLOUT)
    ready = {descriptor for descriptor, _ in polling.poll(None if timeout is None else timeout * 1000)}
    return [sock for sock in readable if sock.fileno() in ready], [
        sock for sock in writable if sock.fileno() in ready
    ]
