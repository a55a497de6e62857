"""What the registries of a process share: one thread, one inotify; closing, and forks."""

import asyncio
import os
import signal
import threading
import time

import pytest
from tests.backends.embedded.support import begun, names_in, open_files, opened, records_in
from tests.backends.programs import FORKING, program

from peerage.backends.embedded import forks, open_embedded, store
from peerage.backends.embedded.advertisement import _PATIENCE
from peerage.registry import Snapshot
from peerage.testing import View, eventually

#: Seconds after which a blocked event loop is given up.
_GIVE_UP = 20


def _inotify_instances() -> int:
    return sum("inotify" in file for file in open_files())


def _threads() -> int:
    return sum(thread.name == "peerage-embedded" for thread in threading.enumerate())


async def test_one_thread_and_one_inotify_for_all(tmp_path):
    async with opened(tmp_path / "a") as one, opened(tmp_path / "b") as two, opened(tmp_path / "a") as three:
        views = [View(registry) for registry in (one, two, three)]
        for view in views:
            await view.until(lambda view=view: view.ready)
        assert (_threads(), _inotify_instances()) == (1, 1)
        await one.aclose()
        await two.advertise("Two", b"two").registered()
        await three.advertise("Three", b"three").registered()
        await views[1].until_data([b"two"])
        await views[2].until_data([b"three"])
        for view in views:
            await view.aclose()
    assert (_threads(), _inotify_instances()) == (0, 0)


async def test_event_loops_share_the_thread(tmp_path):
    """Each loop gets the events of its own watchers."""

    def elsewhere() -> bytes:
        async def main() -> bytes:
            async with opened(tmp_path / "r") as registry, View(registry) as view:
                await view.until_data([b"here"])
                await registry.advertise("There", b"there").registered()
                await view.until_data([b"here", b"there"])
                assert _threads() == 1
                return b"seen"

        return asyncio.run(main())

    async with opened(tmp_path / "r") as registry, View(registry) as view:
        await registry.advertise("Here", b"here").registered()
        assert await asyncio.to_thread(elsewhere) == b"seen"
        await view.until_data([b"here"])


async def test_a_closed_loop_does_not_disturb_other_registries(tmp_path):
    """A program may close its event loop without closing the registry."""
    left = open_embedded(f"embedded://{tmp_path}/r")

    def elsewhere() -> None:
        async def main() -> None:
            assert isinstance(await anext(left.watch()), Snapshot)

        asyncio.run(main())

    await asyncio.to_thread(elsewhere)
    async with opened(tmp_path / "r") as registry, View(registry) as view:
        await registry.advertise("App", b"1").registered()
        await view.until_data([b"1"])
    await left.aclose()


async def test_a_cancelled_close_leaves_nothing(tmp_path):
    registry = open_embedded(f"embedded://{tmp_path}/r")
    await registry.advertise("App", b"1").registered()
    closing = await begun(registry.aclose())
    closing.cancel()
    await asyncio.wait([closing])
    await eventually(lambda: _threads() == 0)
    assert names_in(tmp_path / "r" / "run.asab") == []


async def test_a_hanging_disk_call_does_not_block_the_event_loop(tmp_path):
    """Such a call holds the lock that keeps forks away, and the event loop never waits for that lock."""
    held, released = threading.Event(), threading.Event()

    def hang() -> bool:
        with forks.FORK_LOCK:
            held.set()
            return released.wait(_GIVE_UP)

    async with opened(tmp_path / "r") as registry:
        owner = registry.advertise("App", b"1")
        await owner.registered()
        hanging = asyncio.ensure_future(asyncio.to_thread(hang))
        await asyncio.to_thread(held.wait)
        calls = [registry.inspect(), owner.withdraw(), registry.secrets.obtain("/key", lambda: b"key")]
        tasks = [await begun(call) for call in calls]
        released.set()
        assert await hanging, "the event loop was blocked until the disk call gave up"
        await asyncio.gather(*tasks)


async def test_many_withdrawals_are_not_taken_for_a_hanging_disk(tmp_path, caplog):
    """The patience for the disk doesn't count the time in which it serves other calls."""
    async with opened(tmp_path / "r") as registry:
        owner = registry.advertise("App", b"1")
        await owner.registered()
        for _ in range(8):
            registry._open().thread.call_soon(lambda: time.sleep(_PATIENCE / 4))
        await owner.withdraw()
        assert records_in(tmp_path / "r") == []
    assert caplog.records == []


async def test_withdrawing_does_not_wait_for_a_hanging_disk(tmp_path, caplog):
    """The files are removed when the disk works again, cancelled withdrawals included; one line is logged."""
    disk = threading.Event()
    async with opened(tmp_path / "r") as registry:
        owners = [registry.advertise("App", b"%d" % number) for number in range(4)]
        for owner in owners:
            await owner.registered()
        registry._open().thread.call_soon(disk.wait)
        try:
            owners[0].update(b"never written")
            withdrawal = await begun(owners[1].withdraw())
            withdrawal.cancel()
            await asyncio.wait([withdrawal])
            assert withdrawal.cancelled()
            await owners[0].withdraw()
            await owners[0].withdraw()
            await owners[2].withdraw()
            assert len(caplog.records) == 1
            assert len(records_in(tmp_path / "r")) == 4
        finally:
            disk.set()
        await registry.inspect()
        assert records_in(tmp_path / "r") == [owners[3].name]
        assert not caplog.records[1:]


