"""A machine whose disk is full, whose limits are reached, or whose clock jumps."""

import os
import shutil
import subprocess
import time

import pytest
from tests.backends.embedded.support import made_by_hand, names_in, opened, run_folder
from tests.backends.programs import program

from peerage.registry import Gone, Put
from peerage.testing import View, eventually

_PREAMBLE = """
import asyncio, errno, logging, os, resource, subprocess, sys, time
from contextlib import suppress
from peerage.registry import Gone, Snapshot, open_registry
from peerage.testing import View, eventually

logging.basicConfig(stream=sys.stdout, format="%(levelname)s %(message)s", level=logging.INFO)
logging.getLogger("asyncio").setLevel(logging.ERROR)  # it warns on slow machines

"""


def _unshare(trial: str, *ways: str) -> tuple[str, ...]:
    """Return a command that runs another one as root in a new namespace, where *trial* works."""
    for way in ways if shutil.which("unshare") else ():
        command = ("unshare", *way.split())
        if not subprocess.run([*command, "sh", "-c", trial], capture_output=True, check=False).returncode:
            return command
    pytest.skip(f"this user can't run '{trial}' here, neither under 'unshare {' nor under '.join(ways)}'")


def _own_mounts() -> tuple[str, ...]:
    return _unshare("mount -t tmpfs none /mnt", "--mount", "--map-root-user --mount")


def _own_limits() -> tuple[str, ...]:
    return _unshare("echo 0 >/proc/sys/user/max_inotify_watches", "--map-root-user")


async def _output(text: str, base: object, *within: str) -> str:
    async with program(_PREAMBLE + text, f"embedded://{base}", within=within) as process:
        code, output = await process.end()
    assert code == 0, f"{process.log}\n{output}"
    return output


# The disk

_ON_A_SMALL_DISK = """
_READER = '''
import asyncio, sys
from peerage.registry import open_registry
from peerage.testing import View

async def main(url):
    registry = open_registry(url)
    async with View(registry) as view:
        await view.until(lambda: view.ready)
        print(sorted(view.data.values()), (await registry.inspect()).state, flush=True)
    await registry.aclose()

asyncio.run(main(sys.argv[1]))
'''

async def read_by_another_process(url):
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", _READER, url, stdout=asyncio.subprocess.PIPE
    )
    return (await process.communicate())[0].decode().strip()

def fill(path):
    # Until no file can be made any more.
    number = 0
    while True:
        number += 1
        try:
            file = open(f"{path}/filler{number}", "wb", buffering=0)
        except OSError as error:
            assert error.errno == errno.ENOSPC, error
            return
        with file, suppress(OSError):
            # As much as there is space for.
            file.write(bytes(1 << 20))

def empty(path):
    for name in os.listdir(path):
        if name.startswith("filler"):
            os.unlink(f"{path}/{name}")

async def main(url):
    base = url.removeprefix("embedded://")
    mount = ["mount", "-t", "tmpfs", "-o", "size=256k,nr_inodes=40,mode=700", "none", base]
    subprocess.run(mount, check=True)
    registry = open_registry(url)
    async with View(registry) as view:
        kept = registry.advertise("Kept", b"kept")
        await kept.registered()
        await view.until_data([b"kept"])
        fill(base)
        kept.update(b"updated" * 1000)
        late = registry.advertise("Late", b"late" * 1000)
        health = await eventually(registry.inspect, wanted=lambda health: health.problem)
        assert "No space left on device" in health.problem, health
        assert "resolve this; it is tried again every second" in health.problem, health
        assert (health.state, health.writable, late.name) == ("connected", False, None), health
        # A process that starts now finds the others.
        assert await read_by_another_process(url) == "[b'kept'] connected"
        try:
            await registry.secrets.obtain("/key", lambda: b"key")
        except OSError as error:
            assert str(error) == f"[Errno 28] No space left on device: '{base}/secrets/key'", error
        else:
            raise AssertionError("there was space for a secret")
        assert view.stale is None
        empty(base)
        await view.until_data([b"updated" * 1000, b"late" * 1000])
        assert await registry.secrets.obtain("/key", lambda: b"key") == b"key"
        assert not any(isinstance(event, Gone) for event in view.events), view.events
        drafts = [name for name in os.listdir(f"{base}/run.asab") if name.startswith(".")]
        assert drafts == [], drafts
    await registry.aclose()

asyncio.run(main(sys.argv[1]))
"""


async def test_on_a_full_disk_records_stay_and_a_process_that_starts_finds_them(tmp_path):
    base = tmp_path / "r"
    base.mkdir(mode=0o700)
    output = await _output(_ON_A_SMALL_DISK, base, *_own_mounts())
    warning, recovery = output.splitlines()
    assert warning.startswith(f"WARNING Records can't be written to '{base}' (No space left on device)")
    assert recovery == f"INFO All records are written to '{base}' again."


_READ_ONLY = """
async def main(url):
    base = url.removeprefix("embedded://")
    for mount in (["mount", "--bind", base, base], ["mount", "-o", "remount,bind,ro", base]):
        subprocess.run(mount, check=True)
    registry = open_registry(url)
    async with View(registry) as view:
        await view.until_data([b"written outside"])
        try:
            await registry.advertise("No", b"no").registered()
        except Exception as error:
            print(type(error).__name__, error)
        assert view.stale is None
    await registry.aclose()

asyncio.run(main(sys.argv[1]))
"""


