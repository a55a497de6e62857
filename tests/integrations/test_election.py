"""One worker leads at a time, and another one when it ends, however it does."""

import os

import pytest

from peerage.errors import RegistryDeniedError
from peerage.integrations.election import Seat
from peerage.testing import eventually
from peerage.testing.children import STRICT, run

_ADDRESS = "127.0.0.1"

#: A process that leads and has a child, which has none of its descriptors but those that were forked.
_FORKED = """
import os, signal
from peerage.integrations.election import Seat
seat = Seat("127.0.0.1", 80)
print(seat.take(), flush=True)
if os.fork() == 0:
    print(seat.taken, flush=True)
    seat.leave()
    os.close(1)
    os.close(2)
    os.read(0, 1)
    os._exit(0)
signal.pause()
"""


@pytest.fixture(autouse=True)
def _folder(tmp_path, monkeypatch):
    monkeypatch.setenv("PEERAGE_DIR", str(tmp_path / "locks"))


def test_one_leads_until_it_leaves():
    """Taking and leaving may be repeated."""
    first, second = Seat(_ADDRESS, 80), Seat(_ADDRESS, 80)
    assert first.take()
    assert first.take()
    assert not second.take()
    first.leave()
    first.leave()
    assert second.take()
    assert not first.take()
    assert (first.taken, second.taken) == (False, True)
    second.leave()


def test_other_ports_and_addresses_have_other_leaders():
    seats = Seat(_ADDRESS, 80), Seat(_ADDRESS, 81), Seat("::1", 80)
    assert [seat.take() for seat in seats] == [True] * 3
    for seat in seats:
        seat.leave()


def test_no_file_stays(tmp_path):
    """Ports of tests are other ones each time."""
    seat = Seat(_ADDRESS, 80)
    seat.take()
    assert list((tmp_path / "locks/ports").iterdir())
    seat.leave()
    assert not list((tmp_path / "locks/ports").iterdir())


def test_the_folder_may_be_removed(tmp_path):
    first, second = Seat(_ADDRESS, 80), Seat(_ADDRESS, 80)
    assert first.take()
    assert not second.take()
    (tmp_path / "locks").rename(tmp_path / "elsewhere")
    with pytest.raises(FileNotFoundError):
        second.take()
    assert second.take()
    first.leave()
    second.leave()


def test_a_folder_that_cannot_be_used_is_refused(tmp_path):
    """The message says what to do."""
    (tmp_path / "locks").touch()
    with pytest.raises(RegistryDeniedError, match="PEERAGE_DIR"):
        Seat(_ADDRESS, 80).take()


async def test_the_lock_ends_with_its_process():
    """Also if that was killed and a child of it lives on."""
    seat = Seat(_ADDRESS, 80)
    async with run(*STRICT, "-c", _FORKED, environ={**os.environ}) as leader:
        assert await leader.line() == "True"
        assert await leader.line() == "False"
        assert not seat.take()
        leader.kill()
        await eventually(seat.take, "the lock")
    seat.leave()
