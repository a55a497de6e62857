"""The way to syslog."""

import logging
import logging.handlers
import queue
import threading
from contextlib import suppress
from typing import Final
from urllib.parse import urlsplit

__all__ = ["syslog_handler"]

#: Messages that wait for a syslog that is slow; what comes then is lost.
_LONGEST_QUEUE: Final = 10_000

#: Seconds that the messages still to be sent have at the end of the program.
_TO_END: Final = 1.0


class _Syslog(logging.Handler):
    """Sends what its formatter makes, from a thread: a syslog that is stuck mustn't stop the event loop.

    Says once that it can't.
    """

    def __init__(self, way: logging.handlers.SocketHandler, end: bytes = b"") -> None:
        super().__init__()
        self._way = way
        self._end = end
        self._messages: queue.Queue[tuple[logging.LogRecord, bytes] | None] = queue.Queue(_LONGEST_QUEUE)
        self._thread: threading.Thread | None = None
        self._failing = False

    def emit(self, record: logging.LogRecord) -> None:
        if self._thread is None:
            # Not before: a program may fork until it logs.
            self._thread = threading.Thread(target=self._send, name="peerage.asab: syslog", daemon=True)
            self._thread.start()
        try:
            message = self.format(record).encode()
            self._messages.put_nowait((record, message))
        except Exception:  # noqa: BLE001 - a log that raises into the program helps nobody
            self._fail(record)

    def close(self) -> None:
        """Send what waits, as far as that is quick."""
        if self._thread is not None:
            with suppress(queue.Full):
                self._messages.put_nowait(None)
            self._thread.join(_TO_END)
        self._way.close()
        super().close()

    def _send(self) -> None:
        while (item := self._messages.get()) is not None:
            record, message = item
            try:
                self._way.send(message if message.endswith(b"\0") else message + self._end)
            except Exception:  # noqa: BLE001 - likewise
                self._fail(record)
            else:
                # One that is too slow takes a message now and then.
                self._failing = self._failing and not self._messages.empty()

    def _fail(self, record: logging.LogRecord) -> None:
        if not self._failing:
            self.handleError(record)
        self._failing = True


def syslog_handler(address: str) -> logging.Handler:
    """Return a handler that sends to *address*.

    It is a path, ``unix-sendto:///path`` or ``unix-connect:///path``, ``udp://host:port`` or
    ``tcp://host:port``; the port is 514 by default.

    Raises:
        ValueError: it is something else.
    """
    url = urlsplit(f"unix-sendto://{address}" if address.startswith("/") else address)
    if url.scheme not in {"tcp", "udp", "unix-connect", "unix-sendto"}:
        raise ValueError(
            f"[logging:syslog] address={address}: write a path, or a URL of udp, tcp, unix-sendto or "
            "unix-connect, such as udp://127.0.0.1:514."
        )
    where: tuple[str, int | None] = (url.path, None)
    if not url.scheme.startswith("unix"):
        where = (url.hostname or "localhost", url.port or logging.handlers.SYSLOG_UDP_PORT)
    if url.scheme in {"udp", "unix-sendto"}:
        return _Syslog(logging.handlers.DatagramHandler(*where))
    # Something must tell where a message ends in a stream.
    return _Syslog(logging.handlers.SocketHandler(*where), end=b"\n")
