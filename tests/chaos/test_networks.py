"""What callers notice of an instance to which no connection can be made, or that a network has lost."""

import os
import shutil
import subprocess
from collections.abc import Iterator

import aiohttp
import pytest

from peerage import CallTrace, trace_calls

pytestmark = [pytest.mark.long, pytest.mark.alone]

#: Calls a second.
RATE = 100


class Machine:
    """A network namespace with one interface, joined to that of this process."""

    def __init__(self) -> None:
        self._name = f"peerage-{os.getpid()}"
        self._ours, self._its = f"pa{os.getpid()}", f"pb{os.getpid()}"
        # From the network for benchmarks (RFC 2544).
        base = 4 * (os.getpid() % 16_384)
        self._address, self.address = (f"198.18.{base // 256}.{base % 256 + last}" for last in (1, 2))

    @property
    def prefix(self) -> tuple[str, ...]:
        """Begins a command that runs there."""
        return ("ip", "netns", "exec", self._name)

    def start(self) -> None:
        _ip("netns", "add", self._name)
        _ip("link", "add", self._ours, "type", "veth", "peer", self._its, "netns", self._name)
        _ip("address", "add", f"{self._address}/30", "dev", self._ours)
        _ip("-n", self._name, "address", "add", f"{self.address}/30", "dev", self._its)
        _ip("link", "set", self._ours, "up")
        for each in ("lo", self._its):
            _ip("-n", self._name, "link", "set", each, "up")

    def lose(self) -> None:
        """Drop all packets in both directions: they go to a hardware address that doesn't exist."""
        lost = ("lladdr", "02:00:00:00:00:01", "nud", "permanent")
        _ip("neighbour", "replace", self.address, "dev", self._ours, *lost)
        _ip("-n", self._name, "neighbour", "replace", self._address, "dev", self._its, *lost)

    def stop(self) -> None:
        # The kernel removes both with the namespace, but only once its last connection has ended.
        _ip("link", "delete", self._ours)
        _ip("netns", "delete", self._name)


def _ip(*arguments: str) -> None:
    command = shutil.which("ip", path="/usr/sbin:/usr/bin:/sbin:/bin")
    assert command is not None, "install Debian's iproute2"
    subprocess.run([command, *arguments], check=True)


@pytest.fixture
def machine() -> Iterator[Machine]:
    machine = Machine()
    machine.start()
    yield machine
    machine.stop()


async def meet(services, callers, fault) -> tuple[list[object], list[CallTrace]]:
    """Send GETs and POSTs before and after *fault*, a function, befalls the first of the services.

    No GET fails, and nothing that is begun three seconds later. From one second on, that service gets one
    request in a hundred.

    Returns:
        What failed, and traces of the calls that were begun after the fault.
    """
    timeout = aiohttp.ClientTimeout(total=5)
    await callers.send(RATE, 1, "GET", "POST", timeout=timeout)
    await fault()
    begin = callers.now
    with trace_calls() as traces:
        await callers.send(RATE, begin + 5, "GET", "POST", timeout=timeout)
    assert not callers.failed("GET")
    assert not callers.failed(after=begin + 3)
    later = traces[RATE:]
    asked = sum(attempt.record == services.names[0] for trace in later for attempt in trace.attempts)
    assert asked <= 0.01 * len(later)
    return callers.failed(), traces


async def test_one_of_four_accepts_no_more_connections(services, callers):
    """Its queue is full, and handshakes are left unanswered: nothing was sent, so no POST fails either."""
    (full,) = await services.start(1, seconds=0.05)
    await services.start(3, seconds=0.05)
    failed, traces = await meet(services, callers, lambda: services.behave(full, "full", 0.05))
    assert not failed
    # They needn't wait for aiohttp's limit of 30 seconds for a connection.
    assert max(trace.seconds for trace in traces) < 5


async def test_the_machine_of_one_of_four_is_lost(services, callers, machine):
    """All packets are dropped, also those of connections that were made before."""
    await services.start(1, seconds=0.05, address=machine.address, prefix=machine.prefix)
    await services.start(3, seconds=0.05)

    async def lose():
        machine.lose()

    failed, _ = await meet(services, callers, lose)
    # Those that were sent over kept connections in the first second.
    assert all(isinstance(each, TimeoutError) for each in failed)
    assert len(failed) <= 0.05 * len(callers.results)
