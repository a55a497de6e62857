"""A folder that a group of users shares: real users, each in a process of its own."""

import asyncio
import itertools
import os
import shutil
import stat
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from pathlib import Path

import pytest
from tests.backends.embedded import users
from tests.backends.embedded.support import names_in, opened, records_in, run_folder
from tests.backends.programs import module

from peerage.backends.embedded.folder import Folder
from peerage.backends.embedded.location import parse_url
from peerage.errors import RegistryDeniedError
from peerage.testing import View, eventually
from peerage.testing.children import Child

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run processes of other users")

#: Users who need no entry in /etc/passwd. Only the first two are in the group.
_ALICE, _BOB, _EVE = 20_001, 20_002, 20_003
_GROUP = 20_100


@pytest.fixture
def base() -> Iterator[Path]:
    """A folder as an administrator makes it, where all users can reach it."""
    with tempfile.TemporaryDirectory() as above:
        os.chmod(above, 0o711)  # noqa: PTH101, S103 - a string; other users must get into it
        folder = Path(above, "r")
        _install(folder)
        yield folder


def _install(folder: Path, mode: int = 0o2770) -> None:
    """Make the folder as ``install -d -g GROUP -m MODE`` does."""
    folder.mkdir(exist_ok=True)
    if os.geteuid() == 0:
        os.chown(folder, -1, _GROUP)
    folder.chmod(mode)


def _install_sticky(base: Path) -> None:
    # The owner of a folder may remove all files in it, and the first user who needs a folder makes it.
    for folder in (base, run_folder(base), base / "secrets"):
        _install(folder, 0o3770)


@asynccontextmanager
async def _user(base: Path, number: int, group: int = 0, **environ: str) -> AsyncIterator[Child]:
    url = "embedded:" if environ else f"embedded://{base}?group={_GROUP}"
    async with module(users, url, number, group, **environ) as process:
        yield process


@needs_root
async def test_users_of_the_group_see_each_other_and_remove_what_others_leave(base):
    async with _user(base, _ALICE, _GROUP) as alice, _user(base, _BOB, _GROUP) as bob:
        name = await alice.ask("advertise", "alice")
        assert await bob.ask("sees", "alice")
        await bob.ask("advertise", "bob")
        await alice.ask("update", "alice's second")
        for user in (alice, bob):
            assert await user.ask("sees", "alice's second", "bob")
        found = (run_folder(base) / name).stat()
        assert (found.st_uid, found.st_gid, stat.S_IMODE(found.st_mode)) == (_ALICE, _GROUP, 0o640)
        found = run_folder(base).stat()
        assert (found.st_gid, stat.S_IMODE(found.st_mode)) == (_GROUP, 0o2770)
        alice.kill()
        assert await bob.ask("sees", "bob")
        await eventually(lambda: len(records_in(base)) == 1, "the removal of Alice's file by Bob")


@needs_root
async def test_users_of_the_group_share_secrets(base):
    async with _user(base, _ALICE, _GROUP) as alice, _user(base, _BOB, _GROUP) as bob:
        assert await alice.ask("obtain", "made by Alice") == "made by Alice"
        assert await bob.ask("obtain", "made by Bob") == "made by Alice"
        assert await bob.ask("replace", "replaced by Bob") is None
        assert await alice.ask("obtain", "no") == "replaced by Bob"
        key = base / "secrets" / "key"
        assert stat.S_IMODE(key.stat().st_mode) == 0o640
        for spoil, repair in ((0o644, 0o640), (0o600, 0o640)):
            key.chmod(spoil)
            answer = await alice.ask("obtain", "no")
            assert answer.startswith("RegistryDeniedError: The secret /key in ")
            assert (
                f"the group '{_GROUP}' alone can read: 'chgrp' it to that group and 'chmod 640' it" in answer
            )
            key.chmod(repair)
        os.chown(key, _BOB, _BOB)
        assert "'chgrp' it" in await alice.ask("obtain", "no")


