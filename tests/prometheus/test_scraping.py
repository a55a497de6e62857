"""A real Prometheus follows a cluster by `peerage serve`, and scrapes its services."""

import asyncio
import json
import os
import sys
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial

import aiohttp
import pytest
import yaml

from peerage import open_registry
from peerage.testing.children import STRICT, run
from peerage.testing.zookeeper.server import free_port

pytestmark = pytest.mark.long

#: A service that calls itself once a second by its name, and exports metrics.
SERVICE = """
import asyncio
from aiohttp import web
from peerage import Discovery
from peerage.prometheus import collector, handler

async def main():
    async with Discovery() as discovery, discovery.session() as session:
        app = web.Application()
        app.router.add_get("/metrics", handler(collector(discovery)))
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        await discovery.advertise(port=runner.addresses[0][1])
        async with session.get("http://shop.service_id.asab/metrics") as response:
            await response.read()
        print(runner.addresses[0][1], flush=True)
        await asyncio.to_thread(input)
        await discovery.drain(0)
        await runner.cleanup()

asyncio.run(main())
"""


class Cluster:
    """A registry, `peerage serve` and Prometheus, each a child process."""

    def __init__(self, folder, stack, http):
        self.folder, self._stack, self._http = folder, stack, http
        self.environ = {**os.environ, "PEERAGE_REGISTRY": f"embedded://{folder}/registry"}
        self.page, self.prometheus = (f"127.0.0.1:{free_port()}" for _ in range(2))

    async def start(self, *command, **environ):
        """Start a program, and return it after its first line."""
        child = await self._stack.enter_async_context(
            run(*command, environ={**self.environ, **environ}, patience=60)
        )
        await child.line()
        return child

    async def serve(self):
        """Start `peerage serve`, again on the same port."""
        return await self.start(sys.executable, "-W", "error", "-m", "peerage", "serve", "--http", self.page)

    async def service(self, instance):
        """Start an instance of the shop."""
        return await self.start(*STRICT, "-c", SERVICE, SERVICE_ID="shop", INSTANCE_ID=instance)

    async def scrape(self):
        """Start Prometheus."""
        config = {
            "global": {"scrape_interval": "1s", "scrape_timeout": "1s"},
            "scrape_configs": [
                {
                    "job_name": "services",
                    "http_sd_configs": [
                        {"url": f"http://{self.page}/v1/prometheus/targets", "refresh_interval": "1s"}
                    ],
                    "relabel_configs": [
                        {"source_labels": ["__meta_peerage_instance"], "target_label": "instance"},
                        {"source_labels": ["__meta_peerage_service"], "target_label": "service"},
                        {"source_labels": ["__meta_peerage_id_shard"], "target_label": "shard"},
                    ],
                },
                {"job_name": "peerage", "static_configs": [{"targets": [self.page]}]},
            ],
        }
        file = self.folder / "prometheus.yml"
        await asyncio.to_thread(file.write_text, yaml.safe_dump(config))
        await self._stack.enter_async_context(
            run(
                "prometheus",
                f"--config.file={file}",
                f"--storage.tsdb.path={self.folder}/tsdb",
                f"--web.listen-address={self.prometheus}",
                log_lines=100,
            )
        )
        await until(self._is_ready, wanted=True)

    async def _is_ready(self):
        await asyncio.sleep(0.1)
        try:
            async with self._http.get(f"http://{self.prometheus}/-/ready") as response:
                return response.status == 200
        except aiohttp.ClientConnectionError:
            return False

    async def ask(self, path, **query):
        """Ask Prometheus' API, at a pace that leaves it time to do something."""
        await asyncio.sleep(0.1)
        async with self._http.get(f"http://{self.prometheus}/api/v1/{path}", params=query) as response:
            return (await response.json())["data"]

    async def targets(self):
        """The health of each service that Prometheus has as a target, by its instance id."""
        found = (await self.ask("targets"))["activeTargets"]
        services = (each for each in found if each["labels"]["job"] == "services")
        return {each["labels"]["instance"]: each["health"] for each in services}

    async def becomes(self, **wanted):
        """Wait until the targets are those *wanted*."""
        await until(self.targets, {name.replace("_", "-"): health for name, health in wanted.items()})

    async def shows(self, query, wanted):
        """Wait until a query has the value *wanted*."""
        await until(partial(self._value, query), wanted)

    async def _value(self, query):
        found = (await self.ask("query", query=query))["result"]
        return [float(each["value"][1]) for each in found]


async def until(ask, wanted):
    """Ask until the answer is the one *wanted*. Prometheus uses new targets after five seconds."""
    found = None
    try:
        async with asyncio.timeout(60):
            while found != wanted:
                found = await ask()
    except TimeoutError:
        pytest.fail(f"{found} instead of {wanted}")


@asynccontextmanager
async def cluster_in(folder):
    """A cluster without services."""
    async with AsyncExitStack() as stack:
        http = await stack.enter_async_context(aiohttp.ClientSession())
        cluster = Cluster(folder, stack, http)
        cluster.server = await cluster.serve()
        await cluster.scrape()
        yield cluster


async def test_prometheus_follows_the_cluster(tmp_path):
    """Targets come and go with instances, and stay while nothing answers; a hostile record hurts no other."""
    async with cluster_in(tmp_path) as cluster:
        first, _ = [await cluster.service(f"shop-{number}") for number in (1, 2)]
        await cluster.becomes(shop_1="up", shop_2="up")
        registry = open_registry(cluster.environ["PEERAGE_REGISTRY"])
        hostile = {
            "host": "node.invalid",
            "instance_id": "evil",
            "service_id": 'a"\n{}',
            "web": [["0.0.0.0", 1]],
            "discovery": {"__address__": ["127.0.0.1:2"], "shard": ["\ud800"], "ш": [1]},
        }
        try:
            await registry.advertise("Evil", json.dumps(hostile).encode()).registered()
            await registry.advertise("Broken", b"{").registered()
            await cluster.becomes(shop_1="up", shop_2="up", evil="down")
            calls = "peerage_client_attempts_total"
            await cluster.shows(f'{calls}{{instance="shop-2",service="shop",outcome="answered"}}', [1])
            for query, wanted in {
                "peerage_service_instances{%s,service='shop',state='ready'}": 2,
                "peerage_directory_malformed_records{%s}": 2,
            }.items():
                await cluster.shows(query % "job='peerage'", [wanted])
        finally:
            await registry.aclose()
        # The record of this instance is withdrawn. That of the hostile one vanishes, so it may be alive.
        await first.tell("")
        assert await first.wait() == 0
        await cluster.becomes(shop_2="up", evil="down")
        # Without an answer Prometheus keeps what it has.
        cluster.server.kill()
        await cluster.server.wait()
        await cluster.shows('up{job="peerage"}', [0])
        assert await cluster.targets() == {"shop-2": "up", "evil": "down"}
        await cluster.serve()
        await cluster.service("shop-3")
        await cluster.becomes(shop_2="up", shop_3="up")
