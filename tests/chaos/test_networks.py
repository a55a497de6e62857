"""What callers notice of an instance to which no connection can be made, or that a network has lost."""

from collections.abc import Iterator

import aiohttp
import pytest
from tests.chaos.machine import Machine

from peerage import CallTrace, trace_calls

pytestmark = [pytest.mark.long, pytest.mark.alone]

#: Calls a second.
RATE = 100


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
