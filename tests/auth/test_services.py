"""Two services and an issuer of users' tokens on one registry, with authorization by the façade."""

import asyncio
import ssl
from contextlib import AsyncExitStack

import pytest
import trustme
from aiohttp import web
from tests.auth.services import Services
from tests.auth.support import claims, jwk, jwks, token
from yarl import URL

from peerage import ConfigurationError, Discovery, KeysUnavailableError, TokenRefusedError
from peerage.testing import eventually
from peerage.web import authorize, caller

AUTH = "http://seacat-auth.service_id.asab/.well-known/jwks.json"


async def publish(services, tls=None):
    """Start the service that publishes users' keys; return the requests that it gets, and its port."""
    requests = []

    async def keys(request):
        requests.append(request)
        return web.Response(body=jwks(jwk()), content_type="application/json")

    app = web.Application()
    app.router.add_get("/.well-known/jwks.json", keys)
    return requests, await services.serve(await services.discovery("seacat-auth"), app, tls=tls)


async def protect(services, **kwargs):
    """Start a service that answers with its caller; *kwargs* are those of its verifier."""

    async def who(_):
        return web.json_response({"iss": caller().issuer, "superuser": caller().superuser})

    def make(discovery):
        app = web.Application(middlewares=[authorize(discovery.auth.verifier(**kwargs))])
        app.router.add_get("/", who)
        return app

    return await services.start("orders", make)


@pytest.fixture(params=["memory", "embedded", "zookeeper"])
async def services(request, tmp_path):
    if request.param == "zookeeper":
        url = f"zookeeper://{request.getfixturevalue('zookeeper').address}/auth-{tmp_path.name}?session_timeout=3"
    elif request.param == "embedded":
        (tmp_path / "registry").mkdir(0o700)
        url = f"embedded://{tmp_path / 'registry'}"
    else:
        url = f"memory:{tmp_path.name}"
    async with AsyncExitStack() as stack:
        yield Services(url, stack)


async def ask(discovery, headers=None, **kwargs):
    async with (
        discovery.session(**kwargs) as session,
        session.get("http://orders.service_id.asab/", headers=headers) as response,
    ):
        return response.status, await response.json()


async def test_services_call_each_other(services):
    """With an internal token, a user's, one of an unknown issuer, and none."""
    requests, _ = await publish(services)
    await protect(services, public_keys_url=AUTH)
    shop = await services.discovery("shop")
    await eventually(lambda: shop.directory.targets("service_id", "orders"))
    assert await ask(shop, auth="internal") == (
        200,
        {"iss": "http://shop-1.instance_id.asab", "superuser": True},
    )
    assert (await ask(shop))[0] == 401
    assert await ask(shop, {"Authorization": f"Bearer {token()}"}) == (
        200,
        {"iss": "http://auth", "superuser": False},
    )
    assert (await ask(shop, {"Authorization": f"Bearer {token(name='stranger')}"}))[0] == 401
    assert (await ask(shop, {"Authorization": f"Bearer {token(name='stranger')}"}, auth="internal"))[0] == 401
    assert len(requests) == 1
    assert "Authorization" not in requests[0].headers


async def test_users_tokens_alone(services):
    await publish(services)
    await protect(
        services, public_keys_url=[AUTH], internal=False, issuers=["http://auth"], audiences=["orders"]
    )
    shop = await services.discovery("shop")
    await eventually(lambda: shop.directory.targets("service_id", "orders"))
    assert (await ask(shop, auth="internal"))[0] == 401
    for changes, status in (
        ({"aud": "orders"}, 200),
        ({"aud": "users"}, 401),
        ({"aud": "orders", "iss": "x"}, 401),
    ):
        assert (await ask(shop, {"Authorization": f"Bearer {token(claims(**changes))}"}))[0] == status


async def test_one_issuer_or_audience_may_be_given_as_a_string(tmp_path):
    """A part of that string isn't accepted."""
    (tmp_path / "keys.json").write_bytes(jwks(jwk()))
    async with Discovery("memory:strings") as discovery:
        verifier = discovery.auth.verifier(
            public_keys_file=tmp_path / "keys.json",
            internal=False,
            issuers="http://auth.example",
            audiences="orders",
        )
        good = {"iss": "http://auth.example", "aud": "orders"}
        assert (await verifier.verify(token(claims(**good)))).subject == "u1"
        for bad in (
            {"iss": "http"},
            {"iss": ""},
            {"iss": None},
            {"aud": "o"},
            {"aud": ["order"]},
            {"aud": ""},
        ):
            with pytest.raises(TokenRefusedError):
                await verifier.verify(token(claims(**(good | bad))))


@pytest.fixture
async def alone(tmp_path):
    async with AsyncExitStack() as stack:
        yield Services(f"memory:{tmp_path.name}", stack)


async def test_an_issuer_that_isnt_there_is_503(alone):
    orders = await protect(alone, public_keys_url=AUTH, internal=False)
    status, _ = await ask(orders, {"Authorization": f"Bearer {token()}"})
    assert status == 503


