"""Ends a call, and the reading of its response, when its deadline passes."""

import asyncio
import weakref
from collections.abc import Coroutine
from typing import Any, Final

import aiohttp

from peerage.calling.deadline import Deadline
from peerage.client.connections import call_at_end
from peerage.deadlines import enforced
from peerage.errors import DeadlineExceededError
from peerage.timing import monotonic

_SWITCHING_PROTOCOLS: Final = 101


async def in_time(
    sending: Coroutine[Any, Any, aiohttp.ClientResponse], limit: Deadline, description: str
) -> aiohttp.ClientResponse:
    """Return the response of *sending*, which must be read before *limit* as well.

    A WebSocket may stay open for longer, because only its handshake is the call.

    Args:
        sending: sends the request.
        limit: the deadline.
        description: what is called, for the message of the error.

    Raises:
        DeadlineExceededError: *limit* has passed.
    """
    async with enforced(limit):
        response = await sending
    if response.status != _SWITCHING_PROTOCOLS and response.connection is not None:
        # Weak: a response that is dropped unread must be collected, which frees its connection.
        end, left = _expire, limit.left(monotonic())
        timer = asyncio.get_running_loop().call_later(left, end, weakref.ref(response), limit, description)
        call_at_end(response, timer.cancel)
    return response


def _expire(reference: "weakref.ref[aiohttp.ClientResponse]", limit: Deadline, description: str) -> None:
    response = reference()
    if response is not None:
        waited_for = f"the response to {description} was being read"
        limit.note(waited_for)
        response.content.set_exception(DeadlineExceededError(limit.give_up(waited_for)))
        response.close()
