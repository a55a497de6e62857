"""Secrets as files."""

import asyncio
import os
import stat
import subprocess
import sys
import textwrap
import time

import pytest
from tests.backends.embedded.support import names_in, opened
from tests.backends.programs import program

from peerage.backends.embedded.secrets import SecretFile
from peerage.errors import RegistryClosedError, RegistryDeniedError
from peerage.testing import eventually


async def test_a_secret_is_a_private_file_that_outlives_the_registry(tmp_path):
    base = tmp_path / "r"
    async with opened(base) as registry:
        assert await registry.secrets.obtain("/asab/auth/key", lambda: b"key") == b"key"
    path = base / "secrets" / "asab%auth%key"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    async with opened(base, "?path=/other") as registry:
        assert await registry.secrets.obtain("/asab/auth/key", lambda: b"other") == b"key"
    assert names_in(path.parent) == ["asab%auth%key"]


async def test_all_processes_get_the_same_value(tmp_path):
    text = """
        import asyncio, os, sys
        from peerage.registry import open_registry

        async def main(url):
            registry = open_registry(url)
            sys.stdin.readline()
            value = await registry.secrets.obtain("/key", lambda: b"%d" % os.getpid())
            print(value.decode(), flush=True)
            await registry.aclose()

        asyncio.run(main(sys.argv[1]))
        """
    values = set()
    async with asyncio.TaskGroup() as group:

        async def one() -> None:
            async with program(text, f"embedded://{tmp_path}/r") as process:
                await process.tell("go")
                values.add(await process.end())

        for _ in range(6):
            group.create_task(one())
    assert len(values) == 1


async def test_a_maker_that_hangs_delays_no_other_process(tmp_path):
    """The hanging process gets the value of the others, if it ever goes on."""
    text = """
        import asyncio, sys
        from peerage.registry import open_registry

        def make():
            print("making", flush=True)
            sys.stdin.readline()
            return b"late"

        async def main(url):
            registry = open_registry(url)
            print((await registry.secrets.obtain("/key", make)).decode(), flush=True)
            await registry.aclose()

        asyncio.run(main(sys.argv[1]))
        """
    async with opened(tmp_path / "r") as registry, program(text, registry.url) as maker:
        assert await maker.line() == "making"
        assert await registry.secrets.obtain("/key", lambda: b"made") == b"made"
        await maker.tell("go on")
        assert await maker.line() == "made"


async def test_followers_get_every_new_value(tmp_path):
    async with opened(tmp_path / "r") as here, opened(tmp_path / "r") as there:
        followed = here.secrets.follow("/key")
        await there.secrets.obtain("/key", lambda: b"1")
        assert await anext(followed) == b"1"
        await there.secrets.replace("/key", b"2")
        assert await anext(followed) == b"2"
        assert await there.secrets.obtain("/key", lambda: b"3") == b"2"
        without_value = here.secrets.follow("/none")
        waiting = asyncio.ensure_future(anext(without_value))
        await here.aclose()
        for ended in (waiting, anext(followed)):
            with pytest.raises(StopAsyncIteration):
                await ended
        with pytest.raises(RegistryClosedError):
            await here.secrets.obtain("/key", lambda: b"4")


async def test_following_writes_nothing(tmp_path, monkeypatch):
    read, reads = SecretFile.read, []

    def count(file):
        reads.append(file)
        return read(file)

    monkeypatch.setattr(SecretFile, "read", count)
    folder = tmp_path / "r" / "secrets"
    async with opened(tmp_path / "r") as registry:
        followed = registry.secrets.follow("/key")
        await eventually(lambda: len(reads) > 2)
        assert not folder.exists()
        await registry.secrets.obtain("/key", lambda: b"key")
        assert await anext(followed) == b"key"
        before, so_far = folder.stat(), len(reads)
        await eventually(lambda: len(reads) > so_far + 2)
        assert folder.stat().st_mtime_ns == before.st_mtime_ns
        # Obtaining an existing secret writes nothing either.
        assert await registry.secrets.obtain("/key", lambda: b"other") == b"key"
        assert folder.stat().st_mtime_ns == before.st_mtime_ns


async def test_a_draft_left_by_a_killed_process_is_removed(tmp_path):
    folder = tmp_path / "r" / "secrets"
    async with opened(tmp_path / "r") as registry:
        await registry.secrets.obtain("/one", lambda: b"1")
        old, young = folder / ".tmp.1.old", folder / ".tmp.1.young"
        old.write_text("half")
        young.write_text("half")
        os.utime(old, (time.time() - 3600,) * 2)
        await registry.secrets.obtain("/two", lambda: b"2")
        assert names_in(folder) == [young.name, "one", "two"]


async def test_a_draft_that_is_written_for_long_is_not_removed(tmp_path, monkeypatch):
    """The disk is slow, and another process makes a secret meanwhile."""
    text = """
        import asyncio, sys
        from peerage.registry import open_registry

        async def main(url):
            registry = open_registry(url)
            await registry.secrets.obtain("/other", lambda: b"other")
            await registry.aclose()

        asyncio.run(main(sys.argv[1]))
        """
    folder, url, fsync = tmp_path / "r" / "secrets", f"embedded://{tmp_path}/r", os.fsync

    def slowly(fd):
        (draft,) = folder.glob(".tmp.*")
        os.utime(draft, (time.time() - 3600,) * 2)
        subprocess.run([sys.executable, "-c", textwrap.dedent(text), url], check=True)
        fsync(fd)

    monkeypatch.setattr(os, "fsync", slowly)
    async with opened(tmp_path / "r") as registry:
        assert await registry.secrets.obtain("/key", lambda: b"key") == b"key"
    assert names_in(folder) == ["key", "other"]


async def test_a_secret_that_others_can_read_is_refused(tmp_path, caplog):
    async with opened(tmp_path / "r") as registry:
        await registry.secrets.obtain("/key", lambda: b"key")
        path = tmp_path / "r" / "secrets" / "key"
        path.chmod(0o644)
        with pytest.raises(RegistryDeniedError, match="chmod 600"):
            await registry.secrets.obtain("/key", lambda: b"other")
        followed = registry.secrets.follow("/key")
        await eventually(lambda: caplog.records)
        path.chmod(0o600)
        assert await anext(followed) == b"key"
        assert len(caplog.records) == 1
        assert "b'key'" not in caplog.text


@pytest.mark.parametrize(
    "name", ["", "key", "/", "/a/../b", "/.lock", "/a//b", "/a\n", "/a%b", "/" + "x" * 300]
)
async def test_impossible_names_are_refused(tmp_path, name):
    async with opened(tmp_path / "r") as registry:
        with pytest.raises(RegistryDeniedError):
            await registry.secrets.obtain(name, lambda: b"x")
        with pytest.raises(RegistryDeniedError):
            registry.secrets.follow(name)


async def test_a_maker_that_fails_leaves_no_value(tmp_path):
    async with opened(tmp_path / "r") as one, opened(tmp_path / "r") as two:

        def fail() -> bytes:
            raise LookupError("no entropy today")

        with pytest.raises(LookupError):
            await one.secrets.obtain("/key", fail)
        with pytest.raises(RegistryDeniedError, match="empty"):
            await one.secrets.obtain("/key", lambda: b"")
        assert await two.secrets.obtain("/key", lambda: b"made") == b"made"
