"""Folders that can't be trusted, and folders that are removed or closed."""

import fcntl
import os
import shutil
import tempfile
from pathlib import Path

import pytest
from tests.backends.embedded.support import opened, run_folder
from tests.backends.programs import program

from peerage.backends.embedded.folder import _locks_exclude
from peerage.errors import RegistryDeniedError
from peerage.registry import Gone, Put, Snapshot, Stale
from peerage.testing import View
from peerage.testing.participant import Participant

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")


def open_to_others(base):
    base.mkdir()
    base.chmod(0o750)


def inside_open_to_others(base):
    base.mkdir(mode=0o700)
    run_folder(base).mkdir()
    run_folder(base).chmod(0o701)


def closed_to_its_owner(base):
    base.mkdir()
    base.chmod(0o000)


def symbolic_link(base):
    (base.parent / "elsewhere").mkdir(mode=0o700)
    base.symlink_to("elsewhere")


def file(base):
    base.touch(mode=0o700)


def inside_symbolic_link(base):
    base.mkdir(mode=0o700)
    (base.parent / "elsewhere").mkdir(mode=0o700)
    run_folder(base).symlink_to("../elsewhere")


def parent_missing(base):
    base.parent.rmdir()


def owned_by_another_user(base):
    base.mkdir(mode=0o700)
    os.chown(base, 12345, -1)


@pytest.mark.parametrize(
    ("spoil", "advice"),
    [
        (open_to_others, "chmod 700"),
        (inside_open_to_others, "chmod 700"),
        (closed_to_its_owner, "chmod 700"),
        (symbolic_link, "symbolic link"),
        (inside_symbolic_link, "symbolic link"),
        (file, "not a folder"),
        (parent_missing, "make sure that"),
        pytest.param(owned_by_another_user, "belongs to user 12345", marks=needs_root),
    ],
)
async def test_an_untrusted_folder_is_refused_until_it_is_repaired(tmp_path, spoil, advice, caplog):
    caplog.set_level("INFO", "peerage.backends.embedded")
    base = tmp_path / "above" / "r"
    base.parent.mkdir()
    spoil(base)
    async with opened(base) as registry, View(registry) as view:
        await view.until(lambda: view.stale)
        assert not view.ready
        assert advice in (view.stale or "")
        assert "PEERAGE_DIR" in view.stale
        assert not view.stale.endswith(".")
        owner = registry.advertise("App", b"1")
        with pytest.raises(RegistryDeniedError, match=advice):
            await owner.registered()
        health = await registry.inspect()
        assert (health.state, health.writable) == ("stale", False)
        assert advice in (health.problem or "")

        if base.is_dir() and not base.is_symlink():
            base.chmod(0o700)
        shutil.rmtree(base, ignore_errors=True)
        base.unlink(missing_ok=True)
        base.parent.mkdir(exist_ok=True)
        await view.until_data([b"1"])
        assert await owner.registered() == owner.name
        # The followers of the registry log it.
        assert caplog.records == []


async def test_where_no_folder_can_be_made_the_message_says_why():
    """The parent folder exists here, and the message doesn't say that it is missing."""
    async with opened(Path("/proc/nope")) as registry, View(registry) as view:
        await view.until(lambda: view.stale)
        assert "'/proc/nope' can't be created (No such file or directory)" in view.stale
        assert "folder in which this user may create folders" in view.stale


_AS_NOBODY = """
import asyncio, os, sys
from peerage.registry import Gone, open_registry
from peerage.testing import View

base = sys.argv[1].removeprefix("embedded://")
registry = open_registry(sys.argv[1])
if os.geteuid() == 0:
    # Access is never denied to root.
    os.setuid(65534)
"""


@needs_root
async def test_a_folder_that_another_user_made_first_is_refused_with_advice():
    """In /tmp every user may take the name; only the owner and root can remove it."""
    text = """
async def main():
    async with View(registry) as view:
        await view.until(lambda: view.stale)
        print(view.stale)
    await registry.aclose()

asyncio.run(main())
"""
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o711)  # noqa: PTH101, S103 - a string; another user must get into it
        base = f"{above}/r"
        os.mkdir(base, 0o700)  # noqa: PTH102 - likewise
        async with program(_AS_NOBODY + text, f"embedded://{base}") as process:
            _, output = await process.end()
    assert "belongs to user 0, and this process runs as user 65534" in output
    assert "PEERAGE_DIR" in output


async def test_a_folder_closed_to_its_owner_removes_no_record():
    """While access is denied, nothing is known about a record; the registry is stale."""
    text = """
async def main():
    async with View(registry) as view:
        kept = registry.advertise("Kept", b"kept")
        closed = registry.advertise("Closed", b"closed")
        await kept.registered()
        # inotify reports that the file is closed, and it is read again.
        path = f"{base}/run.asab/{await closed.registered()}"
        await view.until_data([b"kept", b"closed"])
        writer = os.open(path, os.O_WRONLY)
        os.chmod(f"{base}/run.asab", 0o000)
        os.close(writer)
        await view.until(lambda: view.stale)
        assert not any(isinstance(event, Gone) for event in view.events), view.events
        assert (await registry.inspect()).state == "stale"
        os.chmod(f"{base}/run.asab", 0o700)
        await view.until(lambda: not view.stale)
        await view.until_data([b"kept", b"closed"])
        assert not any(isinstance(event, Gone) for event in view.events), view.events
    await registry.aclose()

asyncio.run(main())
print("kept")
"""
    with tempfile.TemporaryDirectory() as base:
        if os.geteuid() == 0:
            os.chown(base, 65534, -1)
        async with program(_AS_NOBODY + text, f"embedded://{base}") as process:
            _, output = await process.end()
    assert output.split() == ["kept"]


