"""TLS contexts, and certificate files that can't be used."""

import ssl
from contextlib import suppress

import pytest
import trustme
from cryptography.hazmat.primitives import serialization
from tests.backends.zookeeper.support import everything_shown

from peerage.backends.zookeeper.tls import Tls
from peerage.errors import ConfigurationError

SECRET = "hunter2-s3cret"


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Certificates and keys of a CA and a client."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    ours, other = authority.issue_cert("client"), authority.issue_cert("other")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    ours.cert_chain_pems[0].write_to_path(folder / "cert.pem")
    ours.private_key_pem.write_to_path(folder / "key.pem")
    ours.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    other.private_key_pem.write_to_path(folder / "other.pem")
    for name, leaf in (("locked.pem", ours), ("otherlocked.pem", other)):
        key = serialization.load_pem_private_key(leaf.private_key_pem.bytes(), None)
        (folder / name).write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.BestAvailableEncryption(SECRET.encode()),
            )
        )
    (folder / "text.pem").write_text("no certificate\n")
    return folder


def tls(files, ca=None, cert=None, key=None, password=None, *, check_hostname=True):
    names = [None if name is None else str(files / name) for name in (ca, cert, key)]
    return Tls(*names, password, check_hostname=check_hostname)


class TestContext:
    def test_verifies_certificate_and_name(self, files):
        context = tls(files, "ca.pem").context()
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert context.check_hostname
        assert context.minimum_version >= ssl.TLSVersion.TLSv1_2
        assert len(context.get_ca_certs()) == 1

    def test_without_the_name_the_certificate_is_still_verified(self, files):
        context = tls(files, check_hostname=False).context()
        assert context.verify_mode is ssl.CERT_REQUIRED
        assert not context.check_hostname

    @pytest.mark.parametrize(
        ("cert", "key", "password"),
        [("cert.pem", "key.pem", None), ("both.pem", None, None), ("cert.pem", "locked.pem", SECRET)],
    )
    def test_shows_a_certificate_of_its_own(self, files, cert, key, password):
        theirs = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        theirs.load_cert_chain(files / "both.pem")
        theirs.load_verify_locations(files / "ca.pem")
        theirs.verify_mode = ssl.CERT_REQUIRED
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        server = theirs.wrap_bio(there, back, server_side=True)
        client = (
            tls(files, "ca.pem", cert, key, password)
            .context()
            .wrap_bio(back, there, server_hostname="client")
        )
        for _ in range(3):
            for side in (client, server):
                with suppress(ssl.SSLWantReadError):
                    side.do_handshake()
        assert server.getpeercert()["subjectAltName"] == (("DNS", "client"),)

    @pytest.mark.parametrize(
        ("names", "message"),
        [
            (
                ("none.pem",),
                r"ca: .*none.pem' can't be read \(No such file.*name a PEM.*PEERAGE_ZOOKEEPER_CA",
            ),
            ((".",), r"ca: .* can't be read \(Is a directory\)"),
            (("\0",), "ca: .* can't be read"),
            (("text.pem",), "ca: .*text.pem' has no usable certificate"),
            (("key.pem",), "ca: .*key.pem' has no usable certificate"),
            ((None, "none.pem"), "cert: .*none.pem' can't be read.*PEERAGE_ZOOKEEPER_CERT"),
            ((None, "cert.pem", "none.pem"), "key: .*none.pem' can't be read.*PEERAGE_ZOOKEEPER_KEY"),
            ((None, "cert.pem"), "cert: .*cert.pem' doesn't have both.*with key="),
            ((None, "text.pem", "key.pem"), "text.pem' and .*key.pem' aren't a certificate and its key"),
            ((None, "cert.pem", "other.pem"), "aren't a certificate and its key"),
            ((None, "cert.pem", "otherlocked.pem", SECRET), "aren't a certificate and its key"),
            (
                (None, "cert.pem", "locked.pem"),
                "locked.pem' is encrypted: set PEERAGE_ZOOKEEPER_KEY_PASSWORD",
            ),
            (
                (None, "cert.pem", "locked.pem", f"{SECRET}!"),
                "locked.pem' doesn't open with PEERAGE_ZOOKEEPER_KEY",
            ),
            (
                (None, "cert.pem", "locked.pem", SECRET * 100),
                "locked.pem' doesn't open with PEERAGE_ZOOKEEPER_KEY",
            ),
        ],
    )
    def test_files_that_cannot_work(self, files, names, message):
        with pytest.raises(ConfigurationError, match=message) as caught:
            tls(files, *names).context()
        assert SECRET not in everything_shown(caught.value)
