"""What a signal to stop means."""

import signal

from peerage.serving.signals import SAME_STOP, Meaning, StopSignals


def test_a_second_signal_cuts_short_what_the_first_one_began():
    """Unless it comes so soon that a supervisor has passed on the same one."""
    signals = StopSignals()
    assert signals.received(signal.SIGTERM, 10) is Meaning.BEGIN
    assert signals.received(signal.SIGINT, 10 + SAME_STOP / 2) is Meaning.SAME
    assert signals.received(signal.SIGTERM, 10 + SAME_STOP) is Meaning.CUT_SHORT


def test_a_signal_that_the_supervisor_repeats_cuts_nothing_short():
    """Gunicorn sends SIGTERM every second to a worker that it replaces."""
    signals = StopSignals({signal.SIGTERM})
    assert signals.received(signal.SIGTERM, 10) is Meaning.BEGIN
    assert signals.received(signal.SIGTERM, 100) is Meaning.SAME
    assert signals.received(signal.SIGINT, 100) is Meaning.CUT_SHORT
