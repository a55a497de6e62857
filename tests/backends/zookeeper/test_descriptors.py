"""A process that has run out of descriptors when it connects to a server."""

from tests.backends.programs import program

PROGRAM = """
import asyncio, os, resource, sys
from peerage.registry import Snapshot, Stale, open_registry

def take_all():
    taken = []
    while True:
        try:
            taken.append(os.open(os.devnull, os.O_RDONLY))
        except OSError:
            return taken

async def main():
    registry = open_registry(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    taken = take_all()
    watch = registry.watch()
    owner = registry.advertise("App", b"{}")
    event = await anext(watch)
    print(event.reason, flush=True)
    for descriptor in taken:
        os.close(descriptor)
    print(await owner.registered(), flush=True)
    while not isinstance(event, Snapshot):
        event = await anext(watch)
    print(len(event.records), flush=True)

    registry.connection.client.abort()
    taken = []
    while "Too many open files" not in getattr(event, "reason", ""):
        event = await anext(watch)
        taken += take_all()  # also what the lost connection has freed
    print(owner.name, flush=True)
    for descriptor in taken:
        os.close(descriptor)
    print(await owner.registered(), flush=True)
    await registry.aclose()

asyncio.run(main())
"""


async def test_it_connects_once_there_is_one(url):
    """At the first calls, which raise nothing, and when the next session begins; the reason is reported."""
    async with program(PROGRAM, url) as process:
        assert "Too many open files" in await process.line()
        first = await process.line()
        assert first.startswith("App.")
        assert await process.line() in {"0", "1"}
        assert await process.line() == "None"
        assert await process.line() not in {"None", first}
        assert await process.wait() == 0
