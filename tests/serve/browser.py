"""A real Chromium, and what pages in it do that the page of peerage must never do.

Playwright is imported when it is used, because it is installed for the tests that are marked 'long' only.
"""

import os
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

from peerage.testing.waiting import PATIENCE

if TYPE_CHECKING:
    from playwright.async_api import Browser, ConsoleMessage, Dialog, Page, Request


@asynccontextmanager
async def chromium() -> AsyncIterator["Browser"]:
    """Run a Chromium without a window; it is the distribution's, because Playwright's own are downloads.

    Raises:
        AssertionError: there is none.
    """
    from playwright.async_api import async_playwright

    path = shutil.which("chromium")
    assert path is not None, "install Debian's chromium"
    async with async_playwright() as playwright:
        # Chromium's sandbox refuses to run as root.
        browser = await playwright.chromium.launch(executable_path=path, chromium_sandbox=os.geteuid() != 0)
        try:
            yield browser
        finally:
            await browser.close()


def expect(shown: Any) -> Any:
    """Return Playwright's assertions on *shown*, a page or a part of it; each waits until it holds."""
    from playwright.async_api import expect

    expect.set_options(timeout=PATIENCE * 1000)
    return expect(shown)


#: How the messages of Chromium begin that a server isn't reached, or can't answer.
_UNREACHABLE = (
    "Failed to load resource: net::ERR_",
    "Failed to load resource: the server responded with a status of 503",
)


def watch(page: "Page", origin: str, found: list[str], *, away: bool = False) -> None:
    """Add to *found* what *page* does that it must never do.

    That is to open a dialog, to fail, to write a warning or an error, which includes what its
    Content-Security-Policy forbade, and to ask another origin than *origin* for something.
    If *away*, that its server can't be reached, or answers 503, isn't added: the browser writes that
    by itself.
    """

    async def dismiss(dialog: "Dialog") -> None:
        found.append(f"dialog: {dialog.message}")
        await dialog.dismiss()

    def said(message: "ConsoleMessage") -> None:
        unreachable = message.text.startswith(_UNREACHABLE)
        if message.type in {"warning", "error"} and not (away and unreachable):
            found.append(f"console: {message.text}")

    def requested(request: "Request") -> None:
        if not request.url.startswith(origin):
            found.append(f"request: {request.url}")

    page.on("dialog", dismiss)
    page.on("console", said)
    page.on("request", requested)
    page.on("pageerror", lambda error: found.append(f"error: {error}"))
    page.on("popup", lambda other: found.append(f"window: {other.url}"))
