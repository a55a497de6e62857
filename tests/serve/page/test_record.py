"""A record whole, on a click."""

import json
import re

import pytest
from tests.serve.browser import expect
from tests.serve.conftest import encoded
from tests.serve.page.shown import until_instances

from peerage.testing.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session")]


async def whole(page):
    """Return the JSON that the panel shows; None while it shows none."""
    text = await page.locator("#record-json").text_content()
    return json.loads(text) if text.startswith(("{", "[")) else None


async def test_a_click_shows_the_record_whole(world, open_page):
    record = {
        "host": "h",
        "instance_id": "shop-1",
        "web": [["0.0.0.0", 80]],
        "more": {"deep": [1, None, "é"]},
    }
    await world.advertise(record)
    await world.advertise(instance_id="shop-2")
    page = await open_page(world.page)
    await until_instances(page, ["shop-2", "shop-1"])
    panel = page.locator("#record")
    await expect(panel).to_be_hidden()
    await page.locator('td[data-column="instance"]', has_text="shop-1").click()
    await expect(panel).to_be_visible()
    await eventually(lambda: whole(page), wanted=lambda found: found == record)
    await page.keyboard.press("Escape")
    await expect(panel).to_be_hidden()


async def test_it_follows_the_record_and_says_when_it_is_gone(world, open_page):
    owned = await world.advertise(instance_id="shop-1", version="v1")
    await world.advertise(instance_id="shop-2")
    page = await open_page(world.page)
    await page.locator('td[data-column="instance"]', has_text="shop-1").click()
    panel = page.locator("#record")
    await eventually(lambda: whole(page), wanted=lambda found: found and found["version"] == "v1")
    owned.update(encoded(instance_id="shop-1", version="v2"))
    await eventually(lambda: whole(page), wanted=lambda found: found and found["version"] == "v2")
    await owned.withdraw()
    await expect(panel).to_contain_text(re.compile("gone", re.IGNORECASE))
    # The last that was known stays readable.
    assert (await whole(page))["version"] == "v2"


async def test_the_chosen_record_is_in_the_address(world, open_page):
    await world.advertise(instance_id="shop-1")
    page = await open_page(world.page)
    await page.locator('td[data-column="instance"]').click()
    await eventually(lambda: "record=" in page.url, "the address")
    await page.reload()
    await expect(page.locator("#record")).to_be_visible()
    await eventually(lambda: whole(page), wanted=lambda found: found and found["instance_id"] == "shop-1")
    await page.get_by_role("button", name="Close").click()
    await eventually(lambda: "record=" not in page.url, "the address")


async def test_the_record_of_an_unreadable_one_says_why(world, open_page):
    await world.advertise([1])
    page = await open_page(world.page)
    await page.locator('td[data-column="instance"]').click()
    await expect(page.locator("#record")).to_contain_text("The record is a JSON list instead of an object.")


async def test_an_entry_of_the_timeline_leads_to_its_record(world, open_page):
    await world.advertise(instance_id="shop-1")
    page = await open_page(world.page)
    await until_instances(page, ["shop-1"])
    owned = await world.advertise(instance_id="shop-2")
    entry = page.locator('li[data-what="joined"]', has_text="shop-2")
    await entry.get_by_role("button").click()
    await eventually(lambda: whole(page), wanted=lambda found: found and found["instance_id"] == "shop-2")
    await owned.withdraw()
    await expect(page.locator('li[data-what="vanished"]')).to_have_count(1)
    # The filter holds for the timeline as well.
    await page.keyboard.press("Escape")
    await page.get_by_role("searchbox", name="Filter").fill("shop-1")
    await expect(page.locator("li[data-what]", has_text="shop-2")).to_have_count(0)
