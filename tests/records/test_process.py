"""Whether the process of a record has ended."""

import os
import signal
import subprocess
import sys

import pytest

from peerage.records.process import has_ended, process_key

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs /proc")

ME = os.getpid()


@pytest.fixture
def child():
    """A process that runs until it is killed."""
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as child:
        yield child
        child.kill()


def test_this_process_has_not_ended():
    assert process_key(ME)
    assert not has_ended(ME, process_key(ME))


def test_a_process_that_is_killed_has_ended(child):
    """As soon as it is dead, before its parent has waited for it, and afterwards."""
    key = process_key(child.pid)
    assert not has_ended(child.pid, key)
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    assert has_ended(child.pid, key)
    child.wait()
    assert has_ended(child.pid, key)


def test_another_process_has_the_number_now():
    """It began at another time."""
    namespace, _, began = process_key(ME).partition(".")
    assert has_ended(ME, f"{namespace}.{int(began) - 1}")


def test_nothing_is_known_of_what_cant_be_read():
    """Of another namespace, or of a record that has something else there."""
    for pid in (ME, 2**22 + 1):
        for key in ("1.1", None, 7, "", "x", {}):
            assert not has_ended(pid, key)
    for pid in (str(ME), 0, -1, True, None, []):
        assert not has_ended(pid, process_key(ME))


def test_a_number_that_no_process_has():
    """Larger than the kernel's, so that it can't be used."""
    assert has_ended(2**22 + 1, process_key(ME))
    assert not has_ended(2**70, process_key(ME))
