"""Messages of the application at regular intervals."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

__all__ = ["tick"]

#: After so many ticks, ``Application.tick/…!`` is published as well.
_EVERY: Final = (10, 60, 300, 600, 1800, 3600, 43200, 86400)


async def tick(
    publish: Callable[[str], object], period: float, until: Callable[[], Awaitable[object]]
) -> None:
    """Publish a tick each *period* seconds until the awaitable that *until* returns is done."""
    cycle = 0
    while True:
        with suppress(TimeoutError):
            async with asyncio.timeout(period):
                await until()
                return
        cycle += 1
        publish("Application.tick!")
        for every in _EVERY:
            if cycle % every == 0:
                publish(f"Application.tick/{every}!")
