"""One worker has the lock at a time, and another one when that ends, for whatever reason."""

import fcntl
import os

import pytest

from peerage.errors import RegistryDeniedError
from peerage.integrations.election import PortLock
from peerage.testing import eventually
from peerage.testing.children import STRICT, run

_ADDRESS = "127.0.0.1"

#: A process that has the lock and a child, which has none of its descriptors but those that were forked.
_FORKED = """
import os, signal
from peerage.integrations.election import PortLock
lock = PortLock("127.0.0.1", 80)
print(lock.take(), flush=True)
if os.fork() == 0:
    print(lock.taken, flush=True)
    lock.release()
    os.close(1)
    os.close(2)
    os.read(0, 1)
    os._exit(0)
signal.pause()
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PEERAGE_DIR", str(tmp_path / "locks"))


def test_one_has_the_lock_until_it_releases_it():
    """Taking and releasing may be repeated."""
    first, second = PortLock(_ADDRESS, 80), PortLock(_ADDRESS, 80)
    assert first.take()
    assert first.take()
    assert not second.take()
    first.release()
    first.release()
    assert second.take()
    assert not first.take()
    assert (first.taken, second.taken) == (False, True)
    second.release()


def test_other_ports_and_addresses_have_other_locks():
    locks = PortLock(_ADDRESS, 80), PortLock(_ADDRESS, 81), PortLock("::1", 80)
    assert [lock.take() for lock in locks] == [True] * 3
    for lock in locks:
        lock.release()


def test_the_folder_is_locked_while_the_lock_is_taken(tmp_path):
    """systemd-tmpfiles deletes old files, but not in a locked folder."""
    first, second = PortLock(_ADDRESS, 80), PortLock(_ADDRESS, 80)
    assert first.take()
    assert not second.take()
    base = os.open(tmp_path / "locks", os.O_RDONLY)
    try:
        with pytest.raises(BlockingIOError):
            fcntl.flock(base, fcntl.LOCK_EX | fcntl.LOCK_NB)
        first.release()
        assert second.take()
        with pytest.raises(BlockingIOError):
            fcntl.flock(base, fcntl.LOCK_EX | fcntl.LOCK_NB)
        second.release()
        fcntl.flock(base, fcntl.LOCK_EX | fcntl.LOCK_NB)
    finally:
        os.close(base)


def test_no_file_stays(tmp_path):
    """Ports of tests are other ones each time."""
    lock = PortLock(_ADDRESS, 80)
    lock.take()
    assert list((tmp_path / "locks/ports").iterdir())
    lock.release()
    assert not list((tmp_path / "locks/ports").iterdir())


def test_the_folder_may_be_removed(tmp_path):
    first, second = PortLock(_ADDRESS, 80), PortLock(_ADDRESS, 80)
    assert first.take()
    assert not second.take()
    (tmp_path / "locks").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        second.take()
    assert second.take()
    first.release()
    second.release()


def test_a_folder_that_cannot_be_used_is_refused(tmp_path):
    """The message says what to do."""
    (tmp_path / "locks").touch()
    with pytest.raises(RegistryDeniedError, match="PEERAGE_DIR"):
        PortLock(_ADDRESS, 80).take()


async def test_the_lock_ends_with_its_process():
    """Also if that was killed and a child of it lives on."""
    lock = PortLock(_ADDRESS, 80)
    async with run(*STRICT, "-c", _FORKED, environ={**os.environ}) as owner:
        assert await owner.line() == "True"
        assert await owner.line() == "False"
        assert not lock.take()
        owner.kill()
        await eventually(lock.take, "the lock")
    lock.release()
