from pathlib import Path

import pytest

from peerage.testing.simulation.trace import (
    CallBegan,
    Ended,
    FaultBegan,
    Sight,
    Started,
    TraceFile,
    Viewed,
    from_line,
    read_traces,
    to_line,
)

EVENTS = [
    Started(0.0, "shop", "b"),
    Viewed(
        1.25, "shop", (Sight("n1", "orders", "orders-1", "a:80", "draining", 2, superseded=True),), stale=True
    ),
    FaultBegan(2.0, 1, "partition", ("a",), ("b", "c")),
    CallBegan(3.0, "call-1", "shop", "orders", "once", deadline=4.5),
]


@pytest.mark.parametrize("event", EVENTS)
def test_a_line_says_all_of_an_event(event):
    assert from_line(to_line(event)) == event


@pytest.mark.parametrize(
    "line",
    ["", "{", "1", "{}", '{"event": "Started"}', '{"event": "Other", "at": 1}', '{"event": "Ended", "x": 1}'],
)
def test_another_line_is_refused(line):
    with pytest.raises(ValueError, match="isn't an event of a trace"):
        from_line(line)


def test_the_files_of_several_processes_are_merged_and_what_a_crash_cut_short_is_left_out(tmp_path: Path):
    with TraceFile(tmp_path / "one") as one, TraceFile(tmp_path / "two") as two:
        for number, event in enumerate(EVENTS):
            (two if number % 2 else one).append(event)
    with (tmp_path / "one").open("a") as file:
        file.write(to_line(Ended(9.0, "shop"))[:20])
    assert read_traces([tmp_path / "one", tmp_path / "two"]) == EVENTS


def test_a_line_in_the_middle_that_is_no_event_is_refused(tmp_path: Path):
    path = tmp_path / "one"
    path.write_text("something\n" + to_line(EVENTS[0]) + "\n")
    with pytest.raises(ValueError, match="something"):
        read_traces([path])
