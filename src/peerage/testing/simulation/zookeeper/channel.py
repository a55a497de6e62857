"""What clients and servers say to each other, and the connection over which they do.

A message isn't encoded: it is kept under a number, and the eight bytes of the number are what is sent. So it
is subject to everything that may happen to bytes: delays, partitions, resets.
"""

import asyncio
from collections.abc import Callable
from typing import Any, Final, NamedTuple, cast

_LENGTH: Final = 8


#: The numbers of the answers to two messages that have none.
AUTHENTICATION: Final = 0
CLOSE: Final = -1


class Hello(NamedTuple):
    """A client's first message; *session* is 0 for a new one."""

    session: int
    timeout: float
    last_zxid: int


class Welcome(NamedTuple):
    """A server's first message; *session* is 0 if that of the client is over."""

    session: int
    timeout: float
    zxid: int


class Authenticate(NamedTuple):
    """A client shows ``user:password``."""

    credentials: str


class Call(NamedTuple):
    """A request; numbers begin at 1 with each connection."""

    number: int
    body: Any


class Ping(NamedTuple):
    """A client is alive; the answer is the same."""


class Close(NamedTuple):
    """A client ends its session; the server closes the connection then."""


class Answered(NamedTuple):
    """The answer to the request of that number."""

    number: int
    zxid: int
    error: int
    value: Any


class Event(NamedTuple):
    """An event of a watch."""

    kind: int
    path: str


class Mail:
    """The messages under way."""

    def __init__(self) -> None:
        self._messages: dict[int, Any] = {}
        self._posted = 0

    def post(self, message: Any) -> bytes:
        """Keep a message until it arrives; return what is sent instead."""
        self._posted += 1
        self._messages[self._posted] = message
        return self._posted.to_bytes(_LENGTH)

    def take(self, number: bytes) -> Any:
        """Return the message of which that was sent."""
        return self._messages.pop(int.from_bytes(number))


class Channel(asyncio.Protocol):
    """One end of a connection between client and server.

    Args:
        mail: keeps the messages.
        receive: called with each message.
        lost: called once, when the connection is lost, with the reason.
    """

    def __init__(self, mail: Mail, receive: Callable[[Any], None], lost: Callable[[str], None]) -> None:
        self._mail = mail
        self._receive = receive
        self._lost = lost
        self._buffer = b""
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take the transport."""
        self.transport = cast("asyncio.Transport", transport)

    def data_received(self, data: bytes) -> None:
        """Take messages."""
        data = self._buffer + data
        whole = len(data) - len(data) % _LENGTH
        self._buffer = data[whole:]
        for start in range(0, whole, _LENGTH):
            message = self._mail.take(data[start : start + _LENGTH])
            if self.transport is not None:
                self._receive(message)

    def connection_lost(self, error: Exception | None) -> None:
        """Take note that the connection is lost."""
        if self.transport is not None:
            self.transport = None
            self._lost(str(error) if error else "socket connection broken")

    def send(self, message: Any) -> None:
        """Send a message, unless the connection is lost."""
        if self.transport is not None:
            self.transport.write(self._mail.post(message))

    def close(self) -> None:
        """Close the connection, and hear no more of it."""
        transport, self.transport = self.transport, None
        if transport is not None:
            transport.abort()
