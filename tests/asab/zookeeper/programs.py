"""Programs with a ZooKeeper container."""

import itertools
import os
from typing import Final

_numbers = itertools.count()

#: ``make(…)`` returns an application with a container; ``run(program)`` runs one with it, connected. Both
#: sides use the same server, each with a separate path, which their output doesn't contain.
CONTAINER: Final = """
load("zookeeper")
# The original's needs this; ours needn't.
import json
PATH = os.environ.get("TEST_PATH", "/none") + ("-theirs" if asab.__name__ == "asab" else "-ours")
if "TEST_SERVERS" in os.environ:
    asab.Config.add_defaults({"zookeeper": {"servers": os.environ["TEST_SERVERS"], "path": PATH}})

def make(*args, **kwargs):
    class App(asab.Application):
        def __init__(self):
            super().__init__(args=[], modules=[asab.zookeeper.Module])
            service = self.get_service("asab.ZooKeeperService")
            self.container = asab.zookeeper.ZooKeeperContainer(service, *args, **kwargs)
    return App()

async def connected(container):
    while not container.is_connected():
        await asyncio.sleep(0.005)
    # The original makes its path a moment later.
    while await container.get_children() is None:
        await asyncio.sleep(0.005)

def run(program, *args, **kwargs):
    app = make(*args, **kwargs)
    async def main():
        await connected(app.container)
        await program(app, app.container)
        app.stop()
    app.main = main
    return app.run()

async def until(ask, wanted):
    while (found := await ask()) != wanted:
        await asyncio.sleep(0.005)
    say(found)
"""


def on(server, **environ: str) -> dict[str, str]:
    """The environment of a program that uses *server*."""
    return {
        "TEST_SERVERS": server.address,
        "TEST_PATH": f"/asab-{os.getpid()}-{next(_numbers)}",
        **environ,
    }
