"""A server that answers, and doesn't send the changes: it has too many clients, or a proxy is in between."""

import pytest
from tests.serve.browser import expect
from tests.serve.page.shown import until_states

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session")]


async def test_the_page_says_that_it_is_refused_and_goes_on_trying(world, open_page):
    """The browser itself gives up after such an answer."""
    await world.advertise(instance_id="shop-1")
    page = await open_page(world.page, away=True)
    await until_states(page, {"shop-1": "ready"})
    await page.route("**/v1/changes", lambda route: route.fulfill(status=503, body="{}"))
    await page.reload()
    await expect(page.locator("#banner")).to_contain_text("refuses to send changes")
    await page.unroute("**/v1/changes")
    await until_states(page, {"shop-1": "ready"})
    await expect(page.locator("#banner")).to_be_empty()
