"""zookeeper+tls: both sides have certificates, and errors say what is wrong with them."""

import asyncio
import logging
import time

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from tests.backends.zookeeper.support import CLOSING, warnings_in

from peerage import Discovery, open_registry
from peerage.doctor import diagnose
from peerage.registry import Stale
from peerage.testing import View, eventually
from peerage.testing.harness import closing, registered
from peerage.testing.zookeeper import Proxy, ZooKeeperServer
from peerage.testing.zookeeper.server import free_port

PORT, PLAIN_PORT, OLDER_PORT = free_port(), free_port(), free_port()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Certificates of an authority, the server and a client, and of an unknown authority."""
    folder = tmp_path_factory.mktemp("certificates")
    authority, unknown = trustme.CA(), trustme.CA()
    authority.cert_pem.write_to_path(folder / "ca.pem")
    unknown.cert_pem.write_to_path(folder / "unknown-ca.pem")
    for name, signer in (("localhost", authority), ("client", authority), ("unknown", unknown)):
        certificate = signer.issue_cert(name)
        certificate.private_key_pem.write_to_path(folder / f"{name}-key.pem")
        (folder / f"{name}-cert.pem").write_bytes(
            b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        )
        # The only form of a key that Java reads.
        key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (folder / f"{name}.pem").write_bytes(key + (folder / f"{name}-cert.pem").read_bytes())
    return folder


def secured(files, port: int) -> dict[str, str]:
    """The options of a server that requires a certificate of each client on its secure port."""
    return {
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "secureClientPort": str(port),
        "secureClientPortAddress": "127.0.0.1",
        "ssl.keyStore.type": "PEM",
        "ssl.keyStore.location": str(files / "localhost.pem"),
        "ssl.trustStore.type": "PEM",
        "ssl.trustStore.location": str(files / "ca.pem"),
        "ssl.clientAuth": "need",
    }


@pytest.fixture(scope="module")
def secure(files, tmp_path_factory):
    """A server whose secure port speaks TLS 1.3."""
    options = secured(files, PORT)
    with ZooKeeperServer(tmp_path_factory.mktemp("secure"), port=PLAIN_PORT, options=options) as server:
        yield server


@pytest.fixture(scope="module")
def older(files, tmp_path_factory):
    """A server whose secure port speaks TLS 1.2 only."""
    options = secured(files, OLDER_PORT) | {"ssl.protocol": "TLSv1.2", "ssl.enabledProtocols": "TLSv1.2"}
    with ZooKeeperServer(tmp_path_factory.mktemp("older"), options=options) as server:
        yield server


def entry(files, *, hosts=f"localhost:{PORT}", ca="ca", client="client") -> str:
    """The URL of the registry, with the names of the files."""
    url = f"zookeeper+tls://{hosts}/tls?session_timeout=3&ca={files}/{ca}.pem"
    return url + f"&cert={files}/{client}-cert.pem&key={files}/{client}-key.pem" * (client is not None)


@pytest.mark.long
async def test_a_diagnosis_over_tls(secure, files, monkeypatch):
    """The four-letter words are asked over TLS, too; without a certificate of the client it says so."""
    monkeypatch.setenv("ASAB_HOSTNAME", "127.0.0.1")  # that of the machine needn't resolve
    url = f"{entry(files)}&acl=open"
    await eventually(lambda: diagnose(url, probe=False), "health", wanted=lambda found: found.well)
    diagnosis = await diagnose(entry(files, client=None), probe=False)
    [finding] = [each for each in diagnosis.findings if each.check == "server"]
    assert "The server asks for a client certificate" in finding.what
    diagnosis = await diagnose(entry(files, ca="unknown-ca"), probe=False)
    [finding] = [each for each in diagnosis.findings if each.check == "server"]
    assert "The server's certificate isn't trusted" in finding.what
    assert "ca=" in finding.todo


@pytest.mark.long
async def test_a_diagnosis_without_tls_of_a_port_with(secure):
    diagnosis = await diagnose(f"zookeeper://localhost:{PORT}/asab", probe=False)
    [finding] = [each for each in diagnosis.findings if each.check == "server"]
    assert "speaks TLS" in finding.what


async def test_everything_goes_through_tls(secure, files):
    """A thousand records, several answers in one TLS record: no buffered data is left waiting."""
    url = entry(files)
    async with closing(open_registry(url), open_registry(url)) as (here, there):
        owners = [here.advertise("Many", b"%d" % number) for number in range(1000)]
        for owner in owners:
            await owner.registered()
        async with View(there) as view:
            await view.until(lambda: len(view.records) == 1000)
            owners[7].update(b"changed")
            await view.until(lambda: view.data[owners[7].name] == b"changed")
        # On a loaded machine the connection that asks for the version may take longer than inspect() waits.
        while (health := await there.inspect()).version is None:
            assert health.state == "connected"
        assert (health.state, health.version[:2]) == ("connected", "3.")


async def test_half_a_tls_record_is_waited_for(secure, files):
    """A network that stops for a second within a TLS record loses no connection."""
    halve = asyncio.Event()

    async def pass_on(reader, writer):
        there_reader, there_writer = await asyncio.open_connection("localhost", PORT)

        async def pump(source, target, *, breaks):
            while part := await source.read(65536):
                if breaks and halve.is_set():
                    halve.clear()
                    target.write(part[:10])
                    await asyncio.sleep(1)
                    part = part[10:]
                target.write(part)
            target.close()

        async with asyncio.TaskGroup() as both:
            both.create_task(pump(reader, there_writer, breaks=False))
            both.create_task(pump(there_reader, writer, breaks=True))

    relay = await asyncio.start_server(pass_on, "127.0.0.1", 0)
    through = entry(files, hosts=f"localhost:{relay.sockets[0].getsockname()[1]}")
    async with relay, closing(open_registry(entry(files)), open_registry(through)) as (here, there):
        async with View(there) as view:
            await view.until(lambda: view.ready)
            halve.set()
            owner = await registered(here, "Half", b"{}")
            await view.until(lambda: owner.name in view.data)
            assert not [event for event in view.events if isinstance(event, Stale)]
        await there.aclose()


async def test_an_end_without_a_tls_closure_is_a_lost_connection(secure, files, caplog):
    """As of a killed server: TCP ends in order, TLS doesn't; nothing unexpected is logged."""
    async with Proxy(f"127.0.0.1:{PORT}") as proxy:
        url = entry(files, hosts=proxy.address.replace("127.0.0.1", "localhost"))
        async with closing(open_registry(url)) as (here,), View(here) as view:
            owner = await registered(here, "Kept", b"{}")
            node = owner.name
            await view.until_data([b"{}"])
            proxy.swallow_answers()  # nothing more can be said on a connection that ended
            for writer in proxy._links.values():
                writer.write_eof()
            await view.until(lambda: view.stale)
            assert "connection" in view.stale
            await proxy.heal()
            await view.until(lambda: view.stale is None)
            assert await owner.registered() == node
    assert not any(record.exc_info for record in caplog.records), caplog.text


