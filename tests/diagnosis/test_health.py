"""What is found about the state of a registry, the disk cache and the environment."""

import re
from dataclasses import replace

import pytest
from tests.docs.pages import ROOT, text_of

from peerage.diagnosis import Finding, Severity
from peerage.diagnosis.environment import Surroundings, check_environment
from peerage.diagnosis.health import check_cache, check_health, check_unread
from peerage.doctor import diagnose
from peerage.registry import Health, open_registry
from peerage.testing.harness import closing

CONNECTED = Health(
    url="x:", state="connected", since=1.0, writable=True, server="10.0.0.1:2181", version="3.8.0"
)

ORDERS = Surroundings({"service_id": "orders", "instance_id": "orders-1"}, "node-1", ["10.0.0.5"])


def severities(findings: list[Finding]) -> list[str]:
    return [each.severity.value for each in findings]


def test_a_registry_that_works():
    [finding] = check_health(CONNECTED, exposed=True)
    assert finding.severity is Severity.OK
    assert finding.what == ("The registry is served by 10.0.0.1:2181, version 3.8.0, and can be written to.")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"state": "stale", "problem": "No server answers."}, "is out of reach. No server answers."),
        ({"writable": False, "problem": "Denied."}, "this process can't advertise in it. Denied."),
    ],
)
def test_a_registry_that_does_not(change, said):
    [finding] = check_health(replace(CONNECTED, **change), exposed=False)
    assert finding.severity is Severity.PROBLEM
    assert said in finding.what
    assert finding.todo


def test_a_registry_that_works_but_complains():
    """What a backend with a diagnosis of its own says itself isn't repeated."""
    exposed = replace(CONNECTED, problem="Everyone may write.")
    assert severities(check_health(exposed, exposed=True)) == ["ok", "warning"]
    assert severities(check_health(exposed, exposed=False)) == ["ok"]
    assert check_unread("denied").severity is Severity.PROBLEM


@pytest.mark.parametrize(
    ("arguments", "severity", "said"),
    [
        ({"path": "", "age": None, "problem": ""}, "note", "switched off"),
        ({"path": "/c", "age": None, "problem": ""}, "note", "has saved one yet"),
        ({"path": "/c", "age": None, "problem": "it is damaged"}, "warning", "can't be used: it is damaged."),
        ({"path": "/c", "age": 7.4, "problem": ""}, "ok", "7 s ago"),
    ],
)
def test_the_disk_cache(arguments, severity, said):
    finding = check_cache(**arguments)
    assert finding.severity == severity
    assert said in finding.what


@pytest.mark.parametrize(
    ("found", "severity", "said"),
    [
        (ORDERS, ["ok", "ok"], "SERVICE_ID='orders'"),
        (replace(ORDERS, host="10.0.0.5", addresses=()), ["ok", "ok"], "advertises the address"),
        (replace(ORDERS, ids={}), ["note", "ok"], "Neither SERVICE_ID nor INSTANCE_ID"),
        (replace(ORDERS, ids={"service_id": "Orders"}), ["warning", "ok"], "services on ASAB don't find it"),
        (replace(ORDERS, ids={"node_id": "a b"}), ["problem", "ok"], "can't stand in a URL"),
        (
            replace(ORDERS, addresses=(), unresolved="unknown"),
            ["ok", "warning"],
            "doesn't resolve here: unknown.",
        ),
        (
            replace(ORDERS, addresses=(), unresolved="unknown", literals=["10.0.0.5"]),
            ["ok", "note"],
            "Peers use 10.0.0.5 instead",
        ),
        (Surroundings({}, "", mistake="PEERAGE_ADDRESSES contains 'x'"), ["problem"], "PEERAGE_ADDRESSES"),
    ],
)
def test_the_environment(found, severity, said):
    findings = check_environment(found, one_host=False)
    assert severities(findings) == severity
    assert said in " ".join(each.what for each in findings)


def test_peers_on_one_host_need_no_name():
    found = replace(ORDERS, addresses=(), unresolved="unknown")
    assert severities(check_environment(found, one_host=True)) == ["ok", "note"]


async def test_a_registry_of_a_running_program():
    """It is examined, and stays open."""
    async with closing(open_registry("memory:examined")) as (registry,):
        assert (await diagnose(registry)).well
        assert (await registry.inspect()).state == "connected"


def test_each_check_is_documented():
    """The table of docs/troubleshooting.md has the words that are in the code, and no others."""
    code = "\n".join(
        file.read_text(encoding="utf-8")
        for file in (ROOT / "src/peerage").rglob("*.py")
        if "diagnosis" in str(file)
    )
    used = set(re.findall(r'Finding\(\s*"([a-z]+)"', code)) | {"host", "port"}
    _, _, section = text_of("docs/troubleshooting.md").partition("\n## peerage doctor\n")
    table = section.partition("| check | what is examined |")[2].partition("\n\n")[0]
    assert used == set(re.findall(r"^\| `([a-z]+)` \|", table, re.MULTILINE))
