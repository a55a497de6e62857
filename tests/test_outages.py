"""The log of outages: two lines for each, however often the connection flickers."""

import pytest
from tests.support import Clock

from peerage.outage_log import OutageLog
from peerage.testing import eventually


@pytest.fixture
def clock():
    return Clock()


def lines(caplog) -> list[str]:
    return [entry.getMessage() for entry in caplog.records]


async def test_an_outage_has_two_lines(clock, caplog):
    """The second is logged after a while in touch, which isn't part of the duration."""
    outages = OutageLog("test:", clock, calm=0.01)
    outages.found(7)  # the first snapshot, before any outage
    outages.lost("the cable.", known=True)
    outages.lost("the server", known=True)
    clock.now += 3
    outages.found(7)
    clock.now += 60
    await eventually(lambda: len(caplog.records) == 2)
    assert lines(caplog) == [
        "Out of touch with the registry test:: the cable. What is known stays in use.",
        "In touch with the registry test: again after 3.0 s and 2 losses; 7 records",
    ]


async def test_a_connection_that_flickers_is_one_outage(clock, caplog):
    """Fifty losses are two lines; the end is that of the last loss."""
    outages = OutageLog("test:", clock, calm=1000)
    for number in range(50):
        outages.lost(f"loss {number}", known=False)
        clock.now += 0.1
        outages.found(number)
        clock.now += 0.1
    assert len(caplog.records) == 1
    outages.flush()
    assert lines(caplog) == [
        "Out of touch with the registry test:: loss 0. Nothing is known yet.",
        "In touch with the registry test: again after 9.9 s and 50 losses; 49 records",
    ]
    outages.flush()
    assert len(caplog.records) == 2


async def test_the_next_outage_is_another_one(clock, caplog):
    """After a while in touch, a loss is a new outage with its own two lines."""
    outages = OutageLog("test:", clock, calm=0)
    for _ in range(2):
        before = len(caplog.records)
        outages.lost("the cable", known=True)
        outages.found(1)
        await eventually(lambda before=before: len(caplog.records) == before + 2)
    assert lines(caplog)[:2] == lines(caplog)[2:]
    assert "losses" not in caplog.text


async def test_an_outage_that_goes_on_has_no_second_line(clock, caplog):
    """Not even when the process ends."""
    outages = OutageLog("test:", clock, calm=0)
    outages.lost("the cable", known=True)
    outages.flush()
    outages.found(1)
    outages.lost("the cable", known=True)
    outages.flush()
    assert len(caplog.records) == 1
