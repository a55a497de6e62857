from peerage.testing.simulation.coverage import Coverage, covered
from peerage.testing.simulation.schedule import pairs


def test_what_is_covered_adds_up():
    coverage = Coverage()
    coverage.add(covered({"crash": 2}, {("crash", "crash")}, 10, 60.0))
    coverage.add(covered({"crash": 1, "stop": 1}, {("crash", "stop")}, 5, 30.0))
    assert (coverage.schedules, coverage.calls, coverage.seconds) == (2, 15, 90.0)
    assert coverage.kinds == {"crash": 3, "stop": 1}
    assert coverage.pairs == {("crash", "crash"): 1, ("crash", "stop"): 1}
    assert coverage.table() == "          1  2\ncrash  3  1   1\nstop   1  1  0   2"


def test_what_never_happened_is_named():
    coverage = Coverage()
    assert "power off" in coverage.missing()
    assert "power off" not in coverage.missing("embedded")
    assert "crash + stop" in coverage.missing("embedded")
    every = pairs()
    coverage.add(covered(dict.fromkeys((kind for pair in every for kind in pair), 1), every, 1, 1.0))
    assert coverage.missing() == []
