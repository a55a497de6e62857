"""Records as files: which files are written, read, removed and left alone."""

import asyncio
import fcntl
import os
import stat
import subprocess
import time
from pathlib import Path

import pytest
from tests.backends.embedded.support import (
    locked,
    made_by_hand,
    names_in,
    opened,
    records_in,
    run_folder,
)
from tests.backends.programs import program

from peerage.backends.embedded import forks
from peerage.backends.embedded import view as embedded_view
from peerage.registry import RECORD_LIMIT
from peerage.testing import Participant, View, eventually


async def test_an_advertisement_is_a_locked_private_file(tmp_path):
    base = tmp_path / "registry"
    async with opened(base) as registry:
        name = await registry.advertise("App", b"data").registered()
        path = run_folder(base) / name
        assert stat.S_IMODE(base.stat().st_mode) == stat.S_IMODE(run_folder(base).stat().st_mode) == 0o700
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert path.read_bytes() == b"data"
        assert locked(path)
        assert names_in(run_folder(base)) == [name]
    assert names_in(run_folder(base)) == []


async def test_an_owner_whose_file_is_replaced_takes_another_name(tmp_path):
    """As does one of two processes that take the same name in the same nanosecond."""
    async with opened(tmp_path / "r") as registry, View(registry) as view:
        owner = registry.advertise("App", b"1")
        name = await owner.registered()
        await view.until_data([b"1"])
        with made_by_hand(run_folder(tmp_path / "r") / name):
            await view.until_data([b"1", b"by hand"])
            assert view.data[name] == b"by hand"
            assert view.data[await owner.registered()] == b"1"
        await view.until_data([b"1"])


async def test_an_update_puts_another_file_under_the_same_name(tmp_path):
    async with opened(tmp_path / "r") as registry:
        owner = registry.advertise("App", b"1")
        path = run_folder(tmp_path / "r") / await owner.registered()
        versions = set()
        for number in range(50):
            owner.update(b"%d" % number)
            await owner.registered()
            assert locked(path)
            found = path.stat()
            versions.add((found.st_ino, found.st_mtime_ns))
        # File systems reuse inodes at once; a version is never reused.
        assert len(versions) == 50


