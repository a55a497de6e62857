"""Reading ZooKeeper's sessions from the messages of a server, and ending them."""

import asyncio
import struct
from typing import Final, NamedTuple

__all__ = ["Session", "end_session", "read_session"]

# Every message begins with its length. The server's first: protocol, time-out, session, password.
_GREETING: Final = struct.Struct("!iiiqi")
_PASSWORD: Final = 16
# A newer server adds a flag for read-only servers; the length doesn't count itself.
_LENGTHS: Final = (_GREETING.size + _PASSWORD - 4, _GREETING.size + _PASSWORD - 3)

# The client's: protocol, last transaction seen, time-out, session, password.
_REQUEST: Final = struct.Struct("!iqiqi")
_XID: Final = 1
_CLOSE: Final = struct.pack("!iii", 8, _XID, -11)
_REPLY: Final = struct.Struct("!iqi")
_OK: Final = 0
_EXPIRED: Final = -112

#: Seconds that ending a session may take.
_PATIENCE: Final = 20.0


class Session(NamedTuple):
    """What is needed to act for a client."""

    id: int
    password: bytes
    timeout: int
    """Milliseconds."""


def read_session(greeting: bytes) -> Session | None:
    """Return the session that a server's first message names, None if it names none."""
    if len(greeting) < _GREETING.size + _PASSWORD:
        return None
    length, protocol, timeout, session, password_length = _GREETING.unpack_from(greeting)
    if length not in _LENGTHS or (protocol, password_length) != (0, _PASSWORD) or session == 0:
        return None
    return Session(session, greeting[_GREETING.size :][:_PASSWORD], timeout)


async def end_session(session: Session, host: str, port: int) -> None:
    """End *session* at the server, as if its client had ended it.

    The server closes the connection of the client when the session moves to this one.

    Raises:
        OSError: the server can't be reached.
        TimeoutError: it doesn't confirm the end.
    """
    async with asyncio.timeout(_PATIENCE):
        # A client that reconnects at once takes the session back before the end is processed, and no event
        # says when the next attempt will work.
        while not await _ended(session, host, port):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def _ended(session: Session, host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        body = _REQUEST.pack(0, 0, session.timeout, session.id, _PASSWORD) + session.password + b"\0"
        # Both at once, so that the server reads the end as soon as the session is ours.
        writer.write(len(body).to_bytes(4) + body + _CLOSE)
        if read_session(await _message(reader)) is None:
            return True  # it was over already
        xid, _, error = _REPLY.unpack_from(await _message(reader), 4)
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    else:
        return xid == _XID and error in {_OK, _EXPIRED}
    finally:
        writer.transport.abort()


async def _message(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length))
