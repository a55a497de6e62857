"""``peerage doctor`` on real servers: reachable or not, protected or not, and what it may ask them."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager

import pytest
from tests.backends.zookeeper.support import PASSWORD, bare_client, folder_of, with_credentials

from peerage.diagnosis import Diagnosis, Finding, Severity
from peerage.doctor import diagnose
from peerage.registry import open_registry
from peerage.testing import eventually
from peerage.testing.harness import closing, registered
from peerage.testing.zookeeper import Ensemble, ZooKeeperServer
from peerage.testing.zookeeper.server import free_port

RECORD = b'{"host": "node-1.example", "service_id": "orders", "web": [["0.0.0.0", 80]]}'

_BAD = (Severity.PROBLEM, Severity.WARNING)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ZooKeeperServer]:
    """A server for these tests alone: others leave the key of the cluster on the shared one."""
    with ZooKeeperServer(tmp_path_factory.mktemp("examined")) as server:
        yield server


@pytest.fixture(autouse=True)
def host(monkeypatch: pytest.MonkeyPatch) -> None:
    """The name of this machine, which needn't resolve."""
    monkeypatch.setenv("ASAB_HOSTNAME", "127.0.0.1")


@contextmanager
def dead_port() -> Iterator[int]:
    """A port on which no process listens, and none can meanwhile."""
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        yield bound.getsockname()[1]


async def no_names(host: str) -> list[str]:
    """Look up no host: the servers are given by their addresses."""
    raise OSError(host)


def found(diagnosis: Diagnosis, check: str, *severities: Severity) -> list[Finding]:
    """The findings of one check, by default those that are no good news."""
    wanted = severities or _BAD
    return [each for each in diagnosis.findings if each.check == check and each.severity in wanted]


def bad(diagnosis: Diagnosis) -> set[tuple[str, str]]:
    """The checks with problems and warnings, and whom they concern."""
    return {(each.check, each.subject) for each in diagnosis.findings if each.severity in _BAD}


async def until(url: str, holds: Callable[[Diagnosis], object], *, probe: bool = False) -> Diagnosis:
    """The first diagnosis that *holds*: on a busy machine a server may take too long for an answer."""
    return await eventually(lambda: diagnose(url, probe=probe), "the diagnosis", wanted=holds)


def well(diagnosis: Diagnosis) -> bool:
    """Nothing is wrong, and the server has said everything."""
    return not bad(diagnosis) and "requests waiting" in found(diagnosis, "server", Severity.OK)[0].what


