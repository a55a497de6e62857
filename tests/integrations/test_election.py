"""One worker has the lock at a time, and another one when that ends, for whatever reason."""

import fcntl
import os

import pytest

from peerage.backends.embedded.folder import DRAFT_PREFIX
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


def test_files_of_killed_processes_are_removed_and_no_others(tmp_path):
    """By the next process that takes the lock of any port."""
    living, next_one = PortLock(_ADDRESS, 80), PortLock(_ADDRESS, 81)
    assert living.take()
    folder = tmp_path / "locks/ports"
    (of_living,) = folder.iterdir()
    # Of a process that finds out whether locks work in the folder, as all do when they begin.
    draft = folder / f"{DRAFT_PREFIX}1.0"
    draft.touch()
    (folder / "0-127.0.0.1-79").touch()
    assert next_one.take()
    assert len(list(folder.iterdir())) == 3
    assert of_living.exists()
    assert draft.exists()
    assert not PortLock(_ADDRESS, 80).take()
    next_one.release()
    living.release()


def test_a_file_that_is_removed_while_another_process_opens_it_gives_no_lock(tmp_path, monkeypatch):
    """Else two workers could have the lock of a port: one with the removed file, one with its successor."""
    first, second, sweeper = PortLock(_ADDRESS, 80), PortLock(_ADDRESS, 80), PortLock(_ADDRESS, 81)
    assert second.take()
    (orphan,) = (tmp_path / "locks/ports").iterdir()
    second.release()
    orphan.touch()  # as if its process had been killed
    flock = fcntl.flock

    def flock_later(fd, operation):
        """Between opening and locking, the file is removed."""
        if orphan.exists() and os.path.samestat(os.fstat(fd), orphan.stat()):
            monkeypatch.setattr(fcntl, "flock", flock)
            assert sweeper.take()
            assert not orphan.exists()
        return flock(fd, operation)

    monkeypatch.setattr(fcntl, "flock", flock_later)
    assert not first.take()
    assert first.take()
    assert not second.take()
    for lock in (first, sweeper):
        lock.release()


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