async def test_on_a_read_only_file_system_records_are_found_and_advertising_is_refused(tmp_path):
    """As in a container that has the folder mounted read-only; a file of an owner that died is there too."""
    base = tmp_path / "r"
    async with opened(base) as registry:
        await registry.advertise("App", b"written outside").registered()
        (run_folder(base) / "Dead.0000000001").write_bytes(b"dead")
        output = await _output(_READ_ONLY, base, *_own_mounts())
    assert output.splitlines()[-1].startswith("RegistryDeniedError Records can't be written to")
    assert "Read-only file system" in output


# The kernel's limits

_WITHOUT_INOTIFY = """
async def main(url):
    # The limit of this user in this namespace, so no other process is concerned.
    with open(f"/proc/sys/user/max_inotify_{sys.argv[2]}", "w") as file:
        file.write("0")
    registry = open_registry(url)
    async with View(registry) as view:
        await registry.advertise("App", b"1").registered()
        await view.until_data([b"1"])
        print((await registry.inspect()).details["changes"])
    await registry.aclose()

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("limit", ["instances", "watches"])
async def test_at_a_limit_of_inotify_the_folder_is_polled_and_the_limit_is_named(tmp_path, limit):
    text, url = _PREAMBLE + _WITHOUT_INOTIFY, f"embedded://{tmp_path}/r"
    async with program(text, url, limit, within=_own_limits()) as process:
        code, output = await process.end()
    assert code == 0, process.log
    warning, changes = output.splitlines()
    assert changes == "polling"
    assert warning.startswith("WARNING The embedded registry polls its folder")
    assert f"raise fs.inotify.max_user_{limit}" in warning


_WITH_FEW_DESCRIPTORS = """
def limit(soft):
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))

async def main(url):
    before = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
    neighbour = open_registry(url + "?path=/neighbour")
    used = max(map(int, os.listdir("/proc/self/fd")))
    for free in range(20):
        registry = open_registry(url)
        limit(used + free)
        async with View(registry) as view:
            owner = registry.advertise("App", b"1")
            await view.until(lambda: view.ready or view.stale)
            if view.stale:
                assert "Too many open files" in view.stale, view.stale
            limit(before)
            await view.until_data([b"1"])
            assert await owner.registered()
        await registry.aclose()
    assert not view.stale
    print((await neighbour.inspect()).state)
    await neighbour.aclose()

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.long
async def test_with_any_number_of_descriptors_the_registry_works_or_says_what_is_missing(tmp_path):
    output = await _output(_WITH_FEW_DESCRIPTORS, tmp_path / "r")
    assert output.splitlines()[-1] == "connected"
    for line in output.splitlines()[:-1]:
        assert "Too many open files" in line or line.startswith("INFO All records are written"), line


# The clock

_YEAR = 365 * 24 * 3600

_WITH_A_CLOCK = """
async def main(url):
    real, ahead = time.time_ns, 0
    time.time_ns = lambda: real() + ahead * 10**9
    time.time = lambda: time.time_ns() / 1e9
    registry = open_registry(url)
    owner = registry.advertise("App", b"")
    while line := await asyncio.to_thread(sys.stdin.readline):
        number, ahead = map(int, line.split())
        owner.update(b"%d" % number)
        await owner.registered()
        print(number, flush=True)
    await registry.aclose()

asyncio.run(main(sys.argv[1]))
"""


@pytest.mark.parametrize("polling", ["0", pytest.param("1", marks=pytest.mark.long)])
async def test_no_update_is_lost_when_the_clock_jumps(tmp_path, monkeypatch, polling):
    monkeypatch.setenv("PEERAGE_EMBEDDED_POLL", polling)
    async with (
        opened(tmp_path / "r") as registry,
        View(registry) as view,
        program(_PREAMBLE + _WITH_A_CLOCK, registry.url) as owner,
    ):
        await view.until(lambda: view.ready)
        for number, ahead in enumerate((0, _YEAR, -_YEAR, 0, 20 * _YEAR, -3600, 3600, 0)):
            await owner.tell(f"{number} {ahead}")
            assert await owner.line() == str(number)
            await view.until_data([b"%d" % number])
        # The record was there all the time, under one name.
        assert not any(isinstance(event, Gone) for event in view.events), view.events
        assert {event.record.name for event in view.events if isinstance(event, Put)} == {*view.records}


@pytest.mark.parametrize("ahead", [-_YEAR, _YEAR])
async def test_a_draft_that_is_left_is_removed_whatever_the_clock_said(tmp_path, ahead):
    async with opened(tmp_path / "r") as registry:
        await registry.inspect()
        draft = run_folder(tmp_path / "r") / ".tmp.1.left"
        draft.touch()
        os.utime(draft, (time.time() + ahead,) * 2)
        with made_by_hand(run_folder(tmp_path / "r") / ".tmp.2.locked"):
            os.utime(run_folder(tmp_path / "r") / ".tmp.2.locked", (time.time() + ahead,) * 2)
            async with View(registry):
                await eventually(lambda: not draft.exists())
                assert names_in(run_folder(tmp_path / "r")) == [".tmp.2.locked"]
