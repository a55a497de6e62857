"""The filter, and what the address keeps of it."""

import pytest
from tests.serve.browser import expect
from tests.serve.conftest import encoded
from tests.serve.page.shown import instances, until_instances

from peerage.testing.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session")]

EVERY = ["cart-1", "cart-2", "shop-1", "shop-2", "shop-10"]


@pytest.fixture
def records():
    return [
        {"service_id": "shop", "instance_id": "shop-1", "node_id": "node-1", "version": "v1"},
        {
            "service_id": "shop",
            "instance_id": "shop-2",
            "node_id": "node-2",
            "peerage": {"state": "draining"},
        },
        {"service_id": "shop", "instance_id": "shop-10", "discovery": {"shard": [1, 2]}},
        {"service_id": "cart", "instance_id": "cart-1", "version": "v1", "discovery": {"shard": [2]}},
        {"service_id": "cart", "instance_id": "cart-2", "web": [["0.0.0.0", 8443, "https"]]},
    ]


async def test_it_shows_what_matches_all_terms(world, open_page, records):
    for record in records:
        await world.advertise(**record)
    page = await open_page(world.page)
    box = page.get_by_role("searchbox", name="Filter")
    await until_instances(page, EVERY)
    for text, wanted in [
        ("SHOP", ["shop-1", "shop-2", "shop-10"]),
        ("shop node-2", ["shop-2"]),
        ("8443", ["cart-2"]),
        ("shard=2", ["cart-1", "shop-10"]),
        ("shard=2 service_id=shop", ["shop-10"]),
        # As in `peerage ls`, key=value is the whole value.
        ("instance_id=shop-1", ["shop-1"]),
        ("draining", ["shop-2"]),
        ("state=ready v1", ["cart-1", "shop-1"]),
        ("constructor=Object", []),
        ("__proto__=x", []),
        ("(", []),
        ("", EVERY),
    ]:
        await box.fill(text)
        await until_instances(page, wanted)
    # `peerage ls` says the same to such criteria.
    listed = await world.listed("shard=2", "service_id=shop")
    assert [entry["instance"] for entry in listed] == ["shop-10"]


async def test_typing_filters_and_escape_clears(world, open_page, records):
    for record in records:
        await world.advertise(**record)
    page = await open_page(world.page)
    await until_instances(page, EVERY)
    await page.keyboard.press("/")
    await page.keyboard.type("shop-2")
    await until_instances(page, ["shop-2"])
    await page.keyboard.press("Escape")
    await until_instances(page, EVERY)
    await expect(page.get_by_role("searchbox", name="Filter")).to_have_value("")


async def test_the_filter_holds_for_what_comes_and_changes_later(world, open_page, records):
    page = await open_page(world.page)
    await page.get_by_role("searchbox", name="Filter").fill("draining")
    owned = [await world.advertise(**record) for record in records]
    await until_instances(page, ["shop-2"])
    owned[0].update(encoded(service_id="shop", instance_id="shop-1", peerage={"state": "draining"}))
    await until_instances(page, ["shop-1", "shop-2"])
    owned[1].update(encoded(service_id="shop", instance_id="shop-2"))
    await until_instances(page, ["shop-1"])


async def test_filter_and_state_are_in_the_address(world, open_page, records):
    for record in records:
        await world.advertise(**record)
    page = await open_page(world.page)
    await page.get_by_role("searchbox", name="Filter").fill("shop")
    await until_instances(page, ["shop-1", "shop-2", "shop-10"])
    await page.get_by_role("button", name="draining").first.click()
    await until_instances(page, ["shop-2"])
    await eventually(lambda: "filter=shop" in page.url and "draining" in page.url, "the address")
    await page.reload()
    await until_instances(page, ["shop-2"])
    await expect(page.get_by_role("searchbox", name="Filter")).to_have_value("shop")
    # A link can be sent to others.
    other = await open_page(page.url)
    await until_instances(other, ["shop-2"])
    await page.get_by_role("button", name="draining").first.click()
    await until_instances(page, ["shop-1", "shop-2", "shop-10"])
    assert await instances(other) == ["shop-2"]
