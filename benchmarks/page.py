"""The page of ``peerage serve`` in Chromium, with 2,000 instances."""

import asyncio
import statistics
import tempfile
import time
from contextlib import AsyncExitStack
from typing import TYPE_CHECKING, Any

from tests.serve.browser import chromium, expect
from tests.serve.conftest import World, encoded

from benchmarks.report import Row, milliseconds, percentile, spread
from peerage.registry import Advertisement

if TYPE_CHECKING:
    from playwright.async_api import Page

_SERVICES, _COUNT = 100, 2000
_CHANGES = 1000
_LOADS = 7
_CHANGED = 100
_FILTERS = ("service-042", "node_id=node-7", "version=v1 shard=1", "no such thing", "")

#: Returns when all rows are on the screen, after two frames: the milliseconds since the navigation began.
_WHEN_LOADED = """count => new Promise(resolve => {
    const look = () => {
        if (document.querySelectorAll("tr[data-name]").length < count) return requestAnimationFrame(look);
        requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now())));
    };
    look();
})"""

#: Types a filter, and returns the milliseconds until it was on the screen.
_FILTER = """text => new Promise(resolve => {
    const input = document.getElementById("filter");
    const begin = performance.now();
    input.value = text;
    input.dispatchEvent(new Event("input", { bubbles: true }));
    requestAnimationFrame(() => requestAnimationFrame(() => resolve(performance.now() - begin)));
})"""

#: Waits until a record has a version on the screen, and returns that time in milliseconds since the epoch.
_WHEN_SHOWN = """([name, version]) => new Promise(resolve => {
    const cell = document.querySelector(`tr[data-name="${name}"] td[data-column="version"]`);
    const look = () => {
        if (cell.textContent !== version) return requestAnimationFrame(look);
        requestAnimationFrame(() => resolve(Date.now()));
    };
    look();
})"""

_OBSERVE = """() => {
    window.longest = 0;
    new PerformanceObserver(list => {
        for (const entry of list.getEntries()) window.longest = Math.max(window.longest, entry.duration);
    }).observe({ type: "longtask" });
}"""


def measure() -> list[Row]:
    """Every row of this part."""
    with tempfile.TemporaryDirectory() as folder:
        return asyncio.run(_measure(f"embedded://{folder}/registry"))


async def _measure(url: str) -> list[Row]:
    async with AsyncExitStack() as stack:
        world = World(url, stack)
        owned = await asyncio.gather(*(world.advertise(**_fields(number)) for number in range(_COUNT)))
        await world.serve()
        browser = await stack.enter_async_context(chromium())
        page = await browser.new_page()
        loads, bare = [], []
        for _ in range(_LOADS):
            await page.goto(world.page)
            loads.append(await page.evaluate(_WHEN_LOADED, _COUNT))
            bare.append(await _bare(page, world.page))
        await page.goto(world.page)
        await page.evaluate(_WHEN_LOADED, _COUNT)
        filters = [await page.evaluate(_FILTER, text) for text in _FILTERS * 5]
        delays = [await _delay(page, owned[number], number) for number in range(_CHANGED)]
        await page.evaluate(_OBSERVE)
        for number, each in enumerate(owned[:_CHANGES]):
            each.update(encoded(**_fields(number, version="v2")))
        changed = page.locator('td[data-column="version"]', has_text="v2")
        await expect(changed).to_have_count(_CHANGES)
        longest = await page.evaluate("window.longest")
        return _rows(loads, bare, filters, delays, longest)


def _rows(
    loads: list[float], bare: list[float], filters: list[float], delays: list[float], longest: float
) -> list[Row]:
    load, limit = statistics.median(loads) / 1e3, statistics.median(bare) / 1e3
    typed, worst = statistics.median(filters) / 1e3, max(filters) / 1e3
    return [
        Row(
            f"the page in Chromium, from the navigation to {_COUNT:,} instances on the screen",
            "≤ 1.5 × the same document without scripts",
            f"{load:.2f} s = {load / limit:.2f} ×",
            load <= 1.5 * limit,
            f"the same document: {limit:.2f} s",
        ),
        Row(
            f"a letter typed into its filter → the rows that match are on the screen, of {_COUNT:,}",
            "≤ 100 ms",
            f"{milliseconds(typed)}, longest {milliseconds(worst)}",
            typed <= 0.1,
        ),
        Row(
            f"an update of a record → it is on the screen, p50 / p99, {_COUNT:,} instances",
            "p99 ≤ 1 s",
            spread(delays, "ms", 1e3),
            percentile(delays, 0.99) <= 1.0,
        ),
        Row(
            f"longest task of the page while {_CHANGES:,} records change at once",
            "≤ 100 ms",
            milliseconds(longest / 1e3) if longest else "< 50 ms",
            longest <= 100,
        ),
    ]


def _fields(number: int, **more: Any) -> dict[str, Any]:
    service = f"service-{number % _SERVICES:03}"
    return {
        "service_id": service,
        "instance_id": f"{service}-{number // _SERVICES}",
        "node_id": f"node-{number % 30}",
        "version": "v1",
        "launch_time": "2026-11-30T08:00:00Z",
        "discovery": {"shard": [number % 4]},
        **more,
    }


async def _delay(page: "Page", owned: Advertisement, number: int) -> float:
    """Return the seconds from the update of a record until the page shows it."""
    mark = f"mark-{number}"
    shown = asyncio.create_task(page.evaluate(_WHEN_SHOWN, [owned.name, mark]))
    await asyncio.sleep(0.1)
    begin = time.time()
    owned.update(encoded(**_fields(number, version=mark)))
    seen: float = await shown
    return seen / 1e3 - begin


async def _bare(page: "Page", address: str) -> float:
    """Return the milliseconds that the browser takes for the same document without a script."""
    await page.evaluate("document.querySelectorAll('script').forEach(each => each.remove())")
    document = await page.content()
    await page.route("**/bare", lambda route: route.fulfill(body=document, content_type="text/html"))
    await page.goto(f"{address}bare")
    taken: float = await page.evaluate(_WHEN_LOADED, _COUNT)
    await page.unroute("**/bare")
    return taken
