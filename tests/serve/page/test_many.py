"""2,000 instances."""

import asyncio

import pytest
from tests.serve.browser import expect
from tests.serve.conftest import encoded
from tests.serve.page.shown import shown, until_as_listed, until_instances

from peerage.testing.waiting import eventually

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session")]

SERVICES, EACH = 100, 20


def fields(number, **more):
    service = f"service-{number % SERVICES:03}"
    return {
        "service_id": service,
        "instance_id": f"{service}-{number // SERVICES}",
        "node_id": f"node-{number % 30}",
        "version": "v1",
        **more,
    }


async def test_two_thousand_instances_and_a_burst_of_a_thousand_changes(world, open_page):
    page = await open_page(world.page)
    owned = await asyncio.gather(*(world.advertise(**fields(each)) for each in range(SERVICES * EACH)))
    assert len(await until_as_listed(world, page)) == SERVICES * EACH
    box = page.get_by_role("searchbox", name="Filter")
    await box.fill("service_id=service-042")
    await until_instances(page, [f"service-042-{each}" for each in range(EACH)])
    for number, each in enumerate(owned[:1000]):
        each.update(encoded(**fields(number, version="v2", peerage={"state": "draining"})))
    await asyncio.gather(*(each.withdraw() for each in owned[1500:]))
    await box.fill("version=v2 service_id=service-042")
    await until_instances(page, [f"service-042-{each}" for each in range(10)])
    await box.fill("")
    assert len(await until_as_listed(world, page)) == 1500
    before = await shown(page)
    await page.reload()
    await expect(page.locator("tr[data-name]")).to_have_count(1500)
    assert await shown(page) == before


async def test_scroll_and_selection_survive_changes(world, open_page):
    owned = await asyncio.gather(*(world.advertise(**fields(each)) for each in range(400)))
    page = await open_page(world.page)
    line = page.locator("tr[data-name]", has_text="service-070-2")
    await expect(line).to_have_count(1)
    await line.scroll_into_view_if_needed()
    await line.locator('td[data-column="instance"]').click()
    await expect(page.locator("#record")).to_be_visible()
    place = await page.evaluate("scrollY")
    assert place > 0
    for number, each in enumerate(owned):
        each.update(encoded(**fields(number, version="v2")))
    await expect(page.locator('td[data-column="version"]', has_text="v1")).to_have_count(0)
    assert await page.evaluate("scrollY") == place
    await expect(page.locator("#record")).to_be_visible()
    await expect(page.locator("#record-json")).to_contain_text('"v2"')
    await eventually(lambda: "at=" in page.url and "record=" in page.url, "the address")
    await page.reload()
    await expect(line).to_be_in_viewport()
    await expect(page.locator("#record-json")).to_contain_text("service-070-2")
