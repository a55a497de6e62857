"""zookeeper+tls: both sides have certificates, and what is wrong with them is said."""

import asyncio

import pytest
import trustme
from cryptography.hazmat.primitives import serialization

from peerage import open_registry
from peerage.testing import View
from peerage.testing.suite import closing, registered
from peerage.testing.zookeeper import ZooKeeperServer
from peerage.testing.zookeeper.server import free_port

PORT = free_port()


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture(scope="module")
def files(authority, tmp_path_factory):
    """Certificates of the authority, the server, a client, and an authority that nobody knows."""
    folder = tmp_path_factory.mktemp("certificates")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    trustme.CA().cert_pem.write_to_path(folder / "other-ca.pem")
    for name in ("localhost", "client"):
        certificate = authority.issue_cert(name)
        certificate.private_key_pem.write_to_path(folder / f"{name}-key.pem")
        (folder / f"{name}-cert.pem").write_bytes(
            b"".join(blob.bytes() for blob in certificate.cert_chain_pems)
        )
        # Java takes keys in this form only.
        key = serialization.load_pem_private_key(certificate.private_key_pem.bytes(), None).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
        (folder / f"{name}.pem").write_bytes(key + (folder / f"{name}-cert.pem").read_bytes())
    return folder


@pytest.fixture(scope="module")
def secure(files, tmp_path_factory):
    """A server that wants a certificate of each client on its secure port."""
    options = {
        "serverCnxnFactory": "org.apache.zookeeper.server.NettyServerCnxnFactory",
        "secureClientPort": str(PORT),
        "secureClientPortAddress": "127.0.0.1",
        "ssl.keyStore.type": "PEM",
        "ssl.keyStore.location": str(files / "localhost.pem"),
        "ssl.trustStore.type": "PEM",
        "ssl.trustStore.location": str(files / "ca.pem"),
        "ssl.clientAuth": "need",
    }
    with ZooKeeperServer(tmp_path_factory.mktemp("secure"), options=options) as server:
        yield server


@pytest.fixture
def url(secure, files):
    return (
        f"zookeeper+tls://localhost:{PORT}/tls?session_timeout=3&ca={files}/ca.pem"
        f"&cert={files}/client-cert.pem&key={files}/client-key.pem"
    )


async def test_everything_goes_through_tls(url):
    """A thousand records, many answers in one TLS record: nothing waits for what is there already."""
    async with closing(open_registry(url), open_registry(url)) as (here, there):
        owners = [here.advertise("Many", b"%d" % number) for number in range(1000)]
        for owner in owners:
            await owner.registered()
        async with View(there) as view:
            await view.until(lambda: len(view.records) == 1000)
            owners[7].update(b"changed")
            await view.until(lambda: view.data[owners[7].node] == b"changed")
        health = await there.inspect()
        assert (health.state, health.version[:2]) == ("connected", "3.")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ((("ca.pem", "other-ca.pem"),), "certificate verify failed"),
        ((("localhost", "127.0.0.1"),), "certificate verify failed"),
        ((("&cert=", "&x="), ("&key=", "&y=")), ""),
    ],
    ids=["another authority", "another name", "no certificate"],
)
async def test_what_is_wrong_is_said(url, caplog, change, reason):
    """Stale with a reason, no traceback, no line for each attempt; closed within a second."""
    for before, after in change:
        url = url.replace(before, after)
    url = "&".join(part for part in url.split("&") if part[:2] not in {"x=", "y="})
    registry = open_registry(url)
    async with View(registry) as view:
        await view.until(lambda: view.stale and reason in view.stale)
        assert not view.ready
        async with asyncio.timeout(5):
            await registry.aclose()
    assert "Traceback" not in caplog.text
    assert len(caplog.records) <= 1


async def test_the_name_alone_can_be_left_unchecked(url):
    """check_hostname=no: the certificate is verified all the same."""
    url = url.replace("localhost", "127.0.0.1") + "&check_hostname=no"
    async with closing(open_registry(url)) as (registry,):
        await registered(registry, "App", b"{}")
