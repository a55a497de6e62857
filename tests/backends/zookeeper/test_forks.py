"""Forked children neither keep a record of the parent alive nor remove it."""

import os
import signal

from tests.backends.programs import FORKING, program

from peerage import open_registry
from peerage.registry import Gone
from peerage.testing import View

_SOCKETS = """
def sockets_to(port):
    found = []
    for line in open("/proc/self/net/tcp"):
        fields = line.split()
        if fields[2].endswith(f":{int(port):04X}"):
            found.append(fields[9])
    own = [os.readlink(link.path) for link in os.scandir("/proc/self/fd") if os.path.lexists(link.path)]
    return [inode for inode in found if f"socket:[{inode}]" in own]
"""


async def keeps_its_record(url: str, text: str, says: list[str], data: bytes) -> None:
    """Run the parent: it prints what is expected; its record never vanishes before it ends."""
    registry = open_registry(url)
    async with View(registry) as view:
        async with program(text, url) as parent:
            for line in says:
                assert await parent.line() == line
            await view.until_data([data])
            assert not any(isinstance(event, Gone) for event in view.events)
            parent.close_input()
            await parent.wait()
            assert parent.returncode == 0
        await view.until_data([])
    await registry.aclose()


async def test_a_forked_child_neither_keeps_nor_removes_the_parents_record(url, server):
    """Forked by os.fork during updates; the child goes on with another registry."""
    text = f"""{FORKING}{_SOCKETS}
async def of_the_child(url, inherited):
    assert not sockets_to({server.port}), "the child has a socket of its parent's"
    assert refused(inherited.watch)
    assert refused(lambda: inherited.advertise("No", b"no"))
    await inherited.aclose()
    await live_on(url)

async def main(url):
    registry = open_registry(url)
    owner = registry.advertise("Parent", b"parent")
    await owner.registered()
    await anext(registry.watch())
    for number in range(200):
        owner.update(b"%d" % number)
    owner.update(b"parent")
    forked(lambda: asyncio.run(of_the_child(url, registry)))
    await owner.registered()
    print("parent", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1]))
"""
    registry = open_registry(url)
    async with View(registry) as view, program(text, url) as parent:
        lines = [(await parent.line()).split() for _ in range(2)]
        child = next(int(line[1]) for line in lines if line[0] == "child")
        await view.until_data([b"parent", b"child"])
        parent.kill()
        await view.until_data([b"child"])
        os.kill(child, 0)  # it lives
        os.kill(child, signal.SIGKILL)
        await view.until_data([])
    await registry.aclose()


async def test_a_record_that_a_forked_child_inherited(url):
    """Its calls raise an error that says so, change nothing and don't wait."""
    text = f"""{FORKING}
async def refuses(wait):
    try:
        async with asyncio.timeout(10):
            await wait
    except RegistryClosedError as error:
        return "fork" in str(error)
    return False

async def of_the_child(owner):
    assert refused(lambda: owner.update(b"child"))
    assert await refuses(owner.registered())
    async with asyncio.timeout(10):
        await owner.withdraw()
    print("withdrawn", flush=True)

async def main(url):
    registry = open_registry(url)
    owner = registry.advertise("Parent", b"parent")
    node = await owner.registered()
    child = forked(lambda: asyncio.run(of_the_child(owner)))
    await asyncio.to_thread(os.waitpid, child, 0)
    owner.update(b"after the child")
    assert await owner.registered() == node
    print("parent", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await registry.aclose()

asyncio.run(main(sys.argv[1]))
"""
    await keeps_its_record(url, text, ["withdrawn", "parent"], b"after the child")


async def test_multiprocessing_children_end_without_harm(url):
    """Children of a pool that end, or are killed, leave the record of the parent as it is."""
    text = f"""{FORKING}
import multiprocessing

def work(number):
    if number == 3:
        os.kill(os.getpid(), 9)
    return number

async def main(url):
    registry = open_registry(url)
    owner = registry.advertise("Parent", b"parent")
    node = await owner.registered()
    context = multiprocessing.get_context("fork")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        children = [context.Process(target=work, args=(number,)) for number in range(5)]
        for child in children:
            child.start()
    for child in children:
        await asyncio.to_thread(child.join)
    owner.update(b"after the children")
    assert await owner.registered() == node
    print("done", flush=True)
    await asyncio.to_thread(sys.stdin.read)
    await registry.aclose()

asyncio.run(main(sys.argv[1]))
"""
    await keeps_its_record(url, text, ["done"], b"after the children")


async def test_a_prefork_server(url):
    """A parent that advertises forks workers, each of which advertises as well."""
    text = f"""{FORKING}
async def worker(url, number):
    registry = open_registry(url)
    await registry.advertise("Worker", b"%d" % number).registered()
    await asyncio.Event().wait()

async def busy(url):
    registry = open_registry(url)
    await registry.advertise("Master", b"master").registered()
    return registry

loop = asyncio.new_event_loop()
master = loop.run_until_complete(busy(sys.argv[1]))
pids = []
with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)
    for number in range(3):
        pid = os.fork()
        if pid == 0:
            # On the main thread, as pre-fork servers do.
            asyncio.run(worker(sys.argv[1], number))
            os._exit(0)
        pids.append(pid)
print(*pids, flush=True)
sys.stdin.read()
for pid in pids:
    os.kill(pid, 9)
    os.waitpid(pid, 0)
loop.run_until_complete(master.aclose())
loop.close()
"""
    registry = open_registry(url)
    async with View(registry) as view:
        async with program(text, url) as parent:
            pids = [int(pid) for pid in (await parent.line()).split()]
            await view.until_data([b"master", b"0", b"1", b"2"])
            os.kill(pids[0], signal.SIGKILL)
            await view.until_data([b"master", b"1", b"2"])
            parent.close_input()
            await parent.wait()
            assert parent.returncode == 0
        await view.until_data([])
    await registry.aclose()
