"""Folders that can't be trusted, and folders that go away."""

import fcntl
import os
import shutil

import pytest
from tests.backends.embedded.support import opened, run_folder

from peerage.backends.embedded.folder import _excludes
from peerage.errors import RegistryDeniedError
from peerage.registry import Snapshot, Stale
from peerage.testing import View


def open_to_others(base):
    base.mkdir()
    base.chmod(0o750)


def inside_open_to_others(base):
    base.mkdir(mode=0o700)
    run_folder(base).mkdir()
    run_folder(base).chmod(0o701)


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


def somebody_elses(base):
    if os.geteuid() != 0:
        pytest.skip("only root can give folders away")
    base.mkdir(mode=0o700)
    os.chown(base, 12345, -1)


@pytest.mark.parametrize(
    ("spoil", "advice"),
    [
        (open_to_others, "chmod 700"),
        (inside_open_to_others, "chmod 700"),
        (symbolic_link, "symbolic link"),
        (inside_symbolic_link, "symbolic link"),
        (file, "not a folder"),
        (parent_missing, "make that one"),
        (somebody_elses, "belongs to user 12345"),
    ],
)
async def test_a_folder_not_to_be_trusted_is_refused_until_it_is_mended(tmp_path, spoil, advice, caplog):
    caplog.set_level("INFO", "peerage.backends.embedded")
    base = tmp_path / "above" / "r"
    base.parent.mkdir()
    spoil(base)
    async with opened(base) as registry, View(registry) as view:
        await view.until(lambda: view.stale)
        assert not view.ready
        assert advice in (view.stale or "")
        assert not view.stale.endswith(".")
        owner = registry.advertise("App", b"1")
        with pytest.raises(RegistryDeniedError, match=advice):
            await owner.registered()
        health = await registry.inspect()
        assert (health.state, health.writable) == ("stale", False)
        assert advice in (health.problem or "")

        shutil.rmtree(base, ignore_errors=True)
        base.unlink(missing_ok=True)
        base.parent.mkdir(exist_ok=True)
        await view.until_data([b"1"])
        assert await owner.registered() == owner.name
        # Whoever follows the registry logs what it is told.
        assert caplog.records == []


async def test_a_folder_opened_to_others_later_is_refused(tmp_path):
    """What was written stays: once closed again, nothing has to be written."""
    async with opened(tmp_path / "r") as registry, View(registry) as view:
        owner = registry.advertise("App", b"1")
        node = await owner.registered()
        await view.until_data([b"1"])
        run_folder(tmp_path / "r").chmod(0o755)
        await view.until(lambda: view.stale)
        assert view.data == {node: b"1"}
        owner.update(b"2")
        run_folder(tmp_path / "r").chmod(0o700)
        await view.until_data([b"2"])
        assert await owner.registered() == node


@pytest.mark.parametrize("polling", ["0", "1"])
@pytest.mark.parametrize("what", ["base", "run"])
async def test_after_rm_rf_all_come_back(tmp_path, monkeypatch, polling, what):
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


async def test_while_the_folder_cannot_be_made_again_nothing_is_known(tmp_path):
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


async def test_withdrawn_while_refused_it_does_not_come_back(tmp_path):
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


async def test_a_folder_where_everybody_gets_every_lock_is_refused(tmp_path, monkeypatch):
    """There, nothing would tell a record whose owner lives from one whose owner died."""
    with monkeypatch.context() as lockless:
        lockless.setattr(fcntl, "flock", lambda *_: None)
        async with opened(tmp_path / "r") as registry:
            assert isinstance(stale := await anext(registry.watch()), Stale)
            assert "locks don't hold" in stale.reason
            with pytest.raises(RegistryDeniedError, match="locks don't hold"):
                await registry.advertise("App", b"1").registered()
            assert not (await registry.inspect()).writable
    async with opened(tmp_path / "r") as registry:
        await registry.advertise("App", b"1").registered()


def test_locks_that_do_not_exclude_are_noticed(tmp_path):
    """Two descriptors of one open file share its locks, which is how a file system without locks looks."""
    with (tmp_path / "file").open("wb") as first, (tmp_path / "file").open("rb") as second:
        shared = os.dup(first.fileno())
        try:
            assert not _excludes(first.fileno(), shared)
            assert _excludes(first.fileno(), second.fileno())
        finally:
            os.close(shared)
