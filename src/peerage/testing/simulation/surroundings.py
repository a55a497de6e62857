"""What simulated code reads and uses of its surroundings: the clocks, and what it must not touch."""

import random
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import aiohttp.connector
import aiohttp.web_app

from peerage import timing
from peerage.testing.simulation.loop import NotSimulatedError, SimulatedLoop
from peerage.testing.simulation.process import PROCESS


@contextmanager
def simulated(loop: SimulatedLoop, wall_clock: Callable[[], float], seed: int) -> Iterator[None]:
    """Let everything in the block read simulated clocks; what reaches the operating system is an error.

    Args:
        loop: has the monotonic time.
        wall_clock: returns the seconds since the epoch that the process which runs reads.
        seed: of the random numbers of the module :mod:`random`.
    """
    state = random.getstate()
    replaced: list[tuple[Any, str, Any]] = [
        (time, "monotonic", loop.time),
        (time, "time", wall_clock),
        (time, "sleep", _refused("time.sleep()")),
        # It has imported the function itself.
        (aiohttp.connector, "monotonic", loop.time),
        (signal, "raise_signal", _raise_signal),
        (threading.Thread, "start", _refused("A thread")),
        (socket.socket, "__init__", _refused("A socket of the operating system")),
        (socket, "getaddrinfo", _refused("A look-up by the operating system")),
    ]
    originals = [(owner, name, getattr(owner, name)) for owner, name, _ in replaced]
    clock = timing.set_clock(loop.time)
    try:
        for owner, name, value in replaced:
            setattr(owner, name, value)
        random.seed(seed)
        yield
    finally:
        for owner, name, value in originals:
            setattr(owner, name, value)
        timing.set_clock(clock)
        random.setstate(state)
        # It isn't documented. Without it a thousand applications, and their whole worlds, are kept.
        cached = getattr(aiohttp.web_app, "_cached_build_middleware", None)
        if cached is not None:
            cached.cache_clear()


def _refused(what: str) -> Callable[..., NoReturn]:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise NotSimulatedError(what)

    return refuse


def _raise_signal(number: int) -> None:
    process = PROCESS.get()
    if process is not None:
        process.signal(number)