async def test_check_hostname_no_still_verifies_the_certificate(secure, files):
    """Only the name isn't compared."""
    url = entry(files, hosts=f"127.0.0.1:{PORT}") + "&check_hostname=no"
    async with closing(open_registry(url)) as (registry,):
        await registered(registry, "App", b"{}")


async def test_inspect_verifies_the_host_it_is_connected_to(secure, files):
    """Whichever host is the first of the URL."""
    hosts = [f"127.0.0.1:{free_port()}", f"localhost:{PORT}"]
    for order in (hosts, reversed(hosts)):
        url = entry(files, hosts=",".join(order))
        async with closing(open_registry(url)) as (registry,), View(registry) as view:
            await view.until(lambda: view.ready)
            health = await registry.inspect()
            assert (health.state, health.version[:2]) == ("connected", "3."), health


@pytest.mark.parametrize(
    ("wrong", "reason", "advice"),
    [
        ({"ca": "unknown-ca"}, "certificate verify failed", "name the authority that signed it with ca="),
        ({"hosts": f"127.0.0.1:{PORT}"}, "certificate verify failed", "or check_hostname=no"),
        ({"client": None}, "certificate", "asks for a client certificate"),
        (
            {"client": None, "hosts": f"localhost:{OLDER_PORT}"},
            "certificate",
            "asks for a client certificate",
        ),
        ({"client": "unknown"}, "certificate", "doesn't accept the client certificate"),
        ({"hosts": f"localhost:{PLAIN_PORT}"}, "SSL", "secureClientPort"),
    ],
    ids=["authority", "name", "no client certificate", "none and TLS 1.2", "client certificate", "port"],
)
async def test_the_reason_and_the_advice(*, secure, older, files, caplog, wrong, reason, advice):
    """`stale` gives the reason, and inspect() what to do as well; the registry is closed within a second.

    On a loaded machine the first reason, which the log has, may be that the server hasn't answered in time.
    """
    caplog.set_level(logging.DEBUG)
    async with Discovery(entry(files, **wrong)) as discovery:
        await eventually(lambda: reason in (discovery.stale or ""), f"{reason!r} as the reason")
        health = await discovery.registry.inspect()
        assert (health.state, health.writable, health.version) == ("stale", False, None)
        assert reason in health.problem
        assert advice in health.problem
        begun = time.monotonic()
    assert time.monotonic() - begun < CLOSING
    (line,) = warnings_in(caplog)
    assert line.startswith("Out of touch with the registry zookeeper+tls://"), line
    assert not any(record.exc_info for record in caplog.records), caplog.text
