"""Opens connections to servers, on a thread; an attempt ends early when no connection is wanted any more."""

import contextlib
import errno
import os
import selectors
import socket
import ssl
import time
from collections.abc import Callable
from typing import Final

#: Seconds that a server has to accept a connection, and to answer at each step until the session is
#: established, at first and at most. A dead machine answers nothing, and a server that is just starting
#: accepts some connections that it never answers: a long wait for those is lost time.
_FIRST_PATIENCE: Final = 0.5
_LAST_PATIENCE: Final = 4.0

#: Seconds between two checks of whether a connection is still wanted.
_CHECK_INTERVAL: Final = 0.05


class Dialer:
    """Makes one connection after the other; *unwanted* returns whether none is wanted any more."""

    def __init__(self, context: ssl.SSLContext | None, unwanted: Callable[[], bool]) -> None:
        self._context = context
        self._unwanted = unwanted
        self.socket: socket.socket | None = None
        """The one made last, also while it is being made."""
        self.patience = _FIRST_PATIENCE
        """Seconds to wait for a connection, and for each answer until the session is established."""

    def dial(self, address: tuple[str, int], hostname: str | None, timeout: float) -> socket.socket:
        """Connect to *address* within *timeout* seconds, or raise an OSError that has a ``strerror``.

        *hostname* is the server's name for TLS.
        """
        self.socket = socket.socket(socket.AF_INET6 if ":" in address[0] else socket.AF_INET)
        try:
            self._connect(self.socket, address, time.monotonic() + min(timeout, self.patience))
            # Only a connected socket can be ended by hang_up().
            self._check_wanted()
            self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            if self._context is not None:
                # The descriptor moves to the new object, which hang_up() must know before anything waits.
                self.socket = secure = self._context.wrap_socket(
                    self.socket, server_hostname=hostname, do_handshake_on_connect=False
                )
                self._shake_hands(secure)
        except BaseException:
            self.socket.close()
            raise
        return self.socket

    def dial_command(self, address: tuple[str, int], hostname: str | None, timeout: float) -> socket.socket:
        """Open one more connection, for a command; each answer is waited for at most *timeout* seconds."""
        dialer = Dialer(self._context, self._unwanted)
        dialer.patience = timeout
        sock = dialer.dial(address, hostname, timeout)
        sock.settimeout(timeout)
        return sock

    def _connect(self, sock: socket.socket, address: tuple[str, int], deadline: float) -> None:
        sock.settimeout(0)
        with contextlib.suppress(BlockingIOError):
            sock.connect(address)
        with selectors.DefaultSelector() as selector:
            selector.register(sock, selectors.EVENT_WRITE)
            while not selector.select(_CHECK_INTERVAL):
                self._check_wanted()
                if time.monotonic() >= deadline:
                    self.extend_patience()
                    raise TimeoutError(errno.ETIMEDOUT, "no answer to a connection attempt")
        error = sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
        if error:
            raise OSError(error, os.strerror(error))

    def _shake_hands(self, secure: ssl.SSLSocket) -> None:
        self._check_wanted()
        # The handshake is slow on both sides, above all the first one of a server that has just started.
        secure.settimeout(2 * self.patience)
        try:
            secure.do_handshake()
        except TimeoutError:
            self.extend_patience()
            raise TimeoutError(errno.ETIMEDOUT, "no answer to a TLS handshake") from None

    def _check_wanted(self) -> None:
        if self._unwanted():
            raise ConnectionAbortedError(errno.ECONNABORTED, "closed")

    def extend_patience(self) -> None:
        """Wait longer from now on: the wait was too short, or the server hangs."""
        self.patience = min(2 * self.patience, _LAST_PATIENCE)

    def reset_patience(self) -> None:
        """Wait as long as at first: a server has answered."""
        self.patience = _FIRST_PATIENCE

    def hang_up(self) -> None:
        """Shut the connection down, which ends any wait for the server; callable from any thread."""
        sock = self.socket
        if sock is not None:
            # Refused if it is closed or not connected. The call of the plain socket: TLS's would write first.
            with contextlib.suppress(OSError):
                socket.socket.shutdown(sock, socket.SHUT_RDWR)
