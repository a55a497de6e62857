"""Opens connections to servers, on a thread that may be told in the midst of it that none is wanted."""

import contextlib
import errno
import os
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from typing import Final

__all__ = ["Dialer"]

#: Seconds that a server has for accepting a connection and for answering at each step of the greeting, the
#: first time and at most. A dead machine answers nothing, and a server that just starts accepts some
#: connections which it never answers: waiting for those is waiting in vain.
_FIRST_PATIENCE: Final = 0.5
_LAST_PATIENCE: Final = 4.0

#: Seconds between looks at whether a connection is still wanted.
_GLANCE: Final = 0.05


class Dialer:
    """Makes one connection after the other.

    Args:
        context: for TLS.
        unwanted: whether no connection is wanted any more.
    """

    def __init__(self, context: ssl.SSLContext | None, unwanted: Callable[[], bool]) -> None:
        self._context = context
        self._unwanted = unwanted
        self.socket: socket.socket | None = None
        """The one made last, also while it is being made."""
        self.patience = _FIRST_PATIENCE
        """Seconds to wait for a connection, and for each answer of the greeting."""

    def dial(self, address: tuple[str, int], hostname: str | None, timeout: float) -> socket.socket:
        """Connect to *address* within *timeout* seconds; *hostname* is the server's name for TLS.

        Raises:
            OSError: it didn't come about; has an ``strerror``.
        """
        self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        try:
            self._reach(self.socket, address, time.monotonic() + min(timeout, self.patience))
            # From here on hang_up() can end it; up to here it couldn't.
            self._check_wanted()
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                # The descriptor moves to the new object: to be known before anything is waited for.
                self.socket = secure = self._context.wrap_socket(
                    self.socket, server_hostname=hostname, do_handshake_on_connect=False
                )
                self._greet(secure)
        except BaseException:
            self.socket.close()
            raise
        return self.socket

    def dial_apart(self, address: tuple[str, int], hostname: str | None, timeout: float) -> socket.socket:
        """Connect besides, on a thread that then waits for answers, each at most *timeout* seconds.

        Raises:
            OSError: it didn't come about.
        """
        apart = Dialer(self._context, self._unwanted)
        apart.patience = timeout
        sock = apart.dial(address, hostname, timeout)
        sock.settimeout(timeout)
        return sock

    def _reach(self, sock: socket.socket, address: tuple[str, int], deadline: float) -> None:
        sock.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            sock.connect(address)
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            while not selector.select(_GLANCE):
                self._check_wanted()
                if time.monotonic() >= deadline:
                    self.lengthen()
                    raise TimeoutError(errno.ETIMEDOUT, "no answer to a connection attempt")
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def _greet(self, secure: ssl.SSLSocket) -> None:
        self._check_wanted()
        # Both sides have something to compute, and a server that has just started does it for the first time.
        secure.settimeout(2 * self.patience)
        try:
            secure.do_handshake()
        except TimeoutError:
            self.lengthen()
            raise TimeoutError(errno.ETIMEDOUT, "no answer to a TLS greeting") from None

    def _check_wanted(self) -> None:
        if self._unwanted():
            raise ConnectionAbortedError(errno.ECONNABORTED, "closed")

    def lengthen(self) -> None:
        """Wait longer from now on: that was too short, or the server hangs."""
        self.patience = min(2 * self.patience, _LAST_PATIENCE)

    def reset(self) -> None:
        """Begin anew with the patience: a server answered."""
        self.patience = _FIRST_PATIENCE

    def hang_up(self) -> None:
        """Wake whoever waits for the server; callable from any thread."""
        sock = self.socket
        if sock is not None:
            # Closed or not connected: then nobody waits. The plain call, not TLS's, which would say goodbye.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