@needs_root
async def test_a_user_outside_of_the_group_is_told_to_join_it(base):
    async with _user(base, _ALICE, _GROUP) as alice, _user(base, _EVE) as eve:
        await alice.ask("advertise", "alice")
        for answer in (
            await eve.ask("is_stale"),
            await eve.ask("advertise", "eve"),
            await eve.ask("obtain", "x"),
        ):
            assert f"is shared by the group '{_GROUP}'" in answer
            assert f"add user {_EVE} to the group" in answer
        assert await alice.ask("sees", "alice")


@needs_root
@pytest.mark.long
async def test_files_of_other_groups_and_files_open_to_all_are_no_records(base):
    async with _user(base, _ALICE, _GROUP) as alice:
        name = await alice.ask("advertise", "alice")
        assert await alice.ask("sees", "alice")
        path = run_folder(base) / name
        owner = path.stat().st_uid
        # Bob can read the second and the third one.
        for user, group, mode in ((owner, _EVE, 0o640), (_BOB, _BOB, 0o640), (owner, _GROUP, 0o644)):
            os.chown(path, user, group)
            path.chmod(mode)
            async with _user(base, _BOB, _GROUP) as bob:
                assert await bob.ask("sees")
                await bob.end()
                assert f"The record '{name}'" in bob.log


@needs_root
@pytest.mark.long
async def test_with_the_sticky_bit_users_remove_only_their_own_files(base):
    _install_sticky(base)
    async with _user(base, _ALICE, _GROUP) as alice, _user(base, _BOB, _GROUP) as bob:
        name = await alice.ask("advertise", "alice")
        await bob.ask("advertise", "bob")
        await alice.ask("obtain", "made by Alice")
        answer = await bob.ask("replace", "made by Bob")
        assert "can't be replaced (Operation not permitted): do it as the user who owns the file" in answer
        alice.kill()
        await alice.wait()
        assert await bob.ask("sees", "bob")
        assert name in names_in(run_folder(base))
        async with _user(base, _ALICE, _GROUP) as later:
            assert await later.ask("sees", "bob")
            await eventually(lambda: name not in names_in(run_folder(base)), "the removal by the same user")
        assert await bob.ask("sees", "bob")
        assert await bob.end() == (0, "")
        assert bob.log == ""


@needs_root
@pytest.mark.long
async def test_users_who_start_at_once_in_an_empty_folder_agree(base):
    for _ in range(3):
        async with (
            _user(base, _ALICE, _GROUP) as a,
            _user(base, _BOB, _GROUP) as b,
            _user(base, _ALICE, _GROUP) as c,
            _user(base, _BOB, _GROUP) as d,
        ):
            four = (a, b, c, d)
            keys = await asyncio.gather(*(user.ask("obtain", str(n)) for n, user in enumerate(four)))
            assert len(set(keys)) == 1, keys
            await asyncio.gather(*(user.ask("advertise", str(n)) for n, user in enumerate(four)))
            for user in four:
                assert await user.ask("sees", "0", "1", "2", "3")
            # No folder is left but those that are used.
            assert names_in(base) == ["run.asab", "secrets"]
        shutil.rmtree(base / "run.asab")
        shutil.rmtree(base / "secrets")


@needs_root
@pytest.mark.long
async def test_the_locks_of_ports_are_in_the_shared_folder_too(base):
    environ = {"PEERAGE_DIR": str(base), "PEERAGE_GROUP": str(_GROUP)}
    async with (
        _user(base, _ALICE, _GROUP, **environ) as alice,
        _user(base, _BOB, _GROUP, **environ) as bob,
    ):
        assert await alice.ask("lock", 80) is True
        assert await bob.ask("lock", 81) is True
        await alice.ask("advertise", "alice")
        assert await bob.ask("sees", "alice")
        alice.kill()
        # Bob can't open Alice's file.
        assert await bob.ask("lock", 80) is True