async def test_a_folder_opened_to_others_later_is_refused(tmp_path):
    """The files stay: once the folder is private again, nothing has to be written."""
    async with opened(tmp_path / "r") as registry, View(registry) as view:
        owner = registry.advertise("App", b"1")
        name = await owner.registered()
        await view.until_data([b"1"])
        run_folder(tmp_path / "r").chmod(0o755)
        await view.until(lambda: view.stale)
        assert view.data == {name: b"1"}
        owner.update(b"2")
        run_folder(tmp_path / "r").chmod(0o700)
        await view.until_data([b"2"])
        assert await owner.registered() == name


@pytest.mark.parametrize("polling", ["0", "1"])
@pytest.mark.parametrize("what", ["base", "run"])
async def test_records_return_after_rm_rf(tmp_path, monkeypatch, polling, what):
    monkeypatch.setenv("PEERAGE_EMBEDDED_POLL", polling)
    base = tmp_path / "r"
    async with opened(base) as here, opened(base, "?path=/asab") as there, View(here) as view:
        owners = [here.advertise("Here", b"here"), there.advertise("There", b"there")]
        for owner in owners:
            await owner.registered()
        await view.until_data([b"here", b"there"])
        shutil.rmtree(base if what == "base" else run_folder(base))
        await view.until(lambda: sum(isinstance(event, Snapshot) for event in view.events) > 1)
        await view.until_data([b"here", b"there"])
        for owner in owners:
            assert (run_folder(base) / await owner.registered()).exists()


async def test_while_the_folder_cannot_be_made_again_records_stay_known(tmp_path):
    base = tmp_path / "above" / "r"
    base.parent.mkdir()
    async with opened(base) as registry, View(registry) as view:
        await registry.advertise("App", b"1").registered()
        await view.until_data([b"1"])
        base.rename(tmp_path / "moved")
        base.parent.rmdir()
        await view.until(lambda: view.stale)
        assert list(view.data.values()) == [b"1"]
        assert not any(isinstance(event, Snapshot) and not event.records for event in view.events[1:])
        base.parent.mkdir()
        await view.until(lambda: isinstance(view.events[-1], Snapshot) and not view.stale)
        await view.until_data([b"1"])
        assert any(isinstance(event, Stale) for event in view.events)


@pytest.mark.parametrize("end", ["killed", "withdrawn", "removed by hand"])
async def test_a_removed_file_was_withdrawn_only_if_its_owner_did_it_or_has_ended(tmp_path, end):
    async with opened(tmp_path / "r") as registry, Participant.spawn(registry.url) as owner:
        watch = registry.watch()
        await anext(watch)
        name = await owner.advertise("App", b"ready")
        event = last = await anext(watch)
        if end == "killed":
            owner.kill()
        elif end == "withdrawn":
            await owner.update(name, b"draining")
            await owner.withdraw(name)
        else:
            (run_folder(tmp_path / "r") / name).unlink()
        while not isinstance(event, Gone):
            last, event = event, await anext(watch)
        assert isinstance(last, Put)
        # A draining record counts as withdrawn in any case.
        withdrawn = event.withdrawn or last.record.data == b"draining"
        assert withdrawn is (end != "removed by hand")
        await watch.aclose()


async def test_a_record_withdrawn_while_refused_does_not_return(tmp_path):
    base = tmp_path / "r"
    async with opened(base) as registry, View(registry) as view:
        leaves, stays = registry.advertise("Leaves", b"leaves"), registry.advertise("Stays", b"stays")
        await stays.registered()
        await view.until_data([b"leaves", b"stays"])
        run_folder(base).chmod(0o755)
        await view.until(lambda: view.stale)
        await leaves.withdraw()
        run_folder(base).chmod(0o700)
        await view.until_data([b"stays"])


async def test_a_folder_without_working_locks_is_refused(tmp_path, monkeypatch):
    """Without locks, records of living and of dead owners can't be distinguished."""
    with monkeypatch.context() as lockless:
        lockless.setattr(fcntl, "flock", lambda *_: None)
        async with opened(tmp_path / "r") as registry:
            assert isinstance(stale := await anext(registry.watch()), Stale)
            assert "File locks don't work" in stale.reason
            with pytest.raises(RegistryDeniedError, match="File locks don't work"):
                await registry.advertise("App", b"1").registered()
            assert not (await registry.inspect()).writable
    async with opened(tmp_path / "r") as registry:
        await registry.advertise("App", b"1").registered()


def test_locks_that_do_not_exclude_are_noticed(tmp_path):
    """Two descriptors of one open file share its locks, as on a file system without locks."""
    with (tmp_path / "file").open("wb") as first, (tmp_path / "file").open("rb") as second:
        shared = os.dup(first.fileno())
        try:
            assert not _locks_exclude(first.fileno(), shared)
            assert _locks_exclude(first.fileno(), second.fileno())
        finally:
            os.close(shared)
