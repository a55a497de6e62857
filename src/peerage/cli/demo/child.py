"""What every child process of the demo does: report to its parent, and end with it."""

import asyncio
import json
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from peerage.errors import PeerageError

__all__ = ["play", "report", "until_dismissed"]


def play(role: Coroutine[Any, Any, None]) -> None:
    """Play *role* to its end; without a parent that reads, there is nobody to play for."""
    with suppress(BrokenPipeError, KeyboardInterrupt):
        try:
            asyncio.run(role)
        except PeerageError as error:
            sys.exit(str(error))


def report(**facts: object) -> None:
    """Tell the parent *facts*: one line of JSON on stdout."""
    sys.stdout.write(f"{json.dumps(facts)}\n")
    sys.stdout.flush()


async def until_dismissed() -> None:
    """Wait until the parent closes stdin, which it does when it wants us to end and when it dies, however."""
    reader = asyncio.StreamReader()
    transport, _ = await asyncio.get_running_loop().connect_read_pipe(
        lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
    )
    try:
        await reader.read()
    finally:
        transport.close()
