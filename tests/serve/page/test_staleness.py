"""The page says when what it shows may be out of date, and is right again afterwards."""

import signal

import pytest
from tests.serve.browser import expect
from tests.serve.page.shown import until_as_listed, until_states

from peerage.testing.waiting import eventually
from peerage.testing.zookeeper import ZooKeeperServer

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session")]


async def test_a_folder_that_cannot_be_trusted_any_more(world, open_page, tmp_path):
    await world.advertise(instance_id="shop-1")
    page = await open_page(world.page)
    await until_states(page, {"shop-1": "ready"})
    banner = page.locator("#banner")
    await expect(banner).to_be_empty()
    folder = tmp_path / "registry" / "run.asab"
    folder.chmod(0o777)
    await expect(banner).to_contain_text("out of reach")
    await expect(banner).to_contain_text("chmod 700")
    await until_states(page, {"shop-1": "ready"})
    folder.chmod(0o700)
    await expect(banner).to_be_empty()
    await world.advertise(instance_id="shop-2")
    await until_states(page, {"shop-1": "ready", "shop-2": "ready"})
    await expect(page.locator('li[data-what="lost"]')).to_have_count(1)
    await expect(page.locator('li[data-what="found"]')).to_have_count(1)


async def test_a_zookeeper_that_stops(world_of, open_page, tmp_path):
    with ZooKeeperServer(tmp_path / "zookeeper") as server:
        world = await world_of(f"zookeeper://{server.address}/asab?session_timeout=3")
        await world.advertise(instance_id="shop-1")
        page = await open_page(world.page)
        await until_states(page, {"shop-1": "ready"})
        server.kill()
        banner = page.locator("#banner")
        await expect(banner).to_contain_text("out of reach")
        await expect(banner).to_contain_text("Since ")
        await until_states(page, {"shop-1": "ready"})
        # Who opens it now sees the same, and how old it is.
        other = await open_page(world.page)
        await expect(other.locator("#banner")).to_contain_text("out of reach")
        await until_states(other, {"shop-1": "ready"})
        server.start()
        for each in (page, other):
            await expect(each.locator("#banner")).to_be_empty()
            await until_as_listed(world, each)
        # The last one of its name: its record vanished, which doesn't prove that it is dead.
        service = await world.service("cart-1")
        await until_states(page, {"cart-1": "ready", "shop-1": "ready"})
        await service.reap()
        await until_states(page, {"cart-1": "suspect", "shop-1": "ready"})
        await expect(page.locator('li[data-what="suspect"]')).to_have_count(1)


async def test_a_start_while_the_registry_is_away_shows_what_was_known(
    world_of, open_page, tmp_path, monkeypatch
):
    cache = tmp_path / "cache"
    cache.mkdir(mode=0o700)
    monkeypatch.setenv("PEERAGE_DISK_CACHE", str(cache))
    with ZooKeeperServer(tmp_path / "zookeeper") as server:
        world = await world_of(f"zookeeper://{server.address}/asab?session_timeout=3")
        await world.advertise(instance_id="shop-1")
        page = await open_page(world.page, away=True)
        await until_states(page, {"shop-1": "ready"})
        await eventually(lambda: [*cache.rglob("*.cache")], "the file of the disk cache")
        world.server.terminate()
        await world.server.wait()
        server.kill()
        await world.serve()
        await until_states(page, {"shop-1": "ready, unconfirmed"})
        await expect(page.locator("#banner")).to_contain_text("Since ")
        server.start()
        await until_states(page, {"shop-1": "ready"})
        await expect(page.locator("#banner")).to_be_empty()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
async def test_a_restart_of_the_server(world, open_page, number):
    first = await world.advertise(instance_id="shop-1")
    await world.advertise(instance_id="shop-2")
    page = await open_page(world.page, away=True)
    await until_states(page, {"shop-1": "ready", "shop-2": "ready"})
    world.server.signal(number)
    await world.server.wait()
    banner = page.locator("#banner")
    await expect(banner).to_contain_text("doesn't answer")
    await until_states(page, {"shop-1": "ready", "shop-2": "ready"})
    await first.withdraw()
    await world.advertise(instance_id="shop-3")
    await world.serve()
    await expect(banner).to_be_empty()
    await until_states(page, {"shop-2": "ready", "shop-3": "ready"})
    await world.advertise(instance_id="shop-4")
    await until_states(page, {"shop-2": "ready", "shop-3": "ready", "shop-4": "ready"})


async def test_an_empty_registry_says_so(world, open_page):
    page = await open_page(world.page)
    await expect(page.get_by_text("No instance is advertised")).to_be_visible()
    await world.advertise(instance_id="shop-1")
    await until_states(page, {"shop-1": "ready"})
    await expect(page.get_by_text("No instance is advertised")).to_be_hidden()
