"""How long the ZooKeeper backend waits before it repeats something."""

import random
from collections.abc import Callable
from typing import NamedTuple


def _between(shortest: float, longest: float) -> Callable[[], float]:
    return lambda: random.uniform(shortest, longest)  # noqa: S311 - spreads load


class Pauses(NamedTuple):
    """How many seconds the backend waits before it repeats something.

    Random, so that a thousand clients of one server don't come at the same time. A test can choose them.
    """

    resync: Callable[[int], float] = lambda count: random.uniform(0, min(2.0, count * 0.0005))  # noqa: S311 - spreads load
    """Before the folder is read again after a reconnect, given the number of records."""
    refused: Callable[[], float] = _between(5.0, 10.0)
    """Before a record is registered again that an access list forbids: the list may have been mended."""
    throttled: Callable[[], float] = _between(0.05, 0.15)
    """Before requests are sent again that a server with too much to do has left undone."""
    restart: Callable[[], float] = _between(1.5, 2.5)
    """Before the next session after a server refused the client."""
    no_resources: Callable[[], float] = _between(0.5, 1.0)
    """Before connecting again when there was no descriptor or no thread for it."""
