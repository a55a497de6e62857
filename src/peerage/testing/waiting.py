"""Waiting in tests: for a condition to become true, and for a task to begin."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from inspect import isawaitable
from typing import Any, Final, TypeVar

#: Seconds until a wait is given up; long, because a loaded machine is slow.
PATIENCE: Final = 20.0

T = TypeVar("T")


async def eventually(
    condition: Callable[[], T | Awaitable[T]],
    what: str = "the condition",
    *,
    wanted: Callable[[T], object] = bool,
) -> T:
    """Evaluate *condition* every few milliseconds until its value is *wanted*, and return the value.

    Args:
        condition: a function, or a coroutine function.
        what: names the condition in the error message.
        wanted: whether a value is the one waited for; by default, any that is true.

    Raises:
        AssertionError: the value isn't wanted within :data:`PATIENCE` seconds.
    """
    loop = asyncio.get_running_loop()
    deadline = loop.time() + PATIENCE
    while True:
        found = condition()
        value = await found if isawaitable(found) else found
        if wanted(value):
            return value
        assert loop.time() < deadline, (
            f"{what} didn't come true within {PATIENCE:g} s; the last value was {value!r}"
        )
        await asyncio.sleep(0.005)


async def begun(coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """Start a task of *coroutine*, and return it once it has run up to its first suspension."""
    beginning = asyncio.Event()

    async def run() -> T:
        beginning.set()
        return await coroutine

    task = asyncio.create_task(run())
    await beginning.wait()
    return task
