"""The page shows what is advertised, and follows it."""

import json
import re
from datetime import UTC, datetime

import pytest
from tests.serve.browser import expect
from tests.serve.page.shown import until_as_listed, until_instances, until_states

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session")]

LAUNCHED = datetime(2026, 11, 30, 8, 30, tzinfo=UTC)


async def test_each_row_is_that_of_peerage_ls(world, open_page):
    for number, version in enumerate(["v1.4.0", "v1.4.0", "v1.5.0-rc1"], start=1):
        await world.advertise(
            instance_id=f"shop-{number}",
            node_id=f"node-{number}",
            version=version,
            launch_time=LAUNCHED.isoformat(),
            discovery={"site_id": ["prague"], "shard": [number, "b"], "flag": [True]},
            web=[["0.0.0.0", 8080], ["::1", 8443, "https"]],
        )
    await world.advertise(service_id="cart", instance_id="cart-1", peerage={"state": "draining"})
    await world.advertise(
        service_id="cart", instance_id="cart-2", peerage={"state": "warming up"}, node_id="node-1"
    )
    await world.advertise(service_id="Cart", instance_id="CART-3", version=7, launch_time=12)
    await world.advertise({"host": "h", "instance_id": "twin", "web": [["0.0.0.0", 80]]})
    await world.advertise({"host": "h", "instance_id": "twin", "web": [["0.0.0.0", 80]]})
    await world.advertise({"host": "h", "service_id": "mute"})
    await world.advertise(instance_id="half", web=[["0.0.0.0", 80], ["nonsense", 1]])
    await world.advertise([1])
    await world.advertise(b"\xff no JSON")
    page = await open_page(world.page)
    entries = await until_as_listed(world, page)
    assert len(entries) == 12
    found = {entry["state"] for entry in entries}
    assert found == {"ready", "draining", "warming up", "not callable", "unreadable"}
    assert sum(entry["superseded"] for entry in entries) == 1
    for entry in entries:
        line = page.locator(f'tr[data-name="{entry["name"]}"]')
        for problem in entry["problems"]:
            await expect(line).to_contain_text(problem)
    launched = page.locator('td[data-column="since"] time[datetime]')
    assert {await each.get_attribute("datetime") for each in await launched.all()} == {
        "2026-11-30T08:30:00.000Z"
    }


async def test_versions_that_differ_within_a_service_stand_out(world, open_page):
    for number, version in enumerate(["v1", "v1", "v2"], start=1):
        await world.advertise(instance_id=f"shop-{number}", version=version)
    await world.advertise(service_id="cart", instance_id="cart-1", version="v1")
    page = await open_page(world.page)
    await until_instances(page, ["cart-1", "shop-1", "shop-2", "shop-3"])
    await expect(page.locator('[data-service="shop"]')).to_contain_text("v1 ×2")
    await expect(page.locator('[data-service="shop"]')).to_contain_text("v2 ×1")
    await expect(page.locator('[data-service="cart"]')).not_to_contain_text("×")


async def test_what_needs_attention_is_shown(world, open_page):
    attention = {"disk": {"message": "The disk is 97 % full", "since": "2026-11-30T08:30:00Z"}}
    owned = await world.advertise(instance_id="shop-1", attention_required=attention)
    page = await open_page(world.page)
    line = page.locator("tr[data-name]")
    await expect(line).to_contain_text("The disk is 97 % full")
    owned.update(json.dumps({"host": "h", "instance_id": "shop-1", "web": [["0.0.0.0", 80]]}).encode())
    await expect(line).not_to_contain_text("The disk")


async def test_it_follows_what_real_services_do(world, open_page):
    page = await open_page(world.page)
    await until_instances(page, [])
    first, second = await world.service("shop-1"), await world.service("shop-2")
    await until_states(page, {"shop-1": "ready", "shop-2": "ready"})
    await until_as_listed(world, page)
    await first.tell("drain")
    await until_states(page, {"shop-1": "draining", "shop-2": "ready"})
    await until_as_listed(world, page)
    assert (await first.end())[0] == 0
    await until_states(page, {"shop-2": "ready"})
    third = await world.service("shop-3")
    await until_states(page, {"shop-2": "ready", "shop-3": "ready"})
    await second.reap()
    await until_states(page, {"shop-3": "ready"})
    await third.reap()
    await until_states(page, {})
    happened = page.locator("li[data-what]")
    await expect(happened).to_have_count(7)
    assert [await each.get_attribute("data-what") for each in await happened.all()] == [
        *("vanished", "vanished", "joined", "left", "draining", "joined", "joined")
    ]


async def test_an_update_of_a_record_is_shown(world, open_page):
    owned = await world.advertise(instance_id="shop-1", version="v1")
    page = await open_page(world.page)
    version = page.locator('td[data-column="version"]')
    await expect(version).to_have_text("v1")
    owned.update(json.dumps({"host": "h", "instance_id": "shop-1", "version": "v2", "web": []}).encode())
    await expect(version).to_have_text("v2")
    await until_as_listed(world, page)


async def test_a_superseded_record_stays_until_it_is_withdrawn(world, open_page):
    page = await open_page(world.page)
    twin = {"host": "h", "instance_id": "twin", "web": [["0.0.0.0", 80]]}
    await world.advertise(twin)
    await until_states(page, {"twin": "ready"})
    newer = await world.advertise(twin)
    marks = page.locator('td[data-column="state"]')
    await expect(marks).to_have_text(["ready, superseded", "ready"])
    await newer.withdraw()
    await expect(marks).to_have_text(["ready"])


async def test_ages_go_on_while_nothing_changes(world, open_page):
    await world.advertise(instance_id="shop-1", launch_time=datetime.now(UTC).isoformat())
    page = await open_page(world.page)
    age = page.locator('td[data-column="since"] time')
    await expect(age).to_have_text(re.compile(r"^\d+ s$"))
    await expect(age).not_to_have_text(await age.inner_text())
