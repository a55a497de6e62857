"""The page beside the demo's table, as ``peerage serve`` shows it."""

import asyncio
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, suppress

from peerage.cli.run import CommandError
from peerage.cli.serve import Address, serving
from peerage.discovery import Discovery

#: Where the page is, unless another process listens there: then it is on a free port.
_ADDRESS = Address("127.0.0.1", 8600)

#: Variables by which a program finds the display of its user; macOS needs none.
_DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")


@asynccontextmanager
async def page(discovery: Discovery) -> AsyncIterator[str]:
    """Serve the page of *discovery*, open it in a browser if there is a display, and yield its URL."""
    async with AsyncExitStack() as stack:
        try:
            url = await stack.enter_async_context(serving(discovery, _ADDRESS))
        except CommandError:
            url = await stack.enter_async_context(serving(discovery, _ADDRESS._replace(port=0)))
        if sys.stdout.isatty() and (sys.platform == "darwin" or any(map(os.environ.get, _DISPLAYS))):
            await stack.enter_async_context(_browser(url))
        yield url


@asynccontextmanager
async def _browser(url: str) -> AsyncIterator[None]:
    """Open *url* in the user's browser.

    That is done in a process of its own without the terminal: it may wait for the browser, which may write
    messages, or be one for terminals.
    """
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-P",
        *("-m", "webbrowser", url),
        stdin=DEVNULL,
        stdout=DEVNULL,
        stderr=DEVNULL,
        start_new_session=True,
    )
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
