"""Makes the pictures of the page of ``peerage serve``, as PNG files. ``make pictures`` runs it.

Usage: python -m docs.pictures.page FOLDER

What they show is a real page over a real ZooKeeper. The hour that is shown passes in seconds, because the
view is given a clock that is set forward.
"""

import asyncio
import os
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web
from docs.pictures.cluster import NOW, Shop, advertised, suspect, two_thousand
from PIL import Image
from tests.serve.browser import chromium, expect

from peerage import Discovery
from peerage.registry import open_registry
from peerage.serve import View, create_app
from peerage.testing.children import run
from peerage.testing.zookeeper import ZooKeeperServer

if TYPE_CHECKING:
    from playwright.async_api import Browser, Page

_WIDE = {
    "viewport": {"width": 1240, "height": 800},
    "device_scale_factor": 2,
    "timezone_id": "UTC",
    "reduced_motion": "reduce",
}
_PHONE = {**_WIDE, "viewport": {"width": 390, "height": 844}}

#: The system's font differs from machine to machine.
_FONTS = """<?xml version="1.0"?>
<!DOCTYPE fontconfig SYSTEM "fonts.dtd">
<fontconfig>
  <include>/etc/fonts/fonts.conf</include>
  <match><test name="family"><string>sans-serif</string></test>
    <edit name="family" mode="prepend" binding="strong"><string>Inter</string></edit></match>
</fontconfig>
"""

#: The most bytes of a picture, so that the page that shows it stays fast.
_MOST_BYTES = 200_000


class _Clock:
    def __init__(self) -> None:
        self.now = NOW.timestamp()

    def set(self, to: datetime) -> None:
        self.now = to.timestamp()

    def __call__(self) -> float:
        return self.now


@asynccontextmanager
async def _page(url: str, clock: _Clock) -> AsyncIterator[str]:
    """Show the registry of a URL; yield the address of the page."""
    async with Discovery(url, disk_cache=False) as discovery, View(discovery.membership, clock=clock) as view:
        runner = web.AppRunner(create_app(view), access_log=None, shutdown_timeout=0)
        await runner.setup()
        try:
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
        finally:
            await runner.cleanup()


async def _open(browser: "Browser", address: str, options: dict[str, object], rows: int) -> "Page":
    page = await browser.new_page(**options)
    await page.clock.install()
    await page.goto(address)
    await expect(page.locator("tr[data-name]")).to_have_count(rows)
    return page


async def _shoot(page: "Page", path: Path) -> None:
    await page.screenshot(path=path, animations="disabled")
    await page.close()
    with Image.open(path) as opened:
        whole = opened.convert("RGB")
    # Of the ways to choose a palette, the one in which the few coloured dots keep their colours.
    small = whole.quantize(method=Image.Quantize.MAXCOVERAGE, dither=Image.Dither.NONE)
    # Each of its colours becomes the most frequent one that it stands for, so that the large areas are exact.
    indices = Image.frombytes("L", small.size, small.tobytes())
    levels = small.getpalette()
    for _, (*colour, index) in sorted(
        Image.merge("RGBA", (*whole.split(), indices)).getcolors(whole.width * whole.height)
    ):
        levels[3 * index : 3 * index + 3] = colour
    small.putpalette(levels)
    small.save(path, optimize=True)
    if (size := os.stat(path).st_size) > _MOST_BYTES:  # noqa: PTH116 - pathlib's would have to run in a thread
        sys.exit(f"{path} has {size:,} bytes, more than {_MOST_BYTES:,}.")


async def _shop(browser: "Browser", server: ZooKeeperServer, folder: Path) -> None:
    clock = _Clock()
    url = f"zookeeper://{server.address}/asab"
    async with AsyncExitStack() as stack:
        registry = open_registry(url)
        stack.push_async_callback(registry.aclose)
        shop = Shop(registry, clock.set)
        await shop.begin()
        mail = await stack.enter_async_context(
            run(
                *(sys.executable, "tests/cli/service.py", suspect()),
                environ={**os.environ, "PEERAGE_REGISTRY": url},
            )
        )
        await mail.line()
        address = await stack.enter_async_context(_page(url, clock))
        watching = await _open(browser, address, _WIDE, 30)
        await shop.happen()
        clock.set(NOW)
        await mail.reap()
        await expect(watching.locator('li[data-what="suspect"]')).to_have_count(1)
        await watching.close()
        for name, options in (
            ("light", {**_WIDE, "color_scheme": "light"}),
            ("dark", {**_WIDE, "color_scheme": "dark"}),
            ("phone", {**_PHONE, "color_scheme": "light"}),
        ):
            await _shoot(await _open(browser, address, options, 32), folder / f"page-{name}.png")
        page = await _open(browser, address, {**_WIDE, "color_scheme": "light"}, 32)
        await page.locator('td[data-column="instance"]', has_text="orders-3").click()
        await expect(page.locator("#record-json")).to_contain_text("orders-3")
        await _shoot(page, folder / "page-record.png")
        page = await _open(browser, address, {**_WIDE, "color_scheme": "light"}, 32)
        server.kill()
        await expect(page.locator("#banner")).to_contain_text("out of reach")
        await page.clock.fast_forward("12:40")
        await _shoot(page, folder / "page-stale.png")


async def _many(browser: "Browser", server: ZooKeeperServer, folder: Path) -> None:
    url = f"zookeeper://{server.address}/many"
    async with advertised(url, two_thousand()), _page(url, _Clock()) as address:
        page = await _open(browser, address, {**_WIDE, "color_scheme": "light"}, 2000)
        await _shoot(page, folder / "page-2000.png")


async def _shoot_all(server: ZooKeeperServer, folder: Path) -> None:
    async with chromium() as browser:
        await _many(browser, server, folder)
        await _shop(browser, server, folder)


def main() -> None:
    """Write the pictures."""
    with tempfile.TemporaryDirectory() as temporary:
        fonts = Path(temporary, "fonts.conf")
        fonts.write_text(_FONTS, encoding="utf-8")
        os.environ["FONTCONFIG_FILE"] = str(fonts)
        with ZooKeeperServer(Path(temporary, "zookeeper"), port=2181) as server:
            asyncio.run(_shoot_all(server, Path(sys.argv[1])))


if __name__ == "__main__":
    main()
