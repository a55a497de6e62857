"""Failures that pass: no space, no descriptors, no threads."""

from tests.backends.programs import program

_PREAMBLE = """
import asyncio, logging, os, resource, sys
from peerage.registry import Snapshot, open_registry
from peerage.testing import View, eventually

logging.basicConfig(stream=sys.stdout, format="%(levelname)s", level=logging.INFO)
logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns on slow machines

def limit(what, soft):
    resource.setrlimit(what, (soft, resource.getrlimit(what)[1]))

"""


async def _lines(text: str, base: object) -> list[str]:
    async with program(_PREAMBLE + text, f"embedded://{base}") as process:
        code, output = await process.end()
    assert code == 0, process.log
    return output.split()


async def test_without_space_one_warning_is_logged_and_writing_is_tried_again(tmp_path):
    text = """
async def main(url):
    registry = open_registry(url)
    async with View(registry) as view:
        kept = registry.advertise("Kept", b"small")
        await kept.registered()
        await view.until_data([b"small"])
        limit(resource.RLIMIT_FSIZE, 100)
        kept.update(b"x" * 1000)
        late = registry.advertise("Late", b"y" * 1000)
        while not (problem := (await registry.inspect()).problem):
            await asyncio.sleep(0.005)
        assert "100 of 1000 bytes" in problem, problem
        assert not (await registry.inspect()).writable
        assert late.name is None and set(view.data.values()) == {b"small"}
        limit(resource.RLIMIT_FSIZE, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
        await view.until_data([b"x" * 1000, b"y" * 1000])
        await late.registered()
        assert (await registry.inspect()).problem is None
    await registry.aclose()

asyncio.run(main(sys.argv[1]))
"""
    assert await _lines(text, tmp_path / "r") == ["WARNING", "INFO"]


async def test_without_descriptors_the_registry_is_stale_and_never_empty(tmp_path):
    text = """
async def main(url):
    registry = open_registry(url)
    async with View(registry) as view:
        await registry.advertise("Kept", b"kept").registered()
        await view.until_data([b"kept"])
        before = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
        limit(resource.RLIMIT_NOFILE, 3)
        await view.until(lambda: view.stale)
        assert "Too many open files" in view.stale and not view.stale.endswith("."), view.stale
        assert list(view.data.values()) == [b"kept"]
        limit(resource.RLIMIT_NOFILE, before)
        await view.until(lambda: not view.stale)
        await view.until_data([b"kept"])
        assert all(event.records for event in view.events[1:] if isinstance(event, Snapshot))
    await registry.aclose()

asyncio.run(main(sys.argv[1]))
"""
    assert await _lines(text, tmp_path / "r") == []


async def test_starting_without_descriptors_is_tried_again(tmp_path):
    text = """
async def main(url):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    registry, given_up, unused = open_registry(url), open_registry(url), open_registry(url)
    limit(resource.RLIMIT_NOFILE, 3)
    async with View(registry) as view:
        owner, left = registry.advertise("App", b"1"), registry.advertise("Left", b"left")
        owner.update(b"2")
        given_up.advertise("Left", b"left")
        await view.until(lambda: view.stale)
        assert "Too many open files" in view.stale, view.stale
        health = await registry.inspect()
        assert (health.state, health.writable) == ("stale", False)
        assert "Too many open files" in health.problem
        await left.withdraw()
        await given_up.aclose()
        limit(resource.RLIMIT_NOFILE, before)
        await view.until_data([b"2"])
        assert not view.stale and await owner.registered()
        assert (await registry.inspect()).writable
    await registry.aclose()
    limit(resource.RLIMIT_NOFILE, 3)
    unused.advertise("Never", b"never")
    await unused.aclose()
    limit(resource.RLIMIT_NOFILE, before)
    assert os.listdir(url.removeprefix("embedded://") + "/run.asab") == []

asyncio.run(main(sys.argv[1]))
print("tidy")
"""
    assert await _lines(text, tmp_path / "r") == ["tidy"]


async def test_a_failed_start_of_the_thread_leaves_no_descriptor(tmp_path):
    text = """
async def main(url):
    import threading
    start = threading.Thread.start
    def refuse(thread):
        raise RuntimeError("can't start new thread")
    before = os.listdir("/proc/self/fd")
    threading.Thread.start = refuse
    registry = open_registry(url)
    async with View(registry) as view:
        owner = registry.advertise("App", b"1")
        await view.until(lambda: view.stale)
        assert os.listdir("/proc/self/fd") == before
        threading.Thread.start = start
        await view.until_data([b"1"])
    await registry.aclose()
    assert os.listdir("/proc/self/fd") == before

asyncio.run(main(sys.argv[1]))
print("tidy")
"""
    assert await _lines(text, tmp_path / "r") == ["tidy"]


async def test_everything_open_at_the_end_is_closed(tmp_path):
    """The program runs with all of Python's checks."""
    text = """
async def main(url):
    import threading
    before = set(os.listdir("/proc/self/fd")), threading.active_count()
    for _ in range(3):
        registry = open_registry(url)
        watches = [registry.watch() for _ in range(3)]
        for watch in watches:
            assert isinstance(await anext(watch), Snapshot)
        for number in range(20):
            registry.advertise("Left", b"%d" % number)
        followed = registry.secrets.follow("/key")
        await registry.secrets.obtain("/key", lambda: b"key")
        await registry.aclose()
        assert [watch async for watch in watches[0]] == []
    assert (set(os.listdir("/proc/self/fd")), threading.active_count()) == before
    assert os.listdir(url.removeprefix("embedded://") + "/run.asab") == []

asyncio.run(main(sys.argv[1]))
print("tidy")
"""
    assert await _lines(text, tmp_path / "r") == ["tidy"]
