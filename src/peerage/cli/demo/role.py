"""What every child process of the demo does: it reports to its parent, and ends with it."""

import asyncio
import json
import sys
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any

from peerage.errors import PeerageError


def run_role(role: Coroutine[Any, Any, None]) -> None:
    """Run *role* to its end, or until the parent doesn't read its reports any more."""
    with suppress(BrokenPipeError, KeyboardInterrupt):
        try:
            asyncio.run(role)
        except PeerageError as error:
            sys.exit(str(error))


def report(**facts: object) -> None:
    """Report *facts* to the parent, as one line of JSON on stdout."""
    sys.stdout.write(f"{json.dumps(facts)}\n")
    sys.stdout.flush()


async def until_dismissed() -> None:
    """Wait until the parent closes stdin: it dismisses this process, or it has died."""
    await asyncio.to_thread(sys.stdin.read)
