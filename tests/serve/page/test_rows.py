"""What the page shows is what is advertised."""

import pytest
from tests.serve.browser import expect

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session")]


async def test_what_is_advertised_is_shown(world, open_page):
    await world.advertise(instance_id="shop-1")
    page = await open_page(world.page)
    await expect(page.locator("td[data-column=instance]", has_text="shop-1")).to_be_visible()
    await world.service("shop-2")
    await expect(page.locator("td[data-column=instance]", has_text="shop-2")).to_be_visible()
