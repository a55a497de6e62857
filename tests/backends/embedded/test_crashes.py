"""Processes that are killed at every step of what they do in the folder."""

import itertools
import os
import shutil
import signal
import stat
import tempfile
import time
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path

import pytest
from tests.backends.embedded import crashes
from tests.backends.embedded.support import locked, names_in, opened, records_in, run_folder
from tests.backends.programs import module

from peerage.registry import Event, Gone, Put, Snapshot
from peerage.testing import View, eventually
from peerage.testing.children import Child

_KILLED, _ENDED = -signal.SIGKILL, 0

#: More steps than any operation has.
_MANY = 200

_WHOLE = {b"neighbour", crashes.OLD, crashes.NEW}


class Watcher(View):
    """A view that checks that no record is torn, and that the neighbour's record stays."""

    neighbour: str | None = None

    def _apply(self, event: Event) -> None:
        super()._apply(event)
        match event:
            case Snapshot() | Put():
                assert set(self.data.values()) <= _WHOLE, "torn data"
            case Gone(name):
                assert name != self.neighbour, "the record of a living process vanished"


async def _kill_at_each_step(
    child: Child,
    operation: str,
    url: str,
    *,
    prepare: Callable[[], object] = lambda: None,
    users: Sequence[tuple[int, ...]] = ((), ()),
) -> AsyncIterator[int]:
    """Kill *operation* at each of its steps, and yield the number of the step; then it must work.

    Before each step, *prepare* is called. The first of *users*, each a user and a group, is killed; the
    second one does it after that. By default both are this user.
    """
    for step in itertools.count(1):
        assert step < _MANY
        prepare()
        ended = await child.ask(operation, url, step, "kill", *users[0])
        if ended == _ENDED:
            assert step > 1, "nothing was counted"
            return
        assert ended == _KILLED, child.log
        yield step
        assert await child.ask(operation, url, 0, "kill", *users[1]) == _ENDED, child.log


def _drafts(folder: Path) -> list[Path]:
    return list(folder.glob(".tmp.*"))


async def _watch_an_owner_that_dies(base: Path, operation: str) -> None:
    async with opened(base) as registry, Watcher(registry) as view, module(crashes) as child:
        neighbour = view.neighbour = await registry.advertise("Neighbour", b"neighbour").registered()
        await view.until_data([b"neighbour"])
        async for step in _kill_at_each_step(child, operation, registry.url):
            await view.until_data([b"neighbour"])
            await eventually(lambda: records_in(base) == [neighbour], f"the removal after step {step}")
        drafts = _drafts(run_folder(base))
        assert not any(map(locked, drafts))
        for draft in drafts:
            os.utime(draft, (time.time() - 3600,) * 2)
        await eventually(lambda: names_in(run_folder(base)) == [neighbour], "the removal of drafts")


@pytest.mark.parametrize("operation", ["update", "withdraw"])
async def test_an_owner_that_dies_at_any_step_leaves_no_record_and_no_torn_one(tmp_path, operation):
    await _watch_an_owner_that_dies(tmp_path / "r", operation)


@pytest.mark.long
@pytest.mark.parametrize("polling", ["0", "1"])
@pytest.mark.parametrize("operation", ["advertise", "update", "withdraw", "close"])
async def test_an_owner_that_dies_at_any_step_as_all_watchers_see_it(
    tmp_path, monkeypatch, operation, polling
):
    monkeypatch.setenv("PEERAGE_EMBEDDED_POLL", polling)
    await _watch_an_owner_that_dies(tmp_path / "r", operation)


@pytest.mark.long
async def test_a_record_is_written_again_at_whatever_step_of_an_update_the_folder_is_removed(tmp_path):
    """As is the record of another process, which does nothing at this moment."""
    base = tmp_path / "r"
    async with opened(base) as registry, Watcher(registry) as view, module(crashes) as child:
        await registry.advertise("Neighbour", b"neighbour").registered()
        for step in range(1, _MANY):
            ended = await child.ask("keep", registry.url, step, "remove the folder")
            if ended == _ENDED:
                break
            assert ended == crashes.IN_SPITE, child.log
        assert step > 1, "nothing was counted"
        await view.until_data([b"neighbour"])


@pytest.mark.long
async def test_a_first_process_that_dies_at_any_step_leaves_a_folder_for_the_next(tmp_path):
    base = tmp_path / "r"

    def remove() -> None:
        shutil.rmtree(base, ignore_errors=True)

    async with module(crashes) as child:
        async for _ in _kill_at_each_step(child, "advertise", f"embedded://{base}", prepare=remove):
            async with opened(base) as registry, Watcher(registry) as view:
                await view.until_data([])
                await eventually(lambda: records_in(base) == [])


@pytest.mark.long
@pytest.mark.skipif(os.geteuid() != 0, reason="only root can run processes of other users")
async def test_a_first_user_of_a_group_who_dies_at_any_step_leaves_a_folder_for_the_others():
    alice, bob = (20_001, 20_100), (20_002, 20_100)
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o711)  # noqa: PTH101, S103 - a string; other users must get into it
        base = Path(above, "r")

        def make() -> None:
            shutil.rmtree(base, ignore_errors=True)
            base.mkdir()
            os.chown(base, -1, 20_100)
            base.chmod(0o2770)

        def check(base: Path) -> None:
            for folder in base.glob("[!.]*"):
                assert folder.stat().st_gid == 20_100
                assert stat.S_IMODE(folder.stat().st_mode) == 0o2770
                assert all(file.stat().st_gid == 20_100 for file in folder.iterdir())

        url = f"embedded://{base}?group=20100"
        async with module(crashes) as child:
            async for _ in _kill_at_each_step(child, "advertise", url, prepare=make, users=(alice, bob)):
                check(base)


@pytest.mark.long
async def test_a_reader_that_dies_at_any_step_takes_nothing_with_it(tmp_path):
    """It removes the files of owners that have ended; a file of a living owner stays."""
    base = tmp_path / "r"
    async with opened(base) as registry, module(crashes) as child:
        neighbour = await registry.advertise("Neighbour", b"neighbour").registered()
        async for _ in _kill_at_each_step(child, "watch", registry.url):
            assert neighbour in records_in(base)
            for number in range(2):
                (run_folder(base) / f"Ended.000000000{number}").write_bytes(b"ended")
        assert records_in(base) == [neighbour]


@pytest.mark.long
@pytest.mark.parametrize("operation", ["obtain", "replace"])
async def test_a_process_that_dies_at_any_step_of_writing_a_secret_leaves_a_whole_one_or_none(
    tmp_path, operation
):
    base = tmp_path / "r"
    secret = base / "secrets" / "key"

    def remove() -> None:
        shutil.rmtree(base, ignore_errors=True)

    async with module(crashes) as child:
        async for _ in _kill_at_each_step(child, operation, f"embedded://{base}", prepare=remove):
            assert not secret.exists() or secret.read_bytes() == crashes.NEW
            assert all(draft.stat().st_mode & 0o077 == 0 for draft in _drafts(base / "secrets"))
        assert secret.read_bytes() == crashes.NEW
