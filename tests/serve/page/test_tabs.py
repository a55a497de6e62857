"""More tabs than a browser has connections to one server, which are six."""

import pytest
from tests.serve.browser import expect
from tests.serve.page.shown import until_states

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session")]

#: A browser without a window takes each of its pages for visible.
_HIDE = """
let hidden = true;
Object.defineProperty(Document.prototype, "hidden", { get: () => hidden });
window.show = () => { hidden = false; document.dispatchEvent(new Event("visibilitychange")); };
"""


async def test_tabs_in_the_background_leave_a_connection_for_the_one_that_is_looked_at(world, open_page):
    """They show everything at first, and what they missed when they are visible again."""
    await world.advertise(instance_id="shop-1")
    first = await open_page(world.page)
    await first.context.add_init_script(_HIDE)
    tabs = [await first.context.new_page() for _ in range(7)]
    for tab in tabs:
        await tab.goto(world.page)
        await until_states(tab, {"shop-1": "ready"})
    last = await first.context.new_page()
    await last.goto(world.page)
    await last.evaluate("show()")
    await until_states(last, {"shop-1": "ready"})
    await world.advertise(instance_id="shop-2")
    for tab in (first, last):
        await until_states(tab, {"shop-1": "ready", "shop-2": "ready"})
    await tabs[0].evaluate("show()")
    await until_states(tabs[0], {"shop-1": "ready", "shop-2": "ready"})
    await expect(tabs[0].locator("#banner")).to_be_empty()
