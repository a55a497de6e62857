"""Calls from other threads than the event loop's, which programs make though there are methods for it."""

import asyncio

__all__ = ["is_foreign"]


def is_foreign(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether *loop* runs in another thread than the one that asks."""
    if not loop.is_running():
        return False
    try:
        return asyncio.get_running_loop() is not loop
    except RuntimeError:
        return True
