"""What an event loop calls at a signal, so that something can be done before it."""

import asyncio
import gc
import signal
from collections.abc import Callable
from functools import partial

from peerage.errors import ConfigurationError


def loop_handler(loop: asyncio.AbstractEventLoop, number: int) -> Callable[[], object] | None:
    """Return what ``loop.add_signal_handler()`` has installed for *number*; None if nothing is.

    Event loops have no public function for that. asyncio's keep the handlers in an attribute, and uvloop's
    (0.23) in a field that only the garbage collector sees.

    Raises:
        ConfigurationError: the event loop has installed something, and doesn't say what.
    """
    handlers = getattr(loop, "_signal_handlers", None)
    if handlers is not None:
        return handlers[number]._run if number in handlers else None  # noqa: SLF001 - see above
    if type(loop).__module__ == "uvloop":
        run = _uvloop_handler(loop, number)
        if run is not None or getattr(signal.getsignal(number), "__self__", None) is not loop:
            return run
    raise ConfigurationError(
        f"This event loop of {type(loop).__module__} doesn't say how the server handles "
        f"{signal.Signals(number).name}: pass drain_on_signals(then=…), which is called when the instance "
        "has drained."
    )


def _uvloop_handler(loop: asyncio.AbstractEventLoop, number: int) -> Callable[[], object] | None:
    """Return what uvloop has installed for *number*, if it is found."""
    for found in gc.get_referents(loop):
        if isinstance(found, dict) and number in found and type(found[number]).__name__ == "Handle":
            # The loop, the context, the callback, and its arguments.
            match gc.get_referents(found[number]):
                case [owner, _, callback, tuple() as arguments, *_] if owner is loop and callable(callback):
                    return partial(callback, *arguments)
                case [owner, _, callback, None, *_] if owner is loop and callable(callback):
                    return partial(callback)
    return None
