"""Detects calls from other threads than the event loop's."""

import asyncio

__all__ = ["is_foreign"]


def is_foreign(loop: asyncio.AbstractEventLoop) -> bool:
    """Tell whether *loop* runs in another thread than the caller."""
    if not loop.is_running():
        return False
    try:
        return asyncio.get_running_loop() is not loop
    except RuntimeError:
        return True
