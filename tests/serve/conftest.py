"""`peerage serve` as a child process over a registry of each test, and pages of a Chromium that show it.

A test of a page is marked ``asyncio(loop_scope="session")``: the browser runs as long as the tests.
"""

import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin

import pytest
import pytest_asyncio
from tests.serve.browser import chromium, watch

from peerage.registry import Advertisement, Registry, open_registry
from peerage.testing.children import Child, run
from peerage.testing.zookeeper.server import free_port

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

_SERVICE = Path(__file__).parent.with_name("cli") / "service.py"

#: Seconds that a child process has to write a line.
_PATIENCE = 60


class World:
    """A registry, `peerage serve` that shows it, and what is advertised there.

    Args:
        url: of the registry.
        stack: ends what is started.
    """

    def __init__(self, url: str, stack: AsyncExitStack) -> None:
        self.url = url
        self._stack = stack
        self._registry: Registry | None = None
        self._port = free_port()
        self.server: Child | None = None
        """The running `peerage serve`."""

    @property
    def page(self) -> str:
        """The address of the page."""
        return f"http://127.0.0.1:{self._port}/"

    async def serve(self) -> None:
        """Start `peerage serve`, again on the same port."""
        self.server = await self._run("-m", "peerage", "serve", "--http", f"127.0.0.1:{self._port}")
        assert self.page in await self.server.line()

    async def service(self, instance: str) -> Child:
        """Start a real service, e.g. ``shop-1``; return once it is advertised."""
        ids = {"SERVICE_ID": instance.partition("-")[0], "INSTANCE_ID": instance}
        child = await self._run(str(_SERVICE), **ids)
        await child.line()
        return child

    async def advertise(self, record: Any = None, **fields: Any) -> Advertisement:
        """Advertise a record, of an instance of ``shop`` with these *fields*; return once it is registered.

        Args:
            record: any JSON or bytes to be advertised instead.
            fields: of the record.
        """
        if self._registry is None:
            self._registry = open_registry(self.url)
            self._stack.push_async_callback(self._registry.aclose)
        owned = self._registry.advertise(
            "App",
            encoded(**fields)
            if record is None
            else record
            if isinstance(record, bytes)
            else json.dumps(record).encode(),
        )
        await owned.registered()
        return owned

    async def listed(self, *criteria: str) -> list[dict[str, Any]]:
        """Return what ``peerage ls --json`` writes, to these criteria ``key=value``."""
        child = await self._run("-m", "peerage", "ls", "--json", *criteria)
        code, out = await child.end()
        entries: list[dict[str, Any]] = json.loads(out)
        assert code == (0 if entries or not criteria else 3), child.log
        return entries

    async def _run(self, *command: str, **environ: str) -> Child:
        return await self._stack.enter_async_context(
            run(
                *(sys.executable, "-W", "error", *command),
                environ={**os.environ, "PEERAGE_REGISTRY": self.url, **environ},
                patience=_PATIENCE,
            )
        )


def encoded(**fields: Any) -> bytes:
    """Return the record of an instance of ``shop`` with these *fields*."""
    record = {
        "host": "node-1",
        "service_id": "shop",
        "instance_id": "shop-1",
        "web": [["0.0.0.0", 80]],
        **fields,
    }
    return json.dumps(record).encode()


WorldOf = Callable[[str], Awaitable[World]]


@pytest_asyncio.fixture(loop_scope="session")
async def world_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[WorldOf]:
    """Start `peerage serve` over the registry of a URL."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("ASAB_HOSTNAME", "node-1.example")
    async with AsyncExitStack() as stack:

        async def made(url: str) -> World:
            world = World(url, stack)
            await world.serve()
            return world

        yield made


@pytest_asyncio.fixture(loop_scope="session")
async def world(world_of: WorldOf, tmp_path: Path) -> World:
    """An embedded registry with `peerage serve`, and nothing advertised."""
    return await world_of(f"embedded://{tmp_path}/registry")


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def browser() -> AsyncIterator["Browser"]:
    async with chromium() as running:
        yield running


Open = Callable[..., Awaitable["Page"]]


@pytest_asyncio.fixture(loop_scope="session")
async def open_page(browser: "Browser") -> AsyncIterator[Open]:
    """Open the page at an address, with Playwright's options of a context; it must do nothing wrong.

    With ``away=True`` the server may be away for a while.
    """
    found: list[str] = []
    async with AsyncExitStack() as stack:

        async def opened(url: str, *, away: bool = False, **options: Any) -> "Page":
            context = await browser.new_context(**options)
            stack.push_async_callback(context.close)
            page = await context.new_page()
            watch(page, urljoin(url, "/"), found, away=away)
            await page.goto(url)
            return page

        yield opened
    assert found == []
