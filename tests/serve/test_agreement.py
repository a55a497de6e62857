"""Page, `peerage ls`, API and Prometheus show the same, whatever happens to instances and registry."""

import asyncio
import json
from contextlib import asynccontextmanager

import aiohttp
import pytest
from tests.serve.browser import expect
from tests.serve.page.shown import until_as_listed

from peerage.disk_cache import disk_cache_of, from_environment
from peerage.testing import eventually
from peerage.testing.children import run
from peerage.testing.zookeeper import ZooKeeperServer
from peerage.testing.zookeeper.server import free_port

pytestmark = [pytest.mark.long, pytest.mark.asyncio(loop_scope="session")]

#: Instances at the beginning; of each service one stays in any case, so that none becomes suspect.
INSTANCES = ("orders-1", "orders-2", "orders-3", "shop-1", "shop-2")


class Shown:
    """What each of the four shows.

    Args:
        world: with `peerage serve` running.
        http: a client session.
        page: in Chromium.
        prometheus: the address of one that uses the API's targets.
    """

    def __init__(self, world, http, page, prometheus):
        self.world, self.http, self.page, self.prometheus = world, http, page, prometheus

    async def api(self, path):
        """The answer of the API."""
        async with self.http.get(f"{self.world.page}v1/{path}") as response:
            assert response.status == 200
            return await response.json()

    async def states(self):
        """The instances and their states, as the API has them."""
        return sorted((row["instance"], row["state"]) for row in await self.api("instances"))

    async def targets(self):
        """The records that Prometheus has as targets, and their states."""
        await asyncio.sleep(0.1)  # asked at a pace that leaves it time
        async with self.http.get(f"{self.prometheus}/api/v1/targets?state=active") as response:
            active = (await response.json())["data"]["activeTargets"]
        labels = [target["discoveredLabels"] for target in active]
        return {each["__meta_peerage_record"]: each["__meta_peerage_state"] for each in labels}

    async def agree(self, **wanted):
        """Wait until these instances are known in these states, and the four show the same."""
        wanted = sorted((name.replace("_", "-"), state) for name, state in wanted.items())
        await eventually(self.states, "the states", wanted=lambda found: found == wanted)
        listed = await until_as_listed(self.world, self.page)
        assert await self.api("instances") == listed
        await self.are_targets({row["name"]: row["state"] for row in listed})

    async def are_targets(self, wanted):
        """Wait until Prometheus has these targets."""
        await eventually(self.targets, "the targets", wanted=lambda found: found == wanted)


@asynccontextmanager
async def prometheus_of(page, folder):
    """Run a Prometheus that asks *page* for its targets each second, and yield its URL."""
    address = f"127.0.0.1:{free_port()}"
    config = {
        "scrape_configs": [
            {
                "job_name": "services",
                "http_sd_configs": [{"url": f"{page}v1/prometheus/targets", "refresh_interval": "1s"}],
            }
        ]
    }
    # JSON is YAML as well.
    (folder / "prometheus.yml").write_text(json.dumps(config))
    options = (f"--config.file={folder}/prometheus.yml", f"--storage.tsdb.path={folder}/tsdb")
    async with run("prometheus", *options, f"--web.listen-address={address}"):
        yield f"http://{address}"


async def responds(http, url):
    try:
        async with http.get(f"{url}/-/ready") as response:
            return response.status == 200
    except aiohttp.ClientConnectionError:
        return False


async def saved(world):
    """The names of the records that are in the disk cache."""
    loaded = await disk_cache_of(world.url, from_environment()).read()
    return {entry.record.name for entry in loaded.entries} if loaded else set()


@asynccontextmanager
async def shown_of(world, open_page, folder):
    """Show *world* in all four."""
    async with prometheus_of(world.page, folder) as url, aiohttp.ClientSession() as http:
        await eventually(lambda: responds(http, url), "Prometheus being ready")
        yield Shown(world, http, await open_page(world.page), url)


async def live(shown, *, hung):
    """Instances are killed, stopped, drained and started; return the states in the end.

    Args:
        shown: what must agree.
        hung: the states that an instance has which is stopped; none: its record vanishes.
    """
    children = {name: await shown.world.service(name) for name in INSTANCES}
    states = {name.replace("-", "_"): "ready" for name in INSTANCES}
    await shown.agree(**states)
    children["orders-1"].kill()
    del states["orders_1"]
    await shown.agree(**states)
    children["orders-2"].suspend()
    await shown.agree(**{name: state for name, state in states.items() if name != "orders_2"}, **hung)
    await children["shop-1"].tell("drain")
    states["shop_1"] = "draining"
    await shown.world.service("orders-4")
    states["orders_4"] = "ready"
    await shown.agree(**{name: state for name, state in states.items() if name != "orders_2"}, **hung)
    children["orders-2"].resume()
    await shown.agree(**states)
    return states


async def test_they_agree_on_one_machine(world, open_page, tmp_path):
    """An instance that is stopped is still there."""
    async with shown_of(world, open_page, tmp_path) as shown:
        await live(shown, hung={"orders_2": "ready"})


async def test_they_agree_on_zookeeper_also_while_it_is_down(world_of, open_page, tmp_path, monkeypatch):
    """The record of an instance that is stopped vanishes with its session."""
    (tmp_path / "cache").mkdir(mode=0o700)
    monkeypatch.setenv("PEERAGE_DISK_CACHE", str(tmp_path / "cache"))
    with ZooKeeperServer(tmp_path / "zookeeper") as server:
        world = await world_of(f"zookeeper://{server.address}/asab?session_timeout=3")
        async with shown_of(world, open_page, tmp_path) as shown:
            states = await live(shown, hung={})
            known = {row["name"]: row["state"] for row in await shown.api("instances")}
            await eventually(lambda: saved(world), "the saved names", wanted=lambda names: names == {*known})
            server.kill()
            banner = shown.page.locator("#banner")
            await expect(banner).to_contain_text("Since ")
            status = await shown.api("status")
            assert status["stale"]
            assert status["as_of"] <= status["now"]
            assert {row["name"]: row["state"] for row in await shown.api("instances")} == known
            # What `ls` knows is what processes have saved, so it says that it isn't confirmed.
            listed = await world.listed()
            assert {row["name"]: row["state"] for row in listed} == known
            assert all(row["unconfirmed"] for row in listed)
            await shown.are_targets(known)
            await expect(shown.page.locator("tr[data-name]")).to_have_count(len(known))
            server.start()
            await expect(banner).to_be_empty()
            await shown.agree(**states)
            assert (await shown.api("status"))["stale"] is None