@pytest.mark.alone
async def test_without_inotify_the_folder_is_polled_and_that_is_logged_once(tmp_path):
    """The program takes all inotify instances that this user has left."""
    text = """
        import asyncio, sys
        from asyncinotify import Inotify
        from peerage.registry import open_registry
        from peerage.testing import View

        async def main(url):
            hoard, changes = [], ""
            while changes != "polling":
                # Another process of this user may close one meanwhile: then try again.
                try:
                    while True:
                        hoard.append(Inotify())
                except OSError:
                    pass
                one = open_registry(url)
                async with View(one) as view:
                    await view.until(lambda: view.ready)
                changes = (await one.inspect()).details["changes"]
                if changes != "polling":
                    await one.aclose()
            print(changes)
            two = open_registry(url + "2")
            async with View(one) as view, View(two) as other:
                await one.advertise("App", b"1").registered()
                await view.until_data([b"1"])
                await other.until(lambda: other.ready)
                for inotify in hoard:
                    inotify.close()
                # Opening another one is a reason to try again.
                three = open_registry(url + "3")
                await three.inspect()
                while (changes := (await one.inspect()).details["changes"]) != "inotify":
                    pass
                print(changes)
                one.advertise("App", b"2")
                await view.until_data([b"1", b"2"])
                await one.aclose()
                await two.aclose()
                await three.aclose()

        import logging
        logging.basicConfig(stream=sys.stdout, format="%(levelname)s")
        logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns on slow machines
        asyncio.run(main(sys.argv[1]))
        """
    async with program(text, f"embedded://{tmp_path}/r") as process:
        code, output = await process.end()
    assert (code, output.split()) == (0, ["WARNING", "polling", "inotify"])


async def test_a_program_that_closes_nothing_ends_without_errors(tmp_path):
    text = """
        import asyncio, sys
        from peerage.registry import open_registry

        async def main(url):
            registry = open_registry(url)
            await anext(registry.watch())
            await registry.advertise("App", b"1").registered()

        asyncio.run(main(sys.argv[1]))
        """
    async with opened(tmp_path / "r") as registry, View(registry) as view:
        async with program(text, registry.url) as process:
            await process.wait()
            assert process.returncode == 0
            assert "fault" not in process.log
        await view.until(lambda: view.ready)
        await view.until_data([])


async def test_a_forked_child_neither_keeps_nor_removes_the_parents_record(tmp_path):
    """The child has no thread of the parent, and the registry that it opens works."""
    text = f"""{FORKING}
async def of_the_child(url, inherited, owner):
    assert refused(inherited.watch)
    assert refused(lambda: inherited.advertise("No", b"no"))
    assert refused(lambda: owner.update(b"no"))
    await owner.withdraw()
    await inherited.aclose()
    await live_on(url)

async def main(url):
    registry = open_registry(url)
    owner = registry.advertise("Parent", b"parent")
    await owner.registered()
    await anext(registry.watch())
    # Updates keep the thread busy with descriptors while the fork happens.
    for _ in range(200):
        owner.update("parent".encode())  # another object each time
    forked(lambda: asyncio.run(of_the_child(url, registry, owner)))
    await owner.registered()
    print("parent", flush=True)
    await asyncio.Event().wait()

asyncio.run(main(sys.argv[1]))
"""
    async with opened(tmp_path / "r") as registry, View(registry) as view:
        for _ in range(5):
            async with program(text, registry.url) as parent:
                lines = [(await parent.line()).split() for _ in range(2)]
                child = next(int(line[1]) for line in lines if line[0] == "child")
                await view.until_data([b"parent", b"child"])
                parent.kill()
                await view.until_data([b"child"])
                os.kill(child, 0)  # it lives
                os.kill(child, signal.SIGKILL)
                await view.until_data([])


async def test_a_child_forked_while_the_parent_closes_has_no_descriptor(tmp_path):
    disk = threading.Event()
    before = set(open_files())
    async with opened(tmp_path / "r") as registry:
        assert isinstance(await anext(registry.watch()), Snapshot)
        registry._open().thread.call_soon(disk.wait)
        closing = await begun(registry.aclose())
        try:
            assert _inotify_instances() == 1
            assert await _inherited(before) == "[]"
        finally:
            disk.set()
        await closing
    assert _inotify_instances() == 0


async def _inherited(before: set[str]) -> str:
    """Return what a forked child has open, except for *before* and the pipe by which it answers."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        pipe = os.readlink(f"/proc/self/fd/{reader}")  # noqa: PTH115 - there is no loop in the child
        os.write(writer, repr(sorted(set(open_files()) - before - {pipe})).encode())
        os._exit(0)
    os.close(writer)
    found = await asyncio.to_thread(os.read, reader, 1000)
    os.close(reader)
    await asyncio.to_thread(os.waitpid, child, 0)
    return found.decode()


async def test_a_child_has_no_descriptor_of_its_parent(tmp_path):
    before = set(open_files())
    async with opened(tmp_path / "r") as registry, View(registry) as view:
        await registry.advertise("App", b"1").registered()
        await view.until_data([b"1"])
        assert await _inherited(before) == "[]"
        registry.advertise("App", b"2")
        await view.until_data([b"1", b"2"])


async def test_closing_does_not_wait_until_all_files_are_removed(tmp_path, monkeypatch):
    """There is no time to remove ten thousand files; without its lock a file is no record any more."""
    monkeypatch.setattr(store, "_REMOVING", 0.0)
    base = tmp_path / "r"
    async with opened(base) as there, View(there) as view:
        async with opened(base) as here:
            owners = [here.advertise("Many", b"x") for _ in range(200)]
            await owners[-1].registered()
            await view.until(lambda: len(view.records) == 200)
        await view.until_data([])
        await eventually(lambda: names_in(base / "run.asab") == [])
