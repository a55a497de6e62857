"""Free ports of the loopback interface."""

import random
import socket
from typing import Final

__all__ = ["free_port"]

# Below the range that the kernel chooses from: a port that is closed for a while, as in a restart, isn't
# taken meanwhile, and a client that tries it isn't connected to itself.
_PORTS: Final = range(20_000, 32_000)
_ATTEMPTS: Final = 1_000


def free_port() -> int:
    """Return a free port of the loopback interface."""
    # Not the seeded generator of a test, by which processes with the same seed would choose the same port.
    chance = random.SystemRandom()
    for port in chance.sample(_PORTS, _ATTEMPTS):
        with socket.socket() as probe:
            # As servers do, so that earlier connections in TIME_WAIT don't matter.
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise RuntimeError(f"No port of 127.0.0.1 from {_PORTS.start} to {_PORTS.stop} is free.")
