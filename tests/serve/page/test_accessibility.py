"""The page can be used with the keyboard alone, and axe-core has no findings."""

import pytest
from tests.serve.browser import expect
from tests.serve.page.shown import until_instances

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session")]

WIDE = {"viewport": {"width": 1280, "height": 800}}
PHONE = {"viewport": {"width": 390, "height": 844}, "has_touch": True, "is_mobile": True}


async def advertise_some(world):
    """Advertise records of every kind; return the instances in their order."""
    await world.advertise(instance_id="shop-1", version="v1", discovery={"shard": [1]}, node_id="node-1")
    await world.advertise(instance_id="shop-2", version="v2", peerage={"state": "draining"})
    await world.advertise(
        service_id="cart", instance_id="cart-1", attention_required={"disk": {"message": "The disk is full"}}
    )
    await world.advertise(service_id="cart", instance_id="cart-2", web=[])
    await world.advertise(service_id="cart", instance_id="cart-2", peerage={"state": "other"})
    return ["cart-1", "cart-2", "cart-2", "shop-1", "shop-2"]


async def findings(page):
    """Return what axe-core finds, with the elements."""
    from axe_playwright_python.async_playwright import Axe

    found = (await Axe().run(page)).response["violations"]
    return [(each["id"], [node["html"] for node in each["nodes"]]) for each in found]


async def test_axe_finds_nothing(world, open_page, tmp_path):
    pages = [
        await open_page(world.page, color_scheme=scheme, reduced_motion="reduce", **screen)
        for scheme in ("light", "dark")
        for screen in (WIDE, PHONE)
    ]

    async def nothing_found():
        for page in pages:
            assert await findings(page) == []

    for page in pages:
        await expect(page.get_by_text("No instance is advertised")).to_be_visible()
    await nothing_found()
    await advertise_some(world)
    await world.advertise([1])
    for page in pages:
        await expect(page.locator("tr[data-name]")).to_have_count(6)
    await nothing_found()
    for page in pages:
        await page.locator('td[data-column="instance"]', has_text="shop-1").click()
        await expect(page.locator("#record-json")).to_contain_text("shop-1")
    await nothing_found()
    (tmp_path / "registry" / "run.asab").chmod(0o777)
    for page in pages:
        await page.keyboard.press("Escape")
        await expect(page.locator("#banner")).to_contain_text("out of reach")
        await page.get_by_role("searchbox", name="Filter").fill("nothing like this")
        await until_instances(page, [])
    await nothing_found()


async def test_the_page_is_no_wider_than_a_small_screen(world, open_page):
    page = await open_page(world.page)
    await until_instances(page, await advertise_some(world))
    for width in (320, 390, 768, 1024):
        await page.set_viewport_size({"width": width, "height": 800})
        assert await page.evaluate("document.documentElement.scrollWidth") <= width


async def test_everything_can_be_done_with_the_keyboard(world, open_page):
    page = await open_page(world.page)
    await until_instances(page, await advertise_some(world))
    box = page.get_by_role("searchbox", name="Filter")
    await page.keyboard.press("/")
    await expect(box).to_be_focused()
    await page.keyboard.type("shop")
    await until_instances(page, ["shop-1", "shop-2"])
    # From the filter to a row by Tab and the arrow keys alone.
    await reach(page, "Tab", "tr.service button, [data-service] button")
    await reach(page, "ArrowDown", 'tr[data-name] td[data-column="instance"] *')
    await page.keyboard.press("Enter")
    panel = page.locator("#record")
    await expect(panel).to_be_visible()
    assert await page.evaluate("document.activeElement.closest('#record') !== null")
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()
    assert await page.evaluate("document.activeElement.closest('tr').dataset.name !== undefined")
    await page.keyboard.press("Escape")
    await until_instances(page, ["cart-1", "cart-2", "cart-2", "shop-1", "shop-2"])


async def reach(page, key, selector):
    """Press *key* until the focus is on an element that fits *selector*."""
    for _ in range(30):
        await page.keyboard.press(key)
        if await page.evaluate("selector => document.activeElement.matches(selector)", selector):
            return
    pytest.fail(f"{key} doesn't lead to {selector}")