@pytest.fixture
def whole_seconds(tmp_path, monkeypatch):
    """A folder where file times have whole seconds: ext4 with small inodes, if it can be mounted."""
    folder, image = tmp_path / "mounted", tmp_path / "image"
    folder.mkdir()
    with image.open("wb") as file:
        file.truncate(8 << 20)
    mount = f"mkfs.ext4 -q -I 128 {image} && mount -o loop {image} {folder}"
    if subprocess.run(["/bin/sh", "-c", mount], capture_output=True, check=False).returncode:
        utime = os.utime
        monkeypatch.setattr(
            os, "utime", lambda fd, ns: utime(fd, ns=tuple(time // 10**9 * 10**9 for time in ns))
        )
        yield folder
    else:
        yield folder
        subprocess.run(["/bin/sh", "-c", f"umount {folder}"], check=True)


@pytest.mark.parametrize("polling", ["0", "1"])
async def test_no_update_is_lost_where_file_times_have_whole_seconds(whole_seconds, polling):
    """Of two updates within a second, the second one gets the inode of the file that the watcher has read."""
    text = """
        import asyncio, sys
        from peerage.registry import Put, Snapshot, open_registry

        async def main(url):
            async for event in open_registry(url).watch():
                match event:
                    case Put(record) | Snapshot((record,)):
                        print(record.data.decode(), flush=True)

        asyncio.run(main(sys.argv[1]))
        """
    async with opened(whole_seconds / "r") as registry:
        owner = registry.advertise("App", b"first")
        await owner.registered()
        async with program(text, registry.url, PEERAGE_EMBEDDED_POLL=polling) as watcher:
            assert await watcher.line() == "first"
            for number in range(5):
                watcher.suspend()
                for data in (b"%d, not seen" % number, b"%d" % number):
                    owner.update(data)
                    await owner.registered()
                watcher.resume()
                while await watcher.line() != str(number):
                    pass


async def test_a_record_removed_by_hand_comes_back(tmp_path):
    async with opened(tmp_path / "r") as registry, View(registry) as view:
        owner = registry.advertise("App", b"1")
        first = await owner.registered()
        await view.until_data([b"1"])
        (run_folder(tmp_path / "r") / first).unlink()
        await view.until(lambda: view.records and first not in view.records)
        await eventually(lambda: owner.name in view.records)


@pytest.mark.parametrize("polling", ["0", "1"])
async def test_the_file_of_a_dead_owner_is_removed_and_not_delivered(tmp_path, monkeypatch, polling):
    monkeypatch.setenv("PEERAGE_EMBEDDED_POLL", polling)
    base = tmp_path / "r"
    async with opened(base) as registry:
        await registry.inspect()
        (run_folder(base) / "Dead.0000000007").write_bytes(b"dead")
        with (run_folder(base) / "Dead.0000000007").open("rb") as tester:
            # Another process that tests the lock at the same time isn't taken for the owner.
            fcntl.flock(tester, fcntl.LOCK_SH)
            async with View(registry) as view:
                await view.until(lambda: view.ready)
                assert view.records == {}
                await eventually(lambda: records_in(base) == [])
                with made_by_hand(run_folder(base) / "Alive.0000000008"):
                    await view.until_data([b"by hand"])
                await view.until_data([])
                (run_folder(base) / "Dead.0000000009").write_bytes(b"dead")
                await eventually(lambda: records_in(base) == [])
                assert [type(event).__name__ for event in view.events] == ["Snapshot", "Put", "Gone"]


async def test_files_that_are_no_records_are_left_alone(tmp_path, caplog):
    base = tmp_path / "r"
    async with opened(base) as registry:
        await registry.inspect()
        folder = run_folder(base)
        (folder / "README").write_text("no number")
        (folder / "App.123").write_text("short number")
        (folder / ".hidden.0000000001").write_text("dot")
        (folder / "-dash.0000000001").write_text("dash")
        (folder / "Link.0000000001").symlink_to("README")
        (folder / "Folder.0000000001").mkdir()
        os.mkfifo(folder / "Pipe.0000000001")
        before = names_in(folder)
        async with View(registry) as view:
            await view.until(lambda: view.ready)
            name = await registry.advertise("App", b"1").registered()
            await view.until_data([b"1"])
            assert names_in(folder) == sorted([*before, name])
        for name in ("Link", "Folder", "Pipe"):
            assert sum(f"{name}.0000000001" in record.message for record in caplog.records) == 1


async def test_a_file_of_another_user_is_left_alone(tmp_path):
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    base = tmp_path / "r"
    async with opened(base) as registry:
        await registry.inspect()
        foreign = run_folder(base) / "Foreign.0000000001"
        with made_by_hand(foreign):
            os.chown(foreign, 12345, -1)
            async with View(registry) as view:
                await view.until(lambda: view.ready)
                assert view.records == {}
        assert foreign.exists()


async def test_an_oversized_record_is_skipped_and_the_others_are_delivered(tmp_path, caplog):
    base = tmp_path / "r"
    async with opened(base) as registry, View(registry) as view:
        await view.until(lambda: view.ready)
        with made_by_hand(run_folder(base) / "Fat.0000000001", b"x" * (RECORD_LIMIT + 1)):
            await registry.advertise("Thin", b"thin").registered()
            await view.until_data([b"thin"])
            async with View(registry) as other:
                await other.until_data([b"thin"])
        assert sum("Fat.0000000001" in record.message for record in caplog.records) == 1


async def test_a_leftover_draft_is_removed(tmp_path):
    base = tmp_path / "r"
    async with opened(base) as registry:
        await registry.inspect()
        old, young = run_folder(base) / ".tmp.1.old", run_folder(base) / ".tmp.1.young"
        old.write_text("")
        young.write_text("")
        os.utime(old, (time.time() - 3600,) * 2)
        async with View(registry):
            await eventually(lambda: not old.exists())
            assert young.exists()


_QUEUE = Path("/proc/sys/fs/inotify/max_queued_events")


@pytest.mark.skipif(not _QUEUE.exists(), reason="only Linux has inotify")
async def test_too_many_events_at_once_lose_nothing(tmp_path):
    """When the kernel's queue overflows, everything is read again."""
    base = tmp_path / "r"
    limit = int(await asyncio.to_thread(_QUEUE.read_text))
    async with opened(base) as registry, View(registry) as view:
        owner = registry.advertise("Gone", b"gone")
        await owner.registered()
        await view.until_data([b"gone"])
        noise, other = run_folder(base) / "noise", run_folder(base) / "other"
        noise.touch()
        with forks.FORK_LOCK:  # the thread can't read meanwhile
            for _ in range(limit // 4 + 100):
                noise.rename(other)
                other.rename(noise)
            with made_by_hand(run_folder(base) / "Late.0000000099", b"late"):
                forks.FORK_LOCK.release()
                try:
                    await view.until_data([b"gone", b"late"])
                finally:
                    forks.FORK_LOCK.acquire()
        await view.until_data([b"gone"])


@pytest.mark.skipif(not _QUEUE.exists(), reason="only Linux has inotify")
async def test_reading_causes_no_events(tmp_path, monkeypatch):
    """Otherwise processes that read would make each other read for ever."""
    on_changes = embedded_view.View._on_changes
    changed = []

    def count(view, changes):
        changed.extend(name for name in changes if not name.startswith("."))
        on_changes(view, changes)

    monkeypatch.setattr(embedded_view.View, "_on_changes", count)
    text = """
        import asyncio, sys
        from peerage.registry import open_registry

        async def main(url):
            registry = open_registry(url)
            print(len((await anext(registry.watch())).records), flush=True)
            await registry.aclose()

        asyncio.run(main(sys.argv[1]))
        """
    async with opened(tmp_path / "r") as registry, View(registry) as view:
        await view.until(lambda: view.ready)
        names = [await registry.advertise("Seen", b"seen").registered() for _ in range(20)]
        # Events are in order: those of the other records came before.
        await eventually(lambda: names[-1] in changed)
        changed.clear()
        async with program(text, registry.url) as other:
            assert await other.line() == "20"
            await other.wait()
        # So did those that the other process may have caused.
        name = await registry.advertise("Fence", b"fence").registered()
        await eventually(lambda: name in changed)
        assert set(changed) == {name}


async def test_paths_do_not_see_each_other(tmp_path):
    async with (
        opened(tmp_path / "r") as one,
        opened(tmp_path / "r", "?path=/asab/two") as two,
        View(one) as in_one,
        View(two) as in_two,
    ):
        await one.advertise("One", b"one").registered()
        await two.advertise("Two", b"two").registered()
        await in_one.until_data([b"one"])
        await in_two.until_data([b"two"])


async def test_the_record_of_a_stopped_process_stays(tmp_path):
    """There is no session that could expire, unlike in ZooKeeper."""
    async with opened(tmp_path / "r") as registry, View(registry) as view:
        async with Participant.spawn(registry.url) as owner:
            await owner.advertise("Stopped", b"stopped")
            await view.until_data([b"stopped"])
            owner.suspend()
            await registry.advertise("Later", b"later").registered()
            await view.until_data([b"stopped", b"later"])
        await view.until_data([b"later"])
