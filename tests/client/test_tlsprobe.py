"""Which peers are taken for ones that speak TLS."""

import ssl

import pytest
import trustme

from peerage.client.tlsprobe import speaks_tls


@pytest.fixture(scope="module")
def certificate():
    return trustme.CA().issue_cert("orders.example")


@pytest.mark.parametrize(
    ("version", "verify"),
    [
        (ssl.TLSVersion.TLSv1_2, ssl.CERT_NONE),
        (ssl.TLSVersion.TLSv1_3, ssl.CERT_NONE),
        (ssl.TLSVersion.TLSv1_3, ssl.CERT_REQUIRED),
    ],
)
async def test_a_peer_that_answers_the_handshake(fleet, certificate, version, verify):
    """In TLS 1.3 also one that then wants a client certificate."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = context.maximum_version = version
    context.verify_mode = verify
    certificate.configure_cert(context)
    served = await fleet.serve(ssl=context)
    assert await speaks_tls("127.0.0.1", served.port)
    assert served.hits == 0


async def test_a_peer_that_speaks_plain_http(fleet):
    served = await fleet.serve()
    assert not await speaks_tls("127.0.0.1", served.port)
    assert served.hits == 0


async def test_a_peer_that_answers_something_else_or_hangs_up(fleet):
    answers = [b"220 mail ESMTP\r\n", b"\x00" * 20, b""]

    async def talk(reader, writer):
        await reader.read(1)
        writer.write(answers.pop())
        await writer.drain()

    served = await fleet.serve_raw(talk)
    while answers:
        assert not await speaks_tls("127.0.0.1", served.port)


async def test_a_port_that_refuses_connections(fleet):
    assert not await speaks_tls("127.0.0.1", fleet.refuse().port)
