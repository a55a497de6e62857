"""The way to syslog."""

import logging
import logging.handlers
from typing import Final
from urllib.parse import urlsplit

__all__ = ["syslog_handler"]


class _Formatted(logging.handlers.SocketHandler):
    """Sends what its formatter makes; says once that it can't."""

    _failing = False

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self.send(self.makePickle(record))
        except Exception:  # noqa: BLE001 - a log that raises into the program helps nobody
            if not self._failing:
                self.handleError(record)
            self._failing = True
        else:
            self._failing = False

    def makePickle(self, record: logging.LogRecord) -> bytes:  # noqa: N802 - of logging
        return self.format(record).encode()


class _Datagrams(_Formatted, logging.handlers.DatagramHandler):
    pass


class _Stream(_Formatted):
    def makePickle(self, record: logging.LogRecord) -> bytes:  # noqa: N802 - of logging
        # Something must tell where a message ends.
        message = super().makePickle(record)
        return message if message.endswith(b"\0") else message + b"\n"


_SCHEMES: Final = {"tcp": _Stream, "udp": _Datagrams, "unix-connect": _Stream, "unix-sendto": _Datagrams}


def syslog_handler(address: str) -> logging.Handler:
    """Return a handler that sends to *address*.

    It is a path, ``unix-sendto:///path`` or ``unix-connect:///path``, ``udp://host:port`` or
    ``tcp://host:port``; the port is 514 by default.

    Raises:
        ValueError: it is something else.
    """
    if address.startswith("/"):
        return _Datagrams(address, None)
    url = urlsplit(address)
    make = _SCHEMES.get(url.scheme)
    if make is None:
        raise ValueError(
            f"[logging:syslog] address={address}: write a path, or a URL of udp, tcp, unix-sendto or "
            "unix-connect, such as udp://127.0.0.1:514."
        )
    if url.scheme.startswith("unix"):
        return make(url.path, None)
    return make(url.hostname or "localhost", url.port or logging.handlers.SYSLOG_UDP_PORT)
