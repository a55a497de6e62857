"""Ends a call, and the reading of its response, when its deadline passes."""

import asyncio
import weakref
from collections.abc import Awaitable, Coroutine
from typing import Any, Final

import aiohttp

from peerage.calling.deadline import Deadline
from peerage.calling.options import CallOptions, current_options
from peerage.client.connections import call_at_end
from peerage.deadlines import deadline, enforced
from peerage.errors import DeadlineExceededError
from peerage.records.names import is_logical
from peerage.timing import monotonic

_SWITCHING_PROTOCOLS: Final = 101


class Timely:
    """An aiohttp client middleware: the deadline of a call limits what the middlewares inside of it do, too.

    Args:
        options: those of the session.
    """

    def __init__(self, options: CallOptions) -> None:
        self._options = options

    def __call__(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType
    ) -> Awaitable[aiohttp.ClientResponse]:
        """Send *request*.

        Raises:
            DeadlineExceededError: the deadline of its options has passed.
        """
        seconds = current_options(self._options).deadline
        if seconds is None or not is_logical(request.url.host or ""):
            return handler(request)
        return self._send(request, handler, seconds)

    async def _send(
        self, request: aiohttp.ClientRequest, handler: aiohttp.ClientHandlerType, seconds: float
    ) -> aiohttp.ClientResponse:
        async with deadline(seconds):
            return await handler(request)


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
