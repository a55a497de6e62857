"""Deadlines: how long a caller waits for everything in a block, the services that it calls included."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from peerage.calling.deadline import Deadline, begin, current_deadline
from peerage.errors import DeadlineExceededError
from peerage.timing import monotonic


@asynccontextmanager
async def deadline(seconds: float | None) -> AsyncIterator[None]:
    """Cancel a block when *seconds* have passed, and let the services that it calls know how long they have.

    ::

        async with peerage.deadline(2.0):
            async with session.get("http://orders.service_id.asab/v1/orders") as response:
                orders = await response.json()

        async with peerage.deadline(0.5), session.get(…) as response:  # a single request
            …

    When the deadline passes, the block is cancelled as by :func:`asyncio.timeout`. Tasks that are started in
    the block inherit the deadline: their calls to ``.asab`` hosts fail as well. Services that are called get
    the time that is left, and stop when it has passed (:func:`peerage.web.propagate`). No attempt and no
    pause is begun for which no time is left. Of nested deadlines the one that ends first counts.

    A task that should outlive the deadline needs its own context:
    ``asyncio.create_task(…, context=contextvars.Context())``.

    Args:
        seconds: the time from now on; None: no deadline but the one around the block, if any.

    Raises:
        DeadlineExceededError: it has passed.
        ConfigurationError: *seconds* isn't a number.
    """
    limit, outer = begin(seconds, monotonic()), current_deadline.get()
    if limit is None or limit is outer:
        yield
        return
    current_deadline.set(limit)
    try:
        async with enforced(limit):
            yield
    finally:
        # Not reset() with a token, because fixtures of tests leave a block in another context.
        current_deadline.set(outer)


@asynccontextmanager
async def enforced(limit: Deadline) -> AsyncIterator[asyncio.Timeout]:
    """Cancel the block when *limit* passes, and raise DeadlineExceededError; yields the timer."""
    try:
        async with asyncio.timeout(limit.left(monotonic())) as timer:
            yield timer
    except TimeoutError as error:
        if not timer.expired() or isinstance(error, DeadlineExceededError):
            raise
        raise DeadlineExceededError(limit.give_up()) from error
