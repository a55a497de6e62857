"""Reading ZooKeeper's sessions from the messages of a server, and ending them."""

import asyncio
import struct
from typing import Final

# Every message begins with its length, which doesn't count itself. The server's first one continues with
# protocol, time-out, session, length of the password, password; newer servers add a flag.
_GREETING: Final = struct.Struct("!iiiqi16s")
_LENGTHS: Final = (_GREETING.size - 4, _GREETING.size - 3)

# The client's: protocol, last transaction seen, time-out in milliseconds, session, length of the password,
# password, whether a read-only server will do.
_REQUEST: Final = struct.Struct("!iiqiqi16sb")
_TIMEOUT: Final = 10_000
_XID: Final = 1
_CLOSE: Final = struct.pack("!iii", 8, _XID, -11)
_REPLY: Final = struct.Struct("!iiqi")
_OK: Final = 0
_EXPIRED: Final = -112

#: Seconds that ending a session may take.
_PATIENCE: Final = 20.0


def read_session(greeting: bytes) -> tuple[int, bytes] | None:
    """Return id and password of the session that a server's first message names, None if it names none."""
    if len(greeting) < _GREETING.size:
        return None
    length, protocol, _, session, password_length, password = _GREETING.unpack_from(greeting)
    if length not in _LENGTHS or (protocol, password_length) != (0, len(password)) or session == 0:
        return None
    return session, password


async def end_session(session: int, password: bytes, host: str, port: int) -> None:
    """End *session* at the server, as if its client had ended it.

    The server closes the connection of the client when the session moves to this one.

    Raises:
        OSError: the server can't be reached.
        TimeoutError: it doesn't confirm the end.
    """
    async with asyncio.timeout(_PATIENCE):
        # A client that reconnects at once takes the session back before the end is processed, and no event
        # says when the next attempt will work.
        while not await _ended(session, password, host, port):  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def _ended(session: int, password: bytes, host: str, port: int) -> bool:
    reader, writer = await asyncio.open_connection(host, port)
    try:
        request = _REQUEST.pack(_REQUEST.size - 4, 0, 0, _TIMEOUT, session, len(password), password, 0)
        # Both at once, so that the server reads the end as soon as the session is ours.
        writer.write(request + _CLOSE)
        if read_session(await _message(reader)) is None:
            return True  # it was over already
        _, xid, _, error = _REPLY.unpack_from(await _message(reader))
    except (asyncio.IncompleteReadError, ConnectionError):
        return False
    else:
        return xid == _XID and error in {_OK, _EXPIRED}
    finally:
        writer.transport.abort()


async def _message(reader: asyncio.StreamReader) -> bytes:
    length = await reader.readexactly(4)
    return length + await reader.readexactly(int.from_bytes(length))
