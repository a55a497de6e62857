"""Programs that advertise themselves, by the documented order of making things."""

from typing import Final

from tests.asab.zookeeper.programs import on

__all__ = ["LOOKER", "SERVER", "SERVICE", "on"]

#: ``Service`` is the documented application; ``run(program, app)`` runs one that calls *program*.
SERVICE: Final = """
import json, re, socket
import aiohttp, aiohttp.web
load("web", "web.rest", "zookeeper", "api", "api.discovery", "contextvars")
OURS = asab.__name__ != "asab"
if OURS:
    # No callers need time to see that these services drain.
    importlib.import_module("peerage.asab.api.service").LAME_DUCK = 0.01
os.environ["TEST_SIDE"] = "-ours" if OURS else "-theirs"
PATH = os.environ.get("TEST_PATH", "/none") + os.environ["TEST_SIDE"]
asab.Config.add_defaults({"web": {"listen": f"0.0.0.0 {os.environ.get('TEST_PORT', 0)}"}})
if "TEST_SERVERS" in os.environ:
    asab.Config.add_defaults({"zookeeper": {"servers": os.environ["TEST_SERVERS"], "path": PATH}})

class Service(asab.Application):
    def __init__(self, args=()):
        super().__init__(args=list(args))
        self.add_module(asab.web.Module)
        self.Web = asab.web.WebContainer(self.get_service("asab.WebService"), "web")
        self.add_module(asab.zookeeper.Module)
        self.Zk = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"), "zookeeper")
        self.Api = asab.api.ApiService(self)
        self.Api.initialize_web(self.Web)
        self.Api.initialize_zookeeper(self.Zk)
        self.Discovery = self.get_service("asab.DiscoveryService")

async def eventually(ask):
    while True:
        found = ask()
        if asyncio.iscoroutine(found):
            found = await found
        if found:
            return found
        await asyncio.sleep(0.005)

async def node_of(app):
    async def find():
        return app.Zk.is_connected() and await app.Zk.get_children("run")
    return (await eventually(find))[0]

async def record_of(app, wanted=lambda record: True):
    # The original writes it before the web container listens, and again then.
    async def find():
        record = await app.Zk.get_data(f"run/{await node_of(app)}")
        return "web" in record and record["web"] and wanted(record) and record
    return await eventually(find)

def run(program, app):
    async def main():
        try:
            await program(app)
        finally:
            app.stop()
    app.main = main
    return app.run()
"""

#: A service that is called; callers have half a second to notice that it stops.
SERVER: Final = (
    SERVICE.replace(".LAME_DUCK = 0.01", ".LAME_DUCK = 0.5")
    + """
class Server(Service):
    def __init__(self):
        super().__init__()
        self.Web.WebApp.router.add_route("*", "/work", self.work)
        self.count = 0
    async def work(self, request):
        self.count += 1
        await request.read()
        await asyncio.sleep(float(request.query["takes"]))
        return aiohttp.web.json_response({"who": os.environ["INSTANCE_ID"]})
    async def main(self):
        await record_of(self)
        say("ready")
    async def finalize(self):
        say(self.count > 0)
Server().run()
"""
)

#: An application that finds and isn't found.
LOOKER: Final = (
    SERVICE
    + """
class Looker(asab.Application):
    def __init__(self):
        super().__init__(args=[], modules=[asab.zookeeper.Module])
        self.Zk = asab.zookeeper.ZooKeeperContainer(self.get_service("asab.ZooKeeperService"))
        self.Discovery = asab.api.discovery.DiscoveryService(self, self.Zk)
    async def found(self, count):
        # The original scans what it finds after it has said that something changed.
        await eventually(lambda: self.Zk.is_connected())
        while len((await self.Discovery.discover())["instance_id"]) < count:
            await asyncio.sleep(0.005)
def shown(found):
    return found if found is None else sorted(found)
"""
)