@pytest.mark.parametrize(
    "url", [AUTH.replace("//", "//me:secret@"), f"{AUTH}?api_key=secret", f"{AUTH}?a=b#secret"]
)
async def test_credentials_in_a_url_are_not_shown(alone, caplog, url):
    """Neither in the log nor in an error, whether the keys can be fetched or not."""
    shop = await alone.discovery("shop")
    verifier = shop.auth.verifier(url)
    with pytest.raises(KeysUnavailableError) as caught:
        await verifier.verify(token())
    assert "seacat-auth" in str(caught.value)
    requests, _ = await publish(alone)
    await eventually(lambda: shop.directory.targets("service_id", "seacat-auth"))
    assert (await shop.auth.verifier(url).verify(token())).subject == "u1"
    assert requests[0].query_string == URL(url).raw_query_string
    assert "secret" not in f"{caught.value} {caplog.text}"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (b"302 Found\r\nLocation: ftp://me:secret@x/", "redirects to a URL"),
        (b"302 Found\r\nLocation: http://\xc2\x9b\xe2\x80\xae.example/", "redirects to a URL"),
        (b"\x1b[31m OK", "isn't HTTP"),
        (b"200 OK\r\nX-\x1b[31m: a", "isn't HTTP"),
        (b"200 OK\r\nContent-Encoding: gzip", "decode"),
    ],
)
async def test_a_bad_answer_is_logged_in_one_harmless_line(alone, caplog, answer, problem):
    """It shows neither what the server sent nor the query of the URL, which may hold credentials."""

    async def serve(reader, writer):
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 " + answer + b"\r\nContent-Length: 3\r\n\r\nabc")
        writer.close()

    shop = await alone.discovery("shop")
    async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(KeysUnavailableError, match=problem):
            await shop.auth.verifier(f"http://127.0.0.1:{port}/?key=secret").verify(token())
    (message,) = [
        record.getMessage() for record in caplog.records if "can't be fetched" in record.getMessage()
    ]
    assert message.isprintable()
    assert "secret" not in message


async def test_keys_over_https_with_a_private_authority(alone, tmp_path):
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost", "seacat-auth.service-id.asab").configure_cert(server)
    requests, port = await publish(alone, tls=server)
    shop = await alone.discovery("shop")
    for url in (
        f"https://localhost:{port}/.well-known/jwks.json",
        AUTH.replace("http:", "https:").replace("_", "-"),
    ):
        verifier = shop.auth.verifier(url, ca=tmp_path / "ca.pem", internal=False)
        assert (await verifier.verify(token())).subject == "u1"
        strict = shop.auth.verifier(url, internal=False)
        with pytest.raises(KeysUnavailableError):
            await strict.verify(token())
    assert len(requests) == 2


@pytest.mark.parametrize("back", [False, True])
async def test_keys_over_https_arent_accepted_after_a_redirect_to_http(alone, tmp_path, back):
    """Not even if http redirects back to https: an attacker there chooses the last server."""
    requests, port = await publish(alone)

    async def redirect(request):
        if request.scheme == "https" and not request.query:
            raise web.HTTPFound(f"http://127.0.0.1:{plain if back else port}/.well-known/jwks.json")
        if request.scheme == "http":
            raise web.HTTPFound(f"https://localhost:{secure}/keys?again")
        requests.append(request)
        return web.Response(body=jwks(jwk()))

    middle = web.Application()
    middle.router.add_get("/.well-known/jwks.json", redirect)
    plain = await alone.serve(await alone.discovery("middle"), middle)

    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    server = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("localhost").configure_cert(server)
    app = web.Application()
    app.router.add_get("/keys", redirect)
    secure = await alone.serve(await alone.discovery("secure"), app, tls=server)
    verifier = (await alone.discovery("shop")).auth.verifier(
        f"https://localhost:{secure}/keys", ca=tmp_path / "ca.pem", internal=False
    )
    with pytest.raises(KeysUnavailableError, match="from https to http"):
        await verifier.verify(token())
    assert requests


async def test_a_file_of_keys(alone, tmp_path):
    (tmp_path / "keys.json").write_bytes(jwks(jwk()))
    shop = await alone.discovery("shop")
    verifier = shop.auth.verifier(public_keys_file=tmp_path / "keys.json", internal=False)
    assert (await verifier.verify(token())).subject == "u1"


@pytest.mark.parametrize(
    ("answer", "problem"),
    [
        (lambda: web.Response(status=404, text="{}"), "answers 404"),
        (lambda: web.Response(body=b"x" * 300_000), "more than"),
        (lambda: web.Response(text="<html>"), "isn't JSON"),
        (lambda: web.Response(status=302, headers={"Location": "/loop"}), "without end"),
    ],
)
async def test_an_issuer_that_doesnt_answer_with_keys(alone, answer, problem):
    async def misbehave(_):
        return answer()

    app = web.Application()
    app.router.add_get("/{tail:.*}", misbehave)
    await alone.serve(await alone.discovery("seacat-auth"), app)
    shop = await alone.discovery("shop")
    with pytest.raises(KeysUnavailableError, match=problem):
        await shop.auth.verifier(AUTH).verify(token())


@pytest.mark.parametrize(
    "url", ["", "seacat-auth", "ftp://x/y", "http://", "http://[x/", "file:///etc/passwd"]
)
async def test_a_url_that_cant_work_is_an_error_at_once(alone, url):
    shop = await alone.discovery("shop")
    with pytest.raises(ConfigurationError, match="public keys"):
        shop.auth.verifier(url)


async def test_options_that_cant_work_are_an_error_at_once(alone, tmp_path):
    shop = await alone.discovery("shop")
    with pytest.raises(ConfigurationError, match="No token"):
        shop.auth.verifier(internal=False)
    with pytest.raises(ConfigurationError, match="authorities"):
        shop.auth.verifier(AUTH, ca=tmp_path / "none.pem")
    (tmp_path / "bad.pem").write_text("nonsense")
    with pytest.raises(ConfigurationError, match="authorities"):
        shop.auth.verifier(AUTH, ca=tmp_path / "bad.pem")


async def test_a_registry_without_secrets_says_so(alone, monkeypatch):
    shop = await alone.discovery("shop")
    with monkeypatch.context() as patch:
        patch.setattr(shop.registry, "secrets", None)
        with pytest.raises(ConfigurationError, match=r"memory:.*authorization='instance'"):
            shop.session(auth="internal")
