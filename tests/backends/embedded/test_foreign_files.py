"""Files in the folder that aren't records or secrets, and files that dead owners left."""

import asyncio
import os
import socket

import pytest
from tests.backends.embedded.support import names_in, opened, records_in, run_folder

from peerage.backends.embedded import view as embedded_view
from peerage.errors import RegistryDeniedError
from peerage.testing import View, eventually


@pytest.mark.long
async def test_a_thousand_files_of_dead_owners_and_ten_thousand_others(tmp_path, monkeypatch, caplog):
    """What is looked at in one tick doesn't grow with what isn't a record."""
    drafts, in_ticks = [], []
    tick, look = embedded_view.View.tick, embedded_view.remove_old_draft

    def count_tick(view):
        before = len(drafts)
        tick(view)
        in_ticks.append(len(drafts) - before)

    def count_draft(folder, name):
        drafts.append(name)
        look(folder, name)

    monkeypatch.setattr(embedded_view.View, "tick", count_tick)
    monkeypatch.setattr(embedded_view, "remove_old_draft", count_draft)
    base = tmp_path / "r"
    async with opened(base) as registry:
        await registry.inspect()
        folder = run_folder(base)
        for number in range(1000):
            (folder / f"Dead.{number:010}").write_bytes(b"dead")
            os.mkfifo(folder / f"Pipe.{number:010}")
        for number in range(9000):
            (folder / f".tmp.{number}").touch()
        async with View(registry) as view:
            await view.until(lambda: view.ready)
            assert view.records == {}
            assert not any(name.startswith("Dead.") for name in names_in(folder))
            await registry.advertise("App", b"1").registered()
            await view.until_data([b"1"])
            in_ticks.clear()
            await eventually(lambda: len(in_ticks) > 3)
            # As many as there were when all were listed last.
            assert 0 < max(in_ticks) <= 11_001 // embedded_view._TICKS_PER_ROUND
    assert len(caplog.records) <= embedded_view._WARNINGS


def _link(path):
    path.symlink_to("other")
    path.with_name("other").write_bytes(b"of another file")


def _socket(path):
    # The path of a socket is limited to about 100 bytes.
    folder = os.open(path.parent, os.O_RDONLY)
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(f"/proc/self/fd/{folder}/{path.name}")
    os.close(folder)


def _open_to_all(path):
    path.write_bytes(b"of another user")
    path.chmod(0o604)


@pytest.mark.parametrize("make", [_link, _socket, os.mkfifo, os.mkdir, _open_to_all])
async def test_what_is_no_private_file_is_no_secret(tmp_path, make):
    """Reading it is refused with advice; replacing it puts a file there, except in place of a folder."""
    async with opened(tmp_path / "r") as registry:
        await registry.secrets.obtain("/some", lambda: b"other")
        make(tmp_path / "r" / "secrets" / "key")
        with pytest.raises(
            RegistryDeniedError, match="'chmod 600' it if you trust its content, or remove it"
        ):
            await registry.secrets.obtain("/key", lambda: b"key")
        if make is os.mkdir:
            with pytest.raises(RegistryDeniedError, match="remove it"):
                await registry.secrets.replace("/key", b"key")
        else:
            await registry.secrets.replace("/key", b"key")
            assert await registry.secrets.obtain("/key", lambda: b"no") == b"key"
        assert not [name for name in names_in(tmp_path / "r" / "secrets") if name.startswith(".")]
        if make is _link:
            assert (tmp_path / "r" / "secrets" / "other").read_bytes() == b"of another file"


@pytest.mark.long
async def test_a_hard_link_to_a_record_ends_with_the_next_update_or_with_its_owner(tmp_path):
    base = tmp_path / "r"
    async with opened(base) as registry, View(registry) as view:
        owner = registry.advertise("App", b"1")
        path = run_folder(base) / await owner.registered()
        other = run_folder(base) / "App.0000000001"
        other.hardlink_to(path)
        await view.until_data([b"1", b"1"])
        owner.update(b"2")
        await view.until_data([b"2"])
        assert records_in(base) == [path.name]
        other.hardlink_to(path)
        await view.until_data([b"2", b"2"])
        await owner.withdraw()
        await view.until_data([])
        await eventually(lambda: records_in(base) == [])


async def test_names_that_are_no_text_are_ignored(tmp_path, caplog):
    base = tmp_path / "r"
    async with opened(base) as registry, View(registry) as view:
        await view.until(lambda: view.ready)
        folder = os.fsencode(run_folder(base))
        for name in (b"\xff\xfe", b".tmp.\xff", b"App.0000000001\n", b"x" * 255):
            await asyncio.to_thread(os.close, os.open(folder + b"/" + name, os.O_CREAT | os.O_WRONLY))
        await registry.advertise("App", b"1").registered()
        await view.until_data([b"1"])
        assert not view.stale
        await registry.secrets.obtain("/key", lambda: b"key")
    assert caplog.records == []
