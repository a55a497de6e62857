"""Sending what may be large to clients that may be slow, in bounded memory."""

import asyncio
from collections.abc import Iterable, Iterator
from typing import Final

from aiohttp import hdrs, web

from peerage.waiting import Slices

#: Seconds that a client has to take what it is sent at once; one that is slower is disconnected.
PATIENCE: Final = 30.0

#: Bytes that are written at once: what is kept in memory for a client that takes nothing.
_PIECE: Final = 1 << 16


async def send(response: web.StreamResponse, parts: Iterable[bytes]) -> None:
    """Write *parts*, which exist already; raises TimeoutError if the client doesn't take them in time."""
    async with asyncio.timeout(PATIENCE):
        for piece in pieces(parts):
            await response.write(piece)


async def send_list(
    request: web.Request, values: Iterable[bytes], headers: dict[str, str]
) -> web.StreamResponse:
    """Answer with a list of *values*, which are JSON and are made meanwhile, in slices."""
    response = web.StreamResponse(headers={hdrs.CONTENT_TYPE: "application/json; charset=utf-8", **headers})
    await response.prepare(request)
    if request.method == hdrs.METH_HEAD:
        return response
    slices, waiting, size = Slices(), [b"["], 0
    try:
        for part in separated(values):
            waiting.append(part)
            size += len(part)
            if size >= _PIECE:
                await send(response, waiting)
                waiting, size = [], 0
            await slices.pause()
        await send(response, [*waiting, b"]\n"])
    except (TimeoutError, ConnectionError):  # the latter: the client has left
        abort(request)
    return response


def pieces(parts: Iterable[bytes]) -> Iterator[bytes]:
    """Put small *parts* together into pieces that are written at once, and divide large ones."""
    waiting: list[bytes] = []
    size = 0
    for part in parts:
        waiting.append(part)
        size += len(part)
        if size >= _PIECE:
            whole = b"".join(waiting)
            yield from (whole[start : start + _PIECE] for start in range(0, len(whole), _PIECE))
            waiting, size = [], 0
    if waiting:
        yield b"".join(waiting)


def separated(values: Iterable[bytes]) -> Iterator[bytes]:
    """Yield JSON values as the items of a list."""
    for index, value in enumerate(values):
        yield b"," + value if index else value


def abort(request: web.Request) -> None:
    """Break the connection off: what was sent and isn't taken is dropped."""
    if request.transport is not None:
        request.transport.abort()
