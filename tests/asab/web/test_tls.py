"""The row ``WebContainer``: ``ssl`` in ``listen``."""

import ssl

import pytest
import trustme
from tests.asab.both import both, ours
from tests.asab.web.programs import SERVE


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A certificate authority, a certificate of it with an encrypted and a plain key."""
    folder = tmp_path_factory.mktemp("tls")
    authority = trustme.CA()
    certificate = authority.issue_cert("127.0.0.1", "localhost")
    authority.cert_pem.write_to_path(folder / "ca.pem")
    certificate.private_key_pem.write_to_path(folder / "key.pem")
    certificate.private_key_and_cert_chain_pem.write_to_path(folder / "both.pem")
    with (folder / "cert.pem").open("wb") as file:
        for blob in certificate.cert_chain_pems:
            file.write(blob.bytes())
    return folder


#: How TLS may be configured; *web* is the container's section, *more* another one.
TLS = {
    "in the section itself": ("127.0.0.1 0 ssl", {"cert": "cert.pem", "key": "key.pem"}, {}),
    "in one file": ("127.0.0.1:0 ssl", {"cert": "both.pem"}, {}),
    "in a separate section": ("127.0.0.1 0 ssl:more", {}, {"cert": "cert.pem", "key": "key.pem"}),
    "with ciphers": (
        "127.0.0.1 0 ssl",
        {"cert": "both.pem", "ciphers": "ECDHE+AESGCM", "verify_mode": "cert_none"},
        {},
    ),
}


@pytest.mark.parametrize("name", TLS)
def test_tls(certificates, tmp_path, name):
    """``ssl`` and ``ssl:SECTION``."""
    listen, web, more = TLS[name]
    files = {"cert", "key", "cafile"}

    def section(values):
        return "".join(
            f"{key} = {certificates / value if key in files else value}\n" for key, value in values.items()
        )

    config = tmp_path / "a.conf"
    config.write_text(f"[web]\nlisten = {listen}\n{section(web)}[ssl:more]\n{section(more)}")
    outcome = (both if listen != "127.0.0.1:0 ssl" else ours)(
        SERVE
        + f"""
import ssl
context = ssl.create_default_context(cafile={str(certificates / "ca.pem")!r})
app = make(None, sys.argv[1:])
async def main():
    await until_started(app.container)
    async with aiohttp.ClientSession() as session:
        url = f"https://127.0.0.1:{{app.container.Addresses[0][1]}}/"
        async with session.get(url, ssl=context) as response:
            say(response.status)
    app.stop()
app.main = main
app.run()
""",
        "-c",
        str(config),
    )
    assert outcome.lines == ["404"], outcome.log


@pytest.mark.parametrize(
    ("web", "complaint"),
    [
        ({"cert": "/nowhere.pem"}, "[web] cert=/nowhere.pem can't be used: "),
        (
            {"cert": "both.pem", "verify_mode": "maybe"},
            "verify_mode=maybe can't be used: write one of CERT_NONE, ",
        ),
        ({"cert": "both.pem", "ciphers": "none of these"}, "[web] ciphers=none of these can't be used: "),
        ({"cert": "both.pem", "cafile": "/nowhere.pem"}, "[web] cafile=/nowhere.pem can't be used: "),
        (
            {"cert": "both.pem", "cafile": "ca.pem", "cadata": "nothing"},
            "[web] cadata=nothing can't be used: ",
        ),
        ({"cert": "both.pem", "dh_params": "/nowhere.pem"}, "[web] dh_params=/nowhere.pem can't be used: "),
    ],
)
def test_tls_configured_wrongly(certificates, web, complaint):
    """The error names the setting and the reason."""
    config = {
        key: str(certificates / value) if value in {"both.pem", "ca.pem"} else value
        for key, value in web.items()
    }
    outcome = ours(SERVE + f"make({{'listen': '0 ssl', 'key_password': 'secret', **{config!r}}})")
    assert outcome.code == 1
    assert complaint in outcome.log
    assert "secret" not in outcome.log.splitlines()[-1]


def test_no_certificate():
    """It listens, as in the original, and the log says that no client can connect."""
    outcome = both(SERVE + "make({'listen': '127.0.0.1 0 ssl:more'}); os._exit(0)")
    assert outcome.code == 0
    said = "[web] listen=127.0.0.1 0: no client can connect without a certificate. Set cert and key in "
    assert f"{said}[ssl:more]" in outcome.log


def test_an_encrypted_key(certificates):
    """``key_password``; a wrong one is an error, never a question on the terminal."""
    from cryptography.hazmat.primitives import serialization

    key = serialization.load_pem_private_key((certificates / "key.pem").read_bytes(), None)
    (certificates / "locked.pem").write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"password"),
        )
    )
    program = f"""
for password in ("password", "another", ""):
    config = {{"cert": {str(certificates / "cert.pem")!r}, "key": {str(certificates / "locked.pem")!r}}}
    try:
        load("tls")
        asab.tls.SSLContextBuilder("x", config={{**config, "key_password": password}}).build()
        say("right")
    except Exception as error:
        say("wrong", password in str(error) if password else "")
"""
    assert ours(program).lines == ["right", "wrong False", "wrong "]


@pytest.mark.parametrize("authorities", ["cafile", "cadata"])
def test_client_certificates(certificates, authorities):
    """``verify_mode``, and whose certificates are taken; the same builder for calling."""
    places = {
        "cafile": str(certificates / "ca.pem"),
        "cadata": (certificates / "ca.pem").read_text(),
    }
    outcome = both(
        SERVE
        + f"""
import ssl
load("tls")
cert = {{"cert": {str(certificates / "both.pem")!r}, "key": {str(certificates / "key.pem")!r}}}
server = {{**cert, {authorities!r}: {places[authorities]!r}, "verify_mode": "CERT_REQUIRED"}}
client = {{**cert, "cafile": {places["cafile"]!r}}}
app = make({{"listen": "127.0.0.1 0 ssl", **server}})
async def main():
    await until_started(app.container)
    url = f"https://127.0.0.1:{{app.container.Addresses[0][1]}}/"
    build = asab.tls.SSLContextBuilder("client", config=client).build
    async with aiohttp.ClientSession() as session:
        async with session.get(url, ssl=build(protocol=ssl.PROTOCOL_TLS_CLIENT)) as response:
            say(response.status)
        try:
            await session.get(url, ssl=ssl.create_default_context(cafile=client["cafile"]))
        except aiohttp.ClientError:
            say("refused")
    app.stop()
app.main = main
app.run()
"""
    )
    assert outcome.lines == ["404", "refused"], outcome.log
    assert ssl.HAS_TLSv1_3