@needs_root
@pytest.mark.long
@pytest.mark.parametrize("sticky", [False, True])
async def test_what_users_can_do_to_the_service_of_another_user(base, sticky):
    """As the table in docs/security.md says."""
    if sticky:
        _install_sticky(base)
    async with (
        _user(base, _ALICE, _GROUP) as alice,
        _user(base, _BOB, _GROUP) as bob,
        _user(base, _EVE) as eve,
    ):
        name = await alice.ask("advertise", "alice")
        await alice.ask("obtain", "key")
        record, key = str(run_folder(base) / name), str(base / "secrets" / "key")
        assert await bob.ask("sees", "alice")
        assert await bob.ask("read", key) == "key"
        for command, path in itertools.product(("read", "overwrite", "remove"), (record, key)):
            assert (await eve.ask(command, path)).startswith("PermissionError")
        for path in (record, key):
            assert (await bob.ask("overwrite", path)).startswith("PermissionError")
        if sticky:
            for path in (record, key):
                assert (await bob.ask("remove", path)).startswith("PermissionError")
        else:
            assert await bob.ask("remove", record) is None
            # The service writes its own again, under another name.
            await eventually(lambda: records_in(base) not in ([], [name]))
            assert await bob.ask("sees", "alice")


def test_of_two_processes_that_make_a_folder_at_once_none_replaces_that_of_the_other(base, monkeypatch):
    location = parse_url(f"embedded://{base}?group={_GROUP if os.geteuid() == 0 else os.getegid()}")
    rename, others = os.rename, []

    def late(*args, **kwargs):
        """Rename after another process has made the same folder."""
        if not others:
            others.append(None)
            others[0] = Folder.open(location, "run.asab")
        rename(*args, **kwargs)

    monkeypatch.setattr(os, "rename", late)
    with closing(Folder.open(location, "run.asab")) as folder, closing(others[0]) as other:
        assert other.in_place()
        assert folder.in_place()
        assert names_in(base) == ["run.asab"]


def _missing(base):
    base.rmdir()


def _of_another_group(base):
    os.chown(base, -1, _EVE)
    base.chmod(0o2770)


def _open_to_all(base):
    base.chmod(0o2775)


def _closed_to_the_group(base):
    base.chmod(0o2700)


def _without_its_group_for_files(base):
    # Root's way: chmod keeps this bit of folders.
    base.chmod(0o770)
    os.chmod(base, stat.S_IMODE(base.stat().st_mode) & ~stat.S_ISGID)  # noqa: PTH101


@pytest.mark.parametrize(
    ("spoil", "advice"),
    [
        (_missing, r"doesn't exist, .* administrator run \"install -d -g {group} -m 2770 {base}\""),
        pytest.param(_of_another_group, "belongs to group 20003, and not to '{group}'", marks=needs_root),
        (_open_to_all, "has mode 2775, .* 'chmod 2770'"),
        (_closed_to_the_group, "has mode 2700, .* 'chmod 2770'"),
        (_without_its_group_for_files, "has mode 0770, .* 'chmod 2770'"),
    ],
)
async def test_an_untrusted_shared_folder_is_refused_until_it_is_repaired(base, spoil, advice):
    group = os.getegid() if os.geteuid() else _GROUP
    spoil(base)
    async with opened(base, f"?group={group}") as registry, View(registry) as view:
        owner = registry.advertise("App", b"1")
        with pytest.raises(RegistryDeniedError, match=advice.format(group=group, base=base)):
            await owner.registered()
        shutil.rmtree(base, ignore_errors=True)
        _install(base)
        await view.until_data([b"1"])


async def test_a_group_that_does_not_exist_is_named(base):
    async with opened(base, "?group=no%20such") as registry, View(registry) as view:
        await view.until(lambda: view.stale)
        assert "There is no group 'no such' on this machine: make it with 'groupadd'" in view.stale


async def test_a_private_folder_that_is_shared_already_is_refused_with_the_option(base):
    if os.geteuid() != 0:
        base.chmod(0o770)
    async with opened(base) as registry, View(registry) as view:
        await view.until(lambda: view.stale)
        assert "A group of users shares it with '?group=NAME' in the URL" in view.stale
