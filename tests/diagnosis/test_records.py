"""What is found about records: one of each fault in a cluster, and a cluster without any."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from peerage.diagnosis import Diagnosis, Finding, Severity
from peerage.diagnosis.records import check_records
from peerage.directory import Directory
from peerage.registry import Record

NOW = datetime(2026, 12, 1, 12, tzinfo=UTC)

GOOD = {
    "host": "node-1.example",
    "service_id": "orders",
    "instance_id": "orders-1",
    "process_id": 1,
    "launch_time": "2026-12-01T11:00:00Z",
    "web": [["0.0.0.0", 80]],
}

#: A record as asab 25.15 writes it.
ASAB = {
    "host": "vm",
    "appclass": "BillingApp",
    "launch_time": "2026-12-01T11:00:00.000000Z",
    "process_id": 7,
    "instance_id": "billing-1",
    "service_id": "billing",
    "containerized": False,
    "web": [["0.0.0.0", 39021], ["::", 39021]],
}


def other(number: int, **fields: Any) -> dict[str, Any]:
    """Another good record, with other *fields*."""
    return {
        **GOOD,
        "host": f"node-{number}.example",
        "instance_id": f"orders-{number}",
        "process_id": number,
        **fields,
    }


def examine(*records: Any, one_host: bool = False, ephemeral: bool = True) -> list[Finding]:
    """The findings about records that are text, or values of JSON."""
    directory = Directory(host_key="here")
    for number, record in enumerate(records):
        data = record if isinstance(record, bytes) else json.dumps(record).encode()
        directory.put(Record(f"R{number}", data, number, ephemeral))
    return check_records(directory, NOW, one_host=one_host)


def bad(findings: list[Finding]) -> list[tuple[str, str, str]]:
    """Check, severity and subject of what isn't ok."""
    return [
        (each.check, each.severity.value, each.subject)
        for each in findings
        if each.severity is not Severity.OK
    ]


def test_good_records():
    findings = examine(GOOD, other(2), ASAB)
    assert bad(findings) == []
    assert findings[0].what == "3 records are complete and consistent."


def test_no_record():
    assert bad(examine()) == [("record", "note", "")]


@pytest.mark.parametrize(
    ("record", "expected", "said"),
    [
        (b"[1]", ("record", "problem"), "can't be read"),
        (b"\xff", ("record", "problem"), "not UTF-8"),
        (other(2, web=[["0.0.0.0", 80], ["nonsense", 1]]), ("record", "warning"), "an entry of web"),
        (other(2, web=[["127.0.0.1", 80]]), ("record", "problem"), "loopback addresses of another host"),
        (other(2, web=None), ("record", "note"), "advertises no web address"),
        (
            {"host": "node-2.example", "web": [["0.0.0.0", 80]]},
            ("record", "warning"),
            "has no id",
        ),
        (
            other(2, web=[["127.0.0.1", 80]], peerage={"host_key": "here"}),
            ("record", "warning"),
            "is on loopback",
        ),
        (other(2, host="127.0.0.1"), ("record", "warning"), "or calls its own host"),
        (other(2, host="localhost"), ("record", "warning"), "is on loopback"),
        (other(2, launch_time="2026-12-01T12:00:30Z"), ("clock", "warning"), "30 s ahead"),
        (
            other(2, launch_time="2026-12-01T13:00:00"),
            ("clock", "problem"),
            "Tokens between both are refused",
        ),
    ],
)
def test_one_fault(record, expected, said):
    """It is found beside a good record, and nothing else is."""
    findings = examine(GOOD, record)
    assert bad(findings) == [(*expected, "R1")]
    assert said in findings[0].what


def test_a_record_left_by_hand():
    [finding] = examine(GOOD, ephemeral=False)
    assert (finding.check, finding.severity, finding.subject) == ("record", Severity.WARNING, "R0")
    assert "no process owns the record" in finding.what


def test_a_newer_record_of_the_same_instance():
    assert bad(examine(GOOD, GOOD)) == [("duplicate", "warning", "R0")]


def test_one_instance_id_in_two_places():
    findings = examine(GOOD, other(2, instance_id="ORDERS-1"))
    assert bad(findings) == [("duplicate", "warning", "R0")]
    assert "2 records have instance_id='orders-1': R0, R1." in findings[0].what


def test_one_address_of_two_processes():
    findings = examine(GOOD, other(2, host=GOOD["host"], service_id="stock"))
    assert bad(findings) == [("duplicate", "warning", "R0")]
    assert "have the address node-1.example:80: R0, R1." in findings[0].what


def test_one_address_of_one_process():
    """A service that advertises itself under two names."""
    assert bad(examine(GOOD, {**GOOD, "service_id": "stock", "instance_id": "stock-1"})) == []


def test_on_one_host_loopback_is_no_fault():
    record = other(2, web=[["127.0.0.1", 80]], peerage={"host_key": "here"})
    assert bad(examine(GOOD, record, one_host=True)) == []


def test_the_worst_comes_first():
    """Within one severity, in the order in which it was examined."""
    findings = [
        Finding(str(number), severity, "", "") for number, severity in enumerate([*Severity][::-1] * 2)
    ]
    diagnosis = Diagnosis.of("memory:x", findings)
    assert [each.check for each in diagnosis.findings] == ["3", "7", "2", "6", "1", "5", "0", "4"]
    assert not diagnosis.well
    assert not Diagnosis.of("memory:x", [Finding("access", Severity.WARNING, "", "")]).well
    assert Diagnosis.of("memory:x", [each for each in findings if each.severity in ("ok", "note")]).well