@asynccontextmanager
async def listening(answer: bytes) -> AsyncIterator[str]:
    """A server that isn't ZooKeeper: it answers everything with *answer*, and closes."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(1)
        writer.write(answer)
        writer.close()
        await writer.wait_closed()

    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}"


async def test_a_protected_registry_is_well(guarded, server):
    """The server, the session and the access lists are reported as well."""
    async with closing(open_registry(guarded)) as (registry,):
        await registered(registry, "App", RECORD)
        diagnosis = await until(guarded, well)
    assert PASSWORD not in repr(diagnosis)
    [finding] = found(diagnosis, "server", Severity.OK)
    assert f"{server.address} is a single server, ZooKeeper 3." in finding.what
    [finding] = found(diagnosis, "access", Severity.OK)
    assert folder_of(guarded) in finding.what
    [finding] = found(diagnosis, "session", Severity.OK)
    assert finding.what == "The session time-out is 3 s, as asked for."


async def test_a_registry_that_is_open_to_all(url):
    """A warning, unless the URL says that it is meant so."""
    async with closing(open_registry(url)) as (registry,):
        await registered(registry, "App", RECORD)
        path = folder_of(url)
        both = {("access", path), ("access", path.removesuffix("/run"))}
        diagnosis = await until(url, lambda diagnosis: bad(diagnosis) == both)
        assert "docs/security.md" in found(diagnosis, "access")[0].todo
        diagnosis = await until(f"{url}&acl=open", well)
        assert len(found(diagnosis, "access", Severity.NOTE)) == 2


async def test_the_private_key_of_the_cluster(url, guarded, secret):
    """If all clients may read it, each of them is a superuser of every service."""

    async def exposed(url: str, key: str) -> list[str]:
        async with closing(open_registry(url)) as (registry,):
            await registry.secrets.obtain(key, lambda: b"key")
            findings = await eventually(
                lambda: registry.diagnose(no_names, key),
                "an answer about the access lists",
                wanted=lambda found: any(one.check == "access" and one.subject for one in found),
            )
            return [one.what for one in findings if one.subject == key]

    assert not any("private key" in what for what in await exposed(guarded, secret))
    [what] = await exposed(url, f"{folder_of(url).removesuffix('/run')}-open/key")
    assert "the private key of the cluster: it can issue tokens with all rights" in what


async def test_a_dead_server():
    with dead_port() as port:
        diagnosis = await diagnose(f"zookeeper://127.0.0.1:{port}/asab", probe=False)
    assert {check for check, _ in bad(diagnosis)} == {"registry", "server"}
    assert "accepts no connection" in found(diagnosis, "server")[0].what


async def test_a_server_whose_name_has_no_address():
    diagnosis = await diagnose("zookeeper://nowhere.invalid/asab", probe=False)
    [finding] = found(diagnosis, "server")
    assert finding.what.startswith("nowhere.invalid:2181 has no address here")


@pytest.mark.long
async def test_a_server_that_does_not_answer(through, proxy):
    """It is said in less than the three seconds that a diagnosis takes at most."""
    proxy.black_hole()
    [finding] = found(await diagnose(through, probe=False), "server")
    assert "accepts connections, but doesn't answer" in finding.what


@pytest.mark.parametrize("answer", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
async def test_a_port_that_is_not_zookeeper(answer):
    async with listening(answer) as address:
        diagnosis = await diagnose(f"zookeeper://{address}/asab", probe=False)
    [finding] = found(diagnosis, "server")
    assert "doesn't answer as ZooKeeper does" in finding.what
    assert "maxClientCnxns" in finding.todo


async def test_a_url_with_tls_for_a_port_without(url):
    secure = url.replace("zookeeper:", "zookeeper+tls:")
    await until(secure, lambda diagnosis: "speaks without TLS" in found(diagnosis, "server")[0].what)


async def test_a_shorter_session_than_asked_for(url):
    """The servers decide."""
    longer = url.replace("session_timeout=3", "session_timeout=90")
    diagnosis = await until(longer, lambda diagnosis: found(diagnosis, "session"))
    [finding] = found(diagnosis, "session")
    assert "is 60 s, shorter than the 90 s asked for" in finding.what


async def test_credentials_that_may_not_write(url, guarded):
    async with closing(open_registry(guarded)) as (registry,):
        await registered(registry, "App", RECORD)
        diagnosis = await diagnose(with_credentials(url, "other"), probe=False)
    [finding] = found(diagnosis, "registry")
    assert finding.severity is Severity.PROBLEM


@pytest.mark.long
async def test_a_server_that_may_say_little(tmp_path):
    """By default only 'srvr' is enabled: nothing is wrong, but less is seen."""
    with ZooKeeperServer(tmp_path, options={"4lw.commands.whitelist": "srvr"}) as server:
        url = f"zookeeper://{server.address}/asab?acl=open"
        diagnosis = await until(url, lambda diagnosis: diagnosis.well)
    [finding] = found(diagnosis, "limits", Severity.NOTE)
    assert "4lw.commands.whitelist=srvr,ruok,mntr" in finding.todo


async def test_a_cluster_with_one_of_each_fault(url, server):
    """Each is found once, and only they are."""

    def made(service: str, **fields: object) -> bytes:
        """The record of a process of its own."""
        fields = {"host": "127.0.0.1", "service_id": service, "process_id": service, **fields}
        return json.dumps({"web": [["0.0.0.0", 1]], **fields}).encode()

    twin = made("twin", instance_id="twin-1", web=[["0.0.0.0", 2]])
    records = {
        "Unreadable": b"{",
        "Elsewhere": made("elsewhere", web=[["127.0.0.1", 80]]),
        "Dead": made("dead", web=[["0.0.0.0", 3]]),
        "Nowhere": made("nowhere", host="nowhere.invalid"),
        "Nameless": json.dumps({"host": "127.0.0.1", "web": [["0.0.0.0", 1]]}).encode(),
        "Twin": twin,
        "Newer": twin,
    }
    async with closing(open_registry(url)) as (registry,), bare_client(server.address) as client:
        for name, data in records.items():
            await registered(registry, name, data)
        await asyncio.to_thread(client.create, f"{folder_of(url)}/ByHand.1", made("left"))
        expected = {
            ("record", "Unreadable"),
            ("record", "Elsewhere"),
            ("record", "ByHand"),
            ("record", "Nameless"),
            # Their host is 127.0.0.1, which is another one for each caller.
            *(("record", name) for name in ("Dead", "Twin", "Newer")),
            ("duplicate", "Twin"),
            ("host", "Nowhere"),
            ("port", "Dead"),
            ("port", "Nameless"),
            ("port", "Newer"),
        }

        def faults(diagnosis: Diagnosis) -> set[tuple[str, str]]:
            return {(check, subject.partition(".")[0]) for check, subject in bad(diagnosis)}

        await until(f"{url}&acl=open", lambda diagnosis: faults(diagnosis) == expected, probe=True)


@pytest.mark.long
@pytest.mark.parametrize(
    ("option", "said"),
    [("false", "runs, but serves no requests: it has no quorum"), ("true", "is read-only")],
)
async def test_a_server_without_a_quorum(tmp_path, option, said):
    """It refuses, or answers to clients that only read, which peerage's isn't."""
    alone = {f"server.{number}": f"127.0.0.1:{free_port()}:{free_port()}" for number in (1, 2, 3)}
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "myid").write_text("1\n")
    server = ZooKeeperServer(tmp_path, options=alone, jvm=[f"-Dreadonlymode.enabled={option}"])
    server.launch()
    try:
        await eventually(lambda: server.ask("srvr"), "an answer")
        if option == "true":
            await eventually(lambda: "read-only" in server.ask("srvr"), "the read-only mode")
        [finding] = found(await diagnose(f"zookeeper://{server.address}/asab", probe=False), "server")
        assert said in finding.what
    finally:
        server.kill()


@pytest.mark.ensemble
async def test_an_ensemble(tmp_path):
    """All are in sync; one is missing; the URL doesn't name all."""
    with Ensemble(tmp_path) as ensemble:
        url = f"zookeeper://{ensemble.address}/asab?acl=open"
        await eventually(lambda: "zk_synced_followers\t2" in ensemble.leader().ask("mntr"), "all servers")
        diagnosis = await until(url, lambda diagnosis: diagnosis.well)
        [finding] = found(diagnosis, "quorum", Severity.OK)
        assert finding.what == "All 3 servers of the ensemble are in sync."

        leader = ensemble.leader()
        single = f"zookeeper://{leader.address}/asab?acl=open"
        diagnosis = await until(single, lambda diagnosis: found(diagnosis, "quorum"))
        [finding] = found(diagnosis, "quorum")
        assert "has 3 servers, and the URL names 1 of them" in finding.what

        next(each for each in ensemble.servers if each is not leader).kill()
        await eventually(lambda: "zk_synced_followers\t1" in leader.ask("mntr"), "the loss")
        expected = {"server", "quorum"}
        diagnosis = await until(url, lambda diagnosis: {check for check, _ in bad(diagnosis)} == expected)
        [finding] = found(diagnosis, "quorum")
        assert finding.what.startswith("2 of 3 servers of the ensemble are in sync: the next one")
