import datetime as dt
import json
import ssl

import aiohttp
import pytest
import trustme
from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from peerage.client import UnreachableError
from peerage.errors import NotDiscoveredError
from peerage.registry import Record

HYPHEN = "orders.service-id.asab"
UNDERSCORE = "orders.service_id.asab"


@pytest.fixture(scope="module")
def authority():
    return trustme.CA()


@pytest.fixture
def trusting(authority):
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


def issue(authority, name):
    """Issue a certificate for exactly *name*; trustme itself refuses underscores."""
    issuer = x509.load_pem_x509_certificate(authority.cert_pem.bytes())
    signing = serialization.load_pem_private_key(authority.private_key_pem.bytes(), None)
    known_issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer.public_key())
    key = ec.generate_private_key(ec.SECP256R1())
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name)]), critical=True)
        # Python 3.13 verifies as strictly as RFC 5280 is, which wants to know the issuer's key.
        .add_extension(known_issuer, critical=False)
        .sign(signing, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return trustme.LeafCert(private, certificate.public_bytes(serialization.Encoding.PEM), [])


def serving(authority, name, *, seen=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    issue(authority, name).configure_cert(context)
    if seen is not None:
        context.sni_callback = lambda _socket, name, _context: seen.append(name)
    return context


@pytest.mark.parametrize("name", [HYPHEN, UNDERSCORE])
async def test_name_sent_and_checked_is_the_logical_one(fleet, authority, trusting, name):
    seen = []
    for _ in range(2):
        await fleet.serve(ssl=serving(authority, name, seen=seen))
    async with fleet.session() as session:
        for _ in range(6):
            async with session.get(f"https://{name}/", ssl=trusting) as response:
                assert (await response.json())["host"] == name
    assert set(seen) == {name}


@pytest.mark.parametrize(
    ("name", "wire"),
    [
        ("b\u00fccher", "xn--bcher-kva"),
        ("bu\u0308cher", "xn--bcher-kva"),
        ("xn--bcher-kva", "xn--bcher-kva"),
        # Left to write it, the ssl module follows IDNA 2003, to which this is "strasse".
        ("stra\u00dfe", "xn--strae-oqa"),
        ("xn--strae-oqa", "xn--strae-oqa"),
    ],
)
async def test_a_name_beyond_ascii_is_checked_as_the_url_writes_it(fleet, authority, trusting, name, wire):
    wire = f"{wire}.service-id.asab"
    seen = []
    for service in ("b\u00fccher", "stra\u00dfe"):
        await fleet.serve(service=service, ssl=serving(authority, wire, seen=seen))
    url = f"https://{name}.service-id.asab/"
    async with fleet.session() as session, session.get(url, ssl=trusting) as response:
        assert (await response.json())["host"] == wire
    assert set(seen) == {wire}


async def test_a_trailing_dot_is_not_part_of_the_certificate(fleet, authority, trusting):
    await fleet.serve(ssl=serving(authority, HYPHEN))
    async with fleet.session() as session, session.get(f"https://{HYPHEN}./", ssl=trusting) as response:
        assert response.status == 200


async def test_a_web_socket_is_opened_by_name_over_tls(fleet, authority, trusting):
    async def greet(request):
        socket = web.WebSocketResponse()
        await socket.prepare(request)
        await socket.send_str("hello")
        await socket.close()
        return socket

    await fleet.serve(greet, ssl=serving(authority, HYPHEN))
    async with fleet.session() as session, session.ws_connect(f"wss://{HYPHEN}/", ssl=trusting) as socket:
        assert await socket.receive_str() == "hello"


async def test_a_certificate_for_another_name_is_not_retried(fleet, authority, trusting, connections):
    servers = [await fleet.serve(ssl=serving(authority, "stock.service-id.asab")) for _ in range(3)]
    tracing, made = connections
    async with fleet.session(trace_configs=[tracing]) as session:
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get(f"https://{HYPHEN}/", ssl=trusting)
    assert len(made) == 1
    assert not any(one.hits for one in servers)


async def test_a_wrong_fingerprint_is_not_retried(fleet, authority):
    servers = [await fleet.serve(ssl=serving(authority, HYPHEN)) for _ in range(2)]
    async with fleet.session() as session:
        with pytest.raises(aiohttp.ServerFingerprintMismatch):
            await session.get(f"https://{HYPHEN}/", ssl=aiohttp.Fingerprint(b"x" * 32))
    assert not any(one.hits for one in servers)


async def test_a_peer_that_speaks_no_tls_is_passed_over(fleet, authority, trusting):
    plain = [await fleet.serve() for _ in range(3)]
    served = await fleet.serve(ssl=serving(authority, HYPHEN))
    async with fleet.session() as session:
        for _ in range(4):
            fleet.clock.now += 10
            async with session.post(f"https://{HYPHEN}/", ssl=trusting) as response:
                assert response.status == 200
        assert served.hits == 4
        fleet.directory.remove(served.name)
        with pytest.raises(UnreachableError) as raised:
            await session.get(f"https://{HYPHEN}/", ssl=trusting)
    assert isinstance(raised.value.__cause__, aiohttp.ClientConnectorSSLError)
    assert not any(one.hits for one in plain)


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_the_plain_one_of_two_ports_that_do_not_say_their_scheme(fleet, authority, trusting, method):
    """As asab advertises them: whatever the order, no request fails, also if it may not be repeated."""
    plain = await fleet.serve(service="parts")
    secure = await fleet.serve(service="parts", ssl=serving(authority, HYPHEN))
    record = {"host": "127.0.0.1", "instance_id": "orders-1", "service_id": "orders"}
    record["web"] = [["0.0.0.0", secure.port], ["0.0.0.0", plain.port]]
    fleet.directory.put(Record("Asab.0000000001", json.dumps(record).encode(), 99))
    async with fleet.session() as session:
        for scheme, served in (("http", plain), ("https", secure)) * 2:
            before = served.hits
            async with session.request(
                method, f"{scheme}://{HYPHEN}/", data=b"tea", ssl=trusting
            ) as response:
                assert response.status == 200
            assert served.hits == before + 1


async def test_a_server_hostname_of_the_callers_own_wins(fleet, authority, trusting):
    await fleet.serve(ssl=serving(authority, "elsewhere.example"))
    async with fleet.session() as session:
        url = f"https://{HYPHEN}/"
        async with session.get(url, ssl=trusting, server_hostname="elsewhere.example") as response:
            assert response.status == 200


async def test_two_names_at_one_place_do_not_share_a_connection(fleet, authority, trusting):
    served = await fleet.serve(ssl=serving(authority, HYPHEN))
    fleet.advertise(served.port, "stock")
    async with fleet.session() as session:
        async with session.get(f"https://{HYPHEN}/", ssl=trusting) as response:
            await response.read()
        # Verified for orders, it mustn't carry a request to stock, which the peer can't prove to be.
        with pytest.raises(aiohttp.ClientConnectorCertificateError):
            await session.get("https://stock.service-id.asab/", ssl=trusting)
    assert served.hits == 1


async def test_instances_of_the_other_scheme_are_no_candidates(fleet, authority, trusting):
    plain = await fleet.serve(scheme="http")
    secure = await fleet.serve(ssl=serving(authority, HYPHEN), scheme="https")
    async with fleet.session() as session:
        for _ in range(5):
            async with session.get(f"http://{HYPHEN}/") as response:
                assert (await response.json())["node"] == plain.name
            async with session.get(f"https://{HYPHEN}/", ssl=trusting) as response:
                assert (await response.json())["node"] == secure.name


@pytest.mark.parametrize(
    ("has", "asked", "say"),
    [
        ("https", "http", "https"),
        ("http", "https", "http"),
        ("https", "ws", "wss"),
        ("http", "wss", "ws"),
    ],
)
async def test_only_the_other_scheme(fleet, has, asked, say):
    served = await fleet.serve(scheme=has)
    async with fleet.session() as session:
        with pytest.raises(NotDiscoveredError, match=f"write {say}://"):
            await session.get(f"{asked}://{HYPHEN}/")
    assert served.hits == 0
