"""A service of the original, asab 25.15, in its own environment; controlled by lines of JSON.

Usage: peer.py SERVERS PATH; the ids come from SERVICE_ID, INSTANCE_ID and NODE_ID in the environment. Each
line of standard input is ``[command, argument]``, each answer one line of standard output. It knows nothing
of peerage.
"""

import asyncio
import json
import os
import socket
import sys
import threading

import aiohttp.web
import asab
import asab.api
import asab.web
import asab.web.rest
import asab.zookeeper

FAMILIES = {socket.AF_INET: 4, socket.AF_INET6: 6}

asab.Config.add_defaults(
    {
        "general": {"tick_period": "1"},
        "web": {"listen": "0.0.0.0 0"},
        "zookeeper": {"servers": sys.argv[1], "path": sys.argv[2]},
    }
)


class PeerOfAsab(asab.Application):
    def __init__(self):
        super().__init__(args=[])
        self.add_module(asab.web.Module)
        self.add_module(asab.zookeeper.Module)
        self.WebContainer = asab.web.WebContainer(self.get_service("asab.WebService"), "web")
        self.WebContainer.WebApp.router.add_get("/who", self.who)
        self.Container = asab.zookeeper.ZooKeeperContainer(
            self.get_service("asab.ZooKeeperService"), "zookeeper"
        )
        self.ApiService = asab.api.ApiService(self)
        self.ApiService.initialize_web(self.WebContainer)
        self.ApiService.initialize_zookeeper(self.Container)
        self.Discovery = self.get_service("asab.DiscoveryService")
        self.opened = {}

    async def who(self, _):
        return aiohttp.web.json_response({"who": "asab", "instance": os.getenv("INSTANCE_ID")})

    async def main(self):
        threading.Thread(target=self.listen, daemon=True).start()
        self.say("started")

    def listen(self):
        for line in sys.stdin:
            asyncio.run_coroutine_threadsafe(self.obey(*json.loads(line)), self.Loop)
        self.Loop.call_soon_threadsafe(self.stop)

    def say(self, answer):
        print(json.dumps(answer), flush=True)  # noqa: T201 - its side of the pipe

    async def obey(self, command, argument):
        try:
            self.say(await getattr(self, f"do_{command}")(argument))
        except Exception as error:  # noqa: BLE001 - reported to the test
            self.say({"error": type(error).__name__, "text": str(error)})

    async def do_locate(self, criteria):
        """URLs by keywords."""
        # By itself it loses a change that comes while it reads.
        await self.Discovery._rescan_advertised_instances()
        found = await self.Discovery.locate(**criteria)
        return None if found is None else sorted(found)

    async def do_get(self, url):
        """Status and body of a call by name."""
        async with self.Discovery.session() as session, session.get(url) as response:
            return [response.status, await response.text()]

    async def do_instances(self, _):
        """All records."""
        return await self.Discovery.get_advertised_instances()

    async def do_update_discovery(self, lists):
        """Advertise custom ids."""
        self.ApiService.update_discovery(lists)

    async def do_answers(self, argument):
        """What is found in another folder: discover() and each locate(), or how the scan fails."""
        path, queries = argument
        if path not in self.opened:
            self.opened[path] = await self.open(path)
        service = self.opened[path]
        # At once, and in sight: as a task of the framework it would fail in the log only.
        service._ready_event.clear()
        try:
            await service._rescan_advertised_instances()
        except Exception as error:  # noqa: BLE001 - how it fails is the answer
            return {"broken": type(error).__name__}
        if not service._ready_event.is_set():
            return {"broken": "gives up"}
        found = await service.discover()
        return {
            "discover": [
                [key, value, sorted([host, port, FAMILIES[family]] for host, port, family in addresses)]
                for key, values in found.items()
                for value, addresses in values.items()
            ],
            "locate": [sorted(await service.locate(**query)) for query in queries],
        }

    async def open(self, path):
        container = asab.zookeeper.ZooKeeperContainer(
            self.get_service("asab.ZooKeeperService"), "zookeeper", z_path=path
        )
        while not container.is_connected():  # noqa: ASYNC110 - it has no event for that
            await asyncio.sleep(0.01)
        return asab.api.discovery.DiscoveryService(self, container, service_name=f"discovery {path}")


if __name__ == "__main__":
    PeerOfAsab().run()
