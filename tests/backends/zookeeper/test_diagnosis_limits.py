"""What is found in what servers say of themselves; no server is needed."""

from dataclasses import replace

import pytest

from peerage.backends.zookeeper.diagnosis.access import (
    Access,
    Right,
    check_access,
    check_children,
    check_session,
)
from peerage.backends.zookeeper.diagnosis.servers import check_servers
from peerage.backends.zookeeper.diagnosis.words import Asked, Stage
from peerage.backends.zookeeper.location import parse
from peerage.diagnosis import Finding, Severity

LOCATION = parse("zookeeper://zk-1:2181,zk-2:2181,zk-3:2181/asab", {})

#: As ZooKeeper 3.8 answers.
MNTR = {
    "zk_avg_latency": "0.4",
    "zk_num_alive_connections": "12",
    "zk_outstanding_requests": "0",
    "zk_znode_count": "105",
    "zk_watch_count": "12",
    "zk_approximate_data_size": "70000",
    "zk_open_file_descriptor_count": "80",
    "zk_max_file_descriptor_count": "4096",
    "zk_connection_rejected": "0",
}
CONF = "clientPort=2181\ntickTime=2000\nmaxClientCnxns=60\nminSessionTimeout=4000\nmaxSessionTimeout=40000\n"
ENVI = "Environment:\njava.version=17.0.15\nos.memory.free=327MB\nos.memory.max=494MB\n"


def server(number: int, mode: str = "follower", version: str = "3.8.0-5a02a05", **mntr: object) -> Asked:
    """A server that serves; *mntr* has other numbers than it has by default."""
    numbers = MNTR | {"zk_quorum_size": "3"} | {name: str(value) for name, value in mntr.items()}
    words = {
        "srvr": f"Zookeeper version: {version}, built on 2022-02-25 08:49 UTC\nMode: {mode}\nNode count: "
        "105\n",
        "ruok": "imok",
        "mntr": "".join(f"{name}\t{value}\n" for name, value in numbers.items()),
        "conf": CONF,
        "cons": " /10.0.0.5:36626[1](queued=0,recved=5,sent=5)\n /10.0.0.6:36627[1](queued=0)\n",
        "envi": ENVI,
    }
    return Asked(f"zk-{number}:2181", Stage.SERVES, words=words)


def ensemble(**mntr: object) -> list[Asked]:
    """Three servers; *mntr* is of the leader."""
    return [server(1), server(2, "leader", **{"zk_synced_followers": 2, **mntr}), server(3)]


def bad(asked: list[Asked]) -> list[Finding]:
    """What isn't ok."""
    return [each for each in check_servers(asked, LOCATION) if each.severity is not Severity.OK]


def test_a_healthy_ensemble():
    findings = check_servers(ensemble(), LOCATION)
    assert {each.severity for each in findings} == {Severity.OK}
    assert findings[1].what == (
        "zk-2:2181 is the leader, ZooKeeper 3.8.0; connections: 12, requests waiting: 0, latency: 0.4 ms on "
        "average, nodes: 105, watches: 12."
    )
    assert findings[-1].what == "All 3 servers of the ensemble are in sync."


@pytest.mark.parametrize(
    ("mntr", "said"),
    [
        ({"zk_outstanding_requests": 150}, "has 150 requests waiting"),
        ({"zk_avg_latency": 80.5}, "needs 80.5 ms for a request on average"),
        ({"zk_open_file_descriptor_count": 3300}, "has 3300 of 4096 descriptors open"),
        ({"zk_approximate_data_size": 200_000_000}, "has 200 MB of data, and Java has 494 MB"),
        ({"zk_connection_rejected": 5}, "as many as maxClientCnxns allows: 5 since it started"),
        ({"zk_large_requests_rejected": 2}, "requests that were too large: 2 since it started"),
        ({"zk_digest_mismatches_count": 1}, "data that differs from that of the leader"),
    ],
)
def test_a_server_near_a_limit(mntr, said):
    [finding] = bad(ensemble(**mntr))
    assert (finding.check, finding.severity, finding.subject) == ("limits", Severity.WARNING, "zk-2:2181")
    assert said in finding.what


def test_numbers_that_are_too_long():
    """They are left out: what isn't ZooKeeper may send anything."""
    many = "9" * 5000
    strange = server(1, "leader", many, zk_quorum_size=many, zk_synced_followers=many, zk_avg_latency=many)
    strange = replace(strange, words={**strange.words, "conf": f"maxClientCnxns={many}\n"})
    assert not bad([strange, *ensemble()[::2]])


def test_one_address_with_many_connections():
    crowded = server(1)
    crowded = Asked(
        crowded.server,
        crowded.stage,
        words={**crowded.words, "cons": "".join(f" /::1:{40000 + n}[1](queued=0)\n" for n in range(50))},
    )
    [finding] = bad([crowded, *ensemble()[1:]])
    assert finding.what == "zk-1:2181 has 50 connections from ::1, and allows 60 from each address."


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ([server(1, "leader"), server(2, "leader"), server(3)], "aren't one ensemble"),
        ([server(1, "standalone"), server(2, "standalone")], "aren't one ensemble"),
        (
            ensemble(zk_synced_followers=1),
            "2 of 3 servers of the ensemble are in sync: the next one that fails",
        ),
        (ensemble(zk_synced_followers=1)[1:2], "the URL names 1 of them"),
        (
            ensemble(zk_quorum_size=5, zk_synced_followers=3),
            "4 of 5 servers of the ensemble are in sync: 1 more",
        ),
        (ensemble(zk_quorum_size=4, zk_synced_followers=3), "has 4 voting servers"),
        ([server(1, version="3.7.1"), *ensemble()[1:]], "have different versions: 3.7.1, 3.8.0"),
        ([server(1, version="3.5.9"), *ensemble()[1:]], "zk-1:2181 is ZooKeeper 3.5.9"),
        ([server(1, "read-only"), *ensemble()[1:]], "zk-1:2181 is read-only"),
        ([server(1), server(3), server(4)], "No server in the URL says that it leads"),
    ],
)
def test_servers_that_do_not_fit_together(asked, said):
    assert any(said in each.what for each in bad(asked))


def test_a_server_that_the_leader_still_counts():
    """Nothing says that all are in sync while one of them doesn't answer."""
    findings = check_servers([Asked("zk-1:2181", Stage.SILENT), *ensemble()[1:]], LOCATION)
    assert [(each.check, each.severity.value) for each in findings] == [
        ("server", "problem"),
        ("server", "ok"),
        ("server", "ok"),
    ]


def test_rights_of_everyone():
    """An access list that can't be read is closed to this process, and no finding."""
    nodes = [
        Access("/asab", Right.READ),
        Access("/asab/run", Right.READ | Right.CREATE),
        Access("/x", Right(0)),
    ]
    exposed, closed = check_access(nodes, LOCATION)
    assert (exposed.subject, exposed.severity) == ("/asab/run", Severity.WARNING)
    assert "(create)" in exposed.what
    assert closed.what == "Closed to clients without credentials: /asab, /x."
    [exposed] = check_access([Access("/key", Right.READ, is_key=True)], LOCATION)
    assert "may read /key" in exposed.what
    [exposed] = check_access([Access("/key", Right.WRITE, is_key=True)], LOCATION)
    assert exposed.what == (
        "Every client that reaches the servers may change /key, the private key of the cluster: it can "
        "put its own there, and issue tokens with all rights."
    )


def test_the_session_time_out():
    assert check_session(10.0, 10.0).severity is Severity.OK
    assert "4 s, shorter than the 10 s" in check_session(10.0, 4.0).what
    assert "40 s, longer than the 10 s" in check_session(10.0, 40.0).what


def test_a_long_list_of_records():
    """A half of what clients read is near."""
    names = [f"Application.{number:010d}" for number in range(30_000)]
    assert check_children("/asab/run", names[:10_000]) is None
    finding = check_children("/asab/run", names)
    assert finding is not None
    assert "30000 nodes in /asab/run takes 0.78 MB" in finding.what
